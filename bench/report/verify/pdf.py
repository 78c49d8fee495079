"""Whether two PDF files of a figure, written by one version of matplotlib, draw the same."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from itertools import zip_longest

OBJECT = re.compile(rb"\n(\d+) 0 obj\n(.*?)\nendobj", re.DOTALL)
STREAM = re.compile(rb"(?P<head>.*?)\nstream\n(?P<packed>.*)\nendstream", re.DOTALL)
LENGTH = re.compile(rb"/Length \d+( 0 R)?")
INTEGER = re.compile(rb"\d+")
FONT = b"/Length1"  # a font's program: other fontTools write other bytes


def pdf_differences(there: bytes, here: bytes) -> Iterator[str]:
    """What in a file differs from the one that is drawn from the results.

    Streams are compared unpacked, as another zlib packs them otherwise; the programs of fonts are not compared.
    """
    found, expected = _objects(there), _objects(here)
    if [name for name, _ in found] != [name for name, _ in expected]:
        yield f"it has {len(found)} objects, and the figure {len(expected)}, or others"
        return
    for (name, own), (_, right) in zip(found, expected, strict=True):
        lines = zip_longest(own.split(b"\n"), right.split(b"\n"), fillvalue=b"")
        for one, other in [pair for pair in lines if pair[0] != pair[1]][:1]:
            says, meant = (line[:50].decode("latin-1") for line in (one, other))
            yield f"object {name} says {says!r}, and of the results {meant!r}"


def _objects(pdf: bytes) -> list[tuple[str, bytes]]:
    """The objects in their order, streams unpacked, and all that is between them and before the table of places."""
    found = [(name.decode(), _unpacked(body)) for name, body in OBJECT.findall(pdf)]
    between, _, end = OBJECT.sub(b"", pdf).partition(b"\nxref\n")
    return [*found, ("between", between), ("end", re.sub(rb"\d+", b"", end).replace(b"\n", b" "))]


def _unpacked(body: bytes) -> bytes:
    parts = STREAM.fullmatch(body)
    if parts is None:
        return b"" if INTEGER.fullmatch(body) else body  # the length of a stream
    head = LENGTH.sub(b"", parts["head"])
    if FONT in parts["head"]:
        return head
    try:
        return head + b"\n" + zlib.decompressobj().decompress(parts["packed"], 50_000_000)
    except zlib.error:
        return body
