"""insightface's verification sets are read, and a pickle that names anything else runs nothing."""

from __future__ import annotations

import os
import pickle
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.data.locate import DataError
from bench.tasks.verification.packed import load_bin
from tests.tasks.verification.builders import NUMBERS, SAME, SIDE, encoded, pixels, python_2


def arrays(blobs: list[bytes], same: list[bool]) -> Any:
    return [np.frombuffer(blob, np.uint8).copy() for blob in blobs], list(np.array(same))


def objects(blobs: list[Any]) -> Any:
    """An array of objects, one an image."""
    found = np.empty(len(blobs), object)
    found[:] = blobs
    return found


USERS: dict[str, Callable[[list[bytes], list[bool]], Any]] = {  # what make_bin of users writes
    "an array of truths": lambda b, s: (b, np.array(s)),
    "a column of truths": lambda b, s: (b, np.array(s)[:, None]),
    "an array of numbers": lambda b, s: (b, np.array(s, np.int64)),
    "an array of big-endian numbers": lambda b, s: (b, np.array(s, ">i4")),
    "an array of fractions": lambda b, s: (b, np.array(s, np.float32)),
    "an array of objects": lambda b, s: (b, np.array(s, object)),
    "numpy's numbers": lambda b, s: (b, [np.int64(x) for x in s]),
    "numpy's bytes": lambda b, s: (b, [np.uint8(x) for x in s]),
    "bytearrays": lambda b, s: ([bytearray(x) for x in b], s),
    "objects of bytes": lambda b, s: (objects(b), s),
    "objects of arrays": lambda b, s: (objects([np.frombuffer(x, np.uint8).copy() for x in b]), tuple(s)),
    "arrays by columns": lambda b, s: ([np.frombuffer(x, np.uint8)[:, None] for x in b], s),
    "one image many times": lambda b, s: ([b[NUMBERS.index(k)] for k in NUMBERS], np.array(s)),
}
PICKLES: dict[str, Callable[[list[bytes], list[bool]], bytes]] = {
    "python 2": python_2,
    **{
        f"{kind}, protocol {p}": lambda b, s, p=p, kind=kind: pickle.dumps(USERS[kind](b, s), p)  # type: ignore[misc]
        for kind in USERS
        for p in (0, 2, 4, 5)
    },
    **{f"bytes, protocol {p}": lambda b, s, p=p: pickle.dumps((b, s), p) for p in range(2, 6)},  # type: ignore[misc]
    **{f"numpy, protocol {p}": lambda b, s, p=p: pickle.dumps(arrays(b, s), p) for p in range(2, 6)},  # type: ignore[misc]
}


@pytest.mark.parametrize("kind", PICKLES)
def test_a_verification_set_is_read_as_neighbours_in_tenths(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "lfw.bin"
    path.write_bytes(PICKLES[kind]([encoded(k) for k in NUMBERS], SAME))

    pairs = load_bin(path, side=SIDE)

    assert pairs.same.tolist() == SAME
    assert pairs.fold.tolist() == list(range(10))
    assert len(pairs.x) == 18
    for k in range(10):
        assert torch.equal(pairs.x[pairs.left[k]], pixels(NUMBERS[2 * k]))
        assert torch.equal(pairs.x[pairs.right[k]], pixels(NUMBERS[2 * k + 1]))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_verification_set_is_refused(tmp_path: Path, share: float) -> None:
    whole = python_2([encoded(k) for k in NUMBERS], SAME)
    (tmp_path / "lfw.bin").write_bytes(whole[: int(share * len(whole))])

    with pytest.raises(DataError, match="lfw.bin cannot be read .* cut short or something else"):
        load_bin(tmp_path / "lfw.bin", side=SIDE)


class Evil:
    """Runs a command when it is unpickled by a reader that imports what it is told to."""

    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call, self.arguments


@pytest.mark.parametrize("call", [os.system, eval, open, __import__, getattr, np.load, torch.load])
def test_a_pickle_that_names_anything_else_is_refused_and_runs_nothing(
    tmp_path: Path, call: Callable[..., object]
) -> None:
    trace = tmp_path / "trace"
    (tmp_path / "lfw.bin").write_bytes(pickle.dumps(([Evil(call, f"touch {trace}")] * 20, SAME)))

    with pytest.raises(DataError, match="it names .*, which no such file needs"):
        load_bin(tmp_path / "lfw.bin", side=SIDE)

    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (([b"x"] * 20, [True] * 9 + ["yes"]), "'yes' where True or False belongs"),
        (([b"x"] * 20, [True] * 9 + ["x" * 10_000]), "'xxx.{,40}xxx' where True or False belongs"),
        (([b"x"] * 20, np.array([0.5] * 10)), "0.5 where True or False belongs"),
        (([b"x"] * 20, np.array(["yes"] * 10)), "'U3'"),
        (([b"x"] * 20, {1: True}), "a dict where a list belongs"),
        ((np.zeros((20, 8)), [True] * 10), "a float where an encoded image belongs"),
        (([np.zeros(8)] * 20, [True] * 10), "an array of <d where an encoded image belongs"),
        (([1] * 20, [True] * 10), "a int where an encoded image belongs"),
        (([b"x"] * 19, [True] * 10), "19 images for 10 pairs"),
        (([b"x"] * 8, [True] * 4), "8 images for 4 pairs"),
        ([1, 2, 3], "too many values"),
        (([b"no image"] * 20, [True] * 10), "damaged or no image"),
    ],
)
def test_a_pickle_of_something_else_is_refused(tmp_path: Path, content: object, words: str) -> None:
    (tmp_path / "lfw.bin").write_bytes(pickle.dumps(content))

    with pytest.raises(DataError, match=words):
        load_bin(tmp_path / "lfw.bin", side=SIDE)


HOSTILE = {
    "room for 134 million objects": b"\x80\x02" + b"K\0" + b"r" + struct.pack("<I", 2**27) + b".",
    "a string of an exabyte": b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.",
    "a bytearray of a gigabyte": b"\x80\x05\x96" + struct.pack("<Q", 2**30) + b"x.",
    "a frame of an exabyte": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.",
    "a number of a gigabyte": b"\x80\x02\x8b" + struct.pack("<i", 2**30) + b"x.",
    "bytes of a number": b"\x80\x02c__builtin__\nbytearray\n\x8a\x05" + (2**34).to_bytes(5, "little") + b"\x85R.",
    "a list in itself": b"\x80\x02](h\0e.",
    "pairs of a list in itself": b"\x80\x02(]q\0(" + b"U\1x" * 20 + b"e]q\1(" + b"h\1" * 10 + b"et.",
    "a stand-in with other defaults": b"\x80\x02c_codecs\nencode\nN}U\x0c__defaults__U\5utf-8\x85s\x86b.",
    "a stand-in of another kind": b"\x80\x02cnumpy\nndarray\nN}U\1xK\1s\x86b.",
    "a code of copyreg": b"\x80\x02\x82\1.",
    "an object of another process": b"\x80\x02K\1Q.",
    "a buffer that is elsewhere": b"\x80\x05\x97.",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_pickle_that_would_fill_the_memory_or_change_the_reader_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "evil.bin").write_bytes(content)
    (tmp_path / "lfw.bin").write_bytes(pickle.dumps(([encoded(k) for k in NUMBERS], SAME), 2))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(DataError, match="evil.bin cannot be read as insightface's"):
        load_bin(tmp_path / "evil.bin", side=SIDE)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 2**18, "a quarter of a GiB"
    assert load_bin(tmp_path / "lfw.bin", side=SIDE).same.tolist() == SAME


def test_a_missing_verification_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lfw.bin cannot be read"):
        load_bin(tmp_path / "lfw.bin")
