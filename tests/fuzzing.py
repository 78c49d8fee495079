"""Damage to files, drawn from a seed: what a disk, a download, an editor or an enemy may do to them.

    @pytest.mark.fuzz
    def test_…(…) -> None:
        for content in mutated(valid, FILES):
            ...  # either read right, or refused in one line

A reader gets 60 files, or as many as BENCH_FUZZ says.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

FILES = int(os.environ.get("BENCH_FUZZ", "60"))
ODD_BYTES = (b"\0", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"\n\n", b",", b'"', b"{", b"]", b"<", b"&", b"%", b"\x80\x05")
ODD_NUMBERS = (b"-1", b"0", b"1e999", b"NaN", b"999999999999999999999", b"0.5", b"true", b"null", b'"x"', b"-Infinity")
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 12, 0.5, -1e30, 1e308, float("nan"), float("inf"), 10**30, "", "x", "0", "nan"),
    *("../../etc/passwd", "\ud800", "=1+1", "<b>", "é" * 300, [], {}, [0], ["x"], {"a": 1}, [[[]]], [1e400, None]),
)


def mutated(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """`count` damaged copies of `content`, each by one to three of: cut, flipped, lost, repeated, inserted, swapped."""
    rng = random.Random(seed)
    for _ in range(count):
        found = bytearray(content)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            _damage(found, rng)
        yield bytes(found)


def tried(
    path: Path, content: bytes, read: Callable[[], Any], error: type[Exception], count: int = FILES
) -> Iterator[Any]:
    """What `read` makes of each damaged copy of `content` at `path`, where it is not refused by `error` in one line.

    Any other exception is a fault, and so is a change of what lies on the disk.
    """
    others = {file: file.read_bytes() for file in path.parent.iterdir() if file.is_file() and file != path}
    for damaged in mutated(content, count):
        path.write_bytes(damaged)
        try:
            found = read()
        except error as refused:
            said = str(refused)
            if "\n" in said or len(said) > 1_000:
                raise AssertionError("more than a line") from refused
        else:
            yield found
        assert path.read_bytes() == damaged
        assert {file: file.read_bytes() for file in others} == others


def _damage(content: bytearray, rng: random.Random) -> None:
    if not content:
        return
    at = rng.randrange(len(content))
    until = min(len(content), at + rng.choice((1, 1, 4, 30, 400)))
    kind = rng.randrange(8)
    if kind == 0:
        del content[at:]
    elif kind == 1:
        content[at] ^= 1 << rng.randrange(8)
    elif kind == 2:
        del content[at:until]
    elif kind == 3:
        content[at:at] = content[at:until]
    elif kind == 4:
        content[at:at] = rng.choice(ODD_BYTES)
    elif kind == 5:
        content[at:until] = rng.randbytes(until - at)
    elif kind == 6:
        digits = [i for i, byte in enumerate(content) if 48 <= byte <= 57]
        if digits:
            start = rng.choice(digits)
            content[start : start + 1] = rng.choice(ODD_NUMBERS)
    else:
        content[at:until] = bytes(until - at)  # a block that never reached the disk


def mutated_json(value: Any, count: int, seed: int = 0) -> Iterator[bytes]:
    """`count` JSON files in which one to three values of `value` are of another type or range, missing or doubled."""
    rng = random.Random(seed)
    for _ in range(count):
        found = json.loads(json.dumps(value))
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            found = _odd(found, rng)
        yield json.dumps(found).encode("utf-8", errors="surrogatepass")


def _odd(value: Any, rng: random.Random) -> Any:
    """`value` with one place in it changed."""
    places = list(_places(value))
    if not places:
        return rng.choice(ODD_VALUES)
    home, key = rng.choice(places)
    kind = rng.randrange(6)
    if kind == 0:
        del home[key]
    elif kind == 1 and isinstance(home, list):
        home.append(deepcopy(home[key]))
    elif kind == 2 and isinstance(home, dict):
        home[rng.choice(("x", key + " ", "", "id"))] = home.pop(key)
    elif kind == 3:
        home[key] = deepcopy(home[rng.choice([k for h, k in places if h is home])])
    else:
        home[key] = deepcopy(rng.choice(ODD_VALUES))  # which a later change must not make part of itself
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container in `value` with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])
