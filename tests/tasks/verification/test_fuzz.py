"""Damaged files of faces: read right, or refused in one line; nothing else, and nothing on disk changes."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from bench.data.locate import DataError
from bench.tasks.verification.lfw import load_pairs, load_people
from bench.tasks.verification.lists import listed_pairs, listed_people
from bench.tasks.verification.packed import load_bin, load_packed
from bench.tasks.verification.people import Pairs, People
from tests.fuzzing import tried
from tests.tasks.verification.builders import (
    LISTED,
    MAGIC,
    NUMBERS,
    SAME,
    VIEW1,
    encoded,
    python_2,
    record,
    write_packed,
    write_people,
)

SIDE = 8


@pytest.mark.fuzz
def test_a_damaged_list_of_people(tmp_path: Path) -> None:
    lfw = write_people(tmp_path, LISTED)
    text = f"{len(LISTED)}\n" + "".join(f"{name}\t{count}\n" for name, count in LISTED.items())

    def read() -> People:
        return load_people(lfw, listed_people(lfw / "people.txt"), at_least=2, side=SIDE, region=None)

    for people in tried(lfw / "people.txt", text.encode(), read, DataError):
        assert isinstance(people, People)
        assert set(people.names) <= set(LISTED)
        assert len(people.y) == sum(LISTED[name] for name in people.names)


@pytest.mark.fuzz
@pytest.mark.parametrize("text", [VIEW1, "2\t1\nBo_Xi\t1\t2\nBo_Xi\t1\tCy_Orr\t1\nDi_Um\t1\t2\nAnn_Lee\t1\tDi_Um\t1\n"])
def test_a_damaged_list_of_pairs(tmp_path: Path, text: str) -> None:
    lfw = write_people(tmp_path, LISTED)

    def read() -> Pairs:
        return load_pairs(lfw, listed_pairs(lfw / "pairs.txt"), side=SIDE, region=None)

    for pairs in tried(lfw / "pairs.txt", text.encode(), read, DataError):
        assert isinstance(pairs, Pairs)
        folds = len(pairs.fold.unique())
        count = int(pairs.same.sum()) // folds
        assert pairs.same.tolist() == ([True] * count + [False] * count) * folds
        assert set(pairs.names) <= set(LISTED)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", ["train.rec", "train.idx", "property"])
@pytest.mark.parametrize("head", [True, False])
def test_a_damaged_training_set(tmp_path: Path, name: str, head: bool) -> None:
    write_packed(tmp_path, [0, 2, 1, 2], head=head)

    for people in tried(
        tmp_path / name, (tmp_path / name).read_bytes(), lambda: load_packed(tmp_path, side=SIDE), DataError
    ):
        assert isinstance(people, People)
        assert len(people.digest) == 64
        assert 0 <= int(people.y.min()) <= int(people.y.max()) < len(people.names)


@pytest.mark.fuzz
def test_a_damaged_record_of_several_parts(tmp_path: Path) -> None:
    write_packed(tmp_path, [0], head=False)
    content = record((1.0,), encoded(0) + b"abcd" + MAGIC + b"ef" + MAGIC)

    for people in tried(tmp_path / "train.rec", content, lambda: load_packed(tmp_path, side=SIDE), DataError):
        assert isinstance(people, People)
        assert len(people.y) == 1


BLOBS = [encoded(k) for k in NUMBERS]
BINS = {
    "python 2": python_2(BLOBS, SAME),
    "protocol 0": pickle.dumps((BLOBS, SAME), 0),
    "numpy, protocol 2": pickle.dumps(([np.frombuffer(b, np.uint8).copy() for b in BLOBS], np.array(SAME)), 2),
    "numpy, protocol 5": pickle.dumps(([np.frombuffer(b, np.uint8).copy() for b in BLOBS], np.array(SAME)), 5),
    "opcodes": pickle.dumps(([bytearray(struct.pack("<I", k)) for k in NUMBERS], [np.int64(s) for s in SAME]), 4),
}


@pytest.mark.fuzz
@pytest.mark.parametrize("content", BINS.values(), ids=BINS)
def test_a_damaged_verification_set(tmp_path: Path, content: bytes) -> None:
    for pairs in tried(tmp_path / "lfw.bin", content, lambda: load_bin(tmp_path / "lfw.bin", side=SIDE), DataError):
        assert isinstance(pairs, Pairs)
        assert len(pairs.left) == len(pairs.right) == len(pairs.same) == len(pairs.fold)
        assert max(int(pairs.left.max()), int(pairs.right.max())) < len(pairs.x)
