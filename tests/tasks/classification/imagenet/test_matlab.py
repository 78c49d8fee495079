"""The structs of a MATLAB file are what was written, in either byte order, compressed or not."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from bench.tasks.classification.imagenet.matlab import structs

SYNSETS: list[dict[str, Any]] = [
    {"ID": 1.0, "WNID": "n02119789", "words": "kit fox, Vulpes macrotis", "n": 0, "children": [], "height": 0.5},
    {"ID": 2.0, "WNID": "n99", "words": "Döner, 狐", "n": 300, "children": [7, 8, 9], "height": -2.0},
    {"ID": 1000.0, "WNID": "n00001740", "words": "x", "n": -70_000, "children": [3], "height": 3.0},
]


def matlab(synsets: list[dict[str, Any]], **options: Any) -> bytes:
    rows = np.empty((len(synsets), 1), [(name, object) for name in synsets[0]])
    for k, synset in enumerate(synsets):
        rows[k, 0] = tuple(synset.values())
    out = io.BytesIO()
    savemat(out, {"other": np.arange(6.0), "cells": np.array(["a", 1], object), "synsets": rows}, **options)
    return out.getvalue()


@pytest.mark.parametrize("do_compression", [False, True])
def test_structs_are_what_was_written(do_compression: bool) -> None:
    found = structs(matlab(SYNSETS, do_compression=do_compression), "synsets")

    expected = [synset | {"children": (synset["children"] or [None])[0]} for synset in SYNSETS]
    assert found == expected, "of an array its first number, of an empty one None"


def element(kind: int, data: bytes, order: str) -> bytes:
    return struct.pack(f"{order}2I", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(kind: int, name: str, *parts: bytes, order: str) -> bytes:
    head = element(6, struct.pack(f"{order}2I", kind, 0), order) + element(5, struct.pack(f"{order}2i", 1, 1), order)
    return element(14, head + element(1, name.encode(), order) + b"".join(parts), order)


@pytest.mark.parametrize(("mark", "order"), [(b"IM", "<"), (b"MI", ">")])
def test_matlabs_own_forms_of_numbers_and_texts_are_read_in_either_byte_order(mark: bytes, order: str) -> None:
    text = "kit fóx".encode("utf-16" + {"<": "-le", ">": "-be"}[order])
    small = struct.pack(f"{order}I2s2x", 2 << 16 | 3, struct.pack(f"{order}h", -5))  # in its head, as MATLAB stores it
    fields = b"".join(name.ljust(32, b"\0") for name in (b"words", b"n", b"cell"))
    body = matrix(
        2,
        "synsets",
        struct.pack(f"{order}2I", 4 << 16 | 5, 32),
        element(1, fields, order),
        matrix(4, "", element(4, text, order), order=order),
        matrix(6, "", small, order=order),
        matrix(1, "", order=order),
        order=order,
    )
    content = b"MATLAB 5.0".ljust(124) + struct.pack(f"{order}H", 0x0100) + mark + body

    assert structs(content, "synsets") == [{"words": "kit fóx", "n": -5, "cell": None}]
