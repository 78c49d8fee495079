"""insightface's packed training sets are read without mxnet, and what they claim is held against them."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench.data.locate import DataError
from bench.tasks.verification.images import OnDisk
from bench.tasks.verification.packed import load_packed
from tests.tasks.verification.builders import MAGIC, SIDE, encoded, part, pixels, record, write_packed


@pytest.mark.parametrize("head", [True, False], ids=["with a header record", "without"])
def test_packed_images_come_with_their_labels_and_the_rest_is_left(tmp_path: Path, head: bool) -> None:
    people = load_packed(write_packed(tmp_path, [0, 2, 1, 2], head=head), side=SIDE)

    assert people.y.tolist() == [0, 2, 1, 2]
    assert people.names == ("0", "1", "2")
    assert isinstance(people.x, torch.Tensor)
    assert all(torch.equal(people.x[k], pixels(k)) for k in range(4))


def test_a_record_that_was_cut_at_the_magic_number_is_put_together(tmp_path: Path) -> None:
    write_packed(tmp_path, [0, 1])
    data = encoded(0) + b"abcd" + MAGIC + b"ef" + MAGIC  # a PNG may be followed by anything
    first, second = record((1.0,), data), record((0.0,), encoded(1))
    (tmp_path / "train.rec").write_bytes(first + second)
    (tmp_path / "train.idx").write_text(f"0\t0\n1\t{len(first)}\n")

    people = load_packed(tmp_path, side=SIDE, memory=0)

    assert isinstance(people.x, OnDisk)
    assert people.x.read(0)[1] == data
    assert torch.equal(people.x[torch.tensor([1, 0])], torch.stack((pixels(1), pixels(0))))
    assert people.y.tolist() == [1, 0]


def truncate(folder: Path) -> None:
    size = (folder / "train.rec").stat().st_size
    os.truncate(folder / "train.rec", size // 2)


def no_property(folder: Path) -> None:
    (folder / "property").unlink()


def wrong_offset(folder: Path) -> None:
    lines = (folder / "train.idx").read_text().splitlines()
    key, offset = lines[2].split("\t")
    (folder / "train.idx").write_text("\n".join([*lines[:2], f"{key}\t{int(offset) + 4}", *lines[3:]]))


def too_few_classes(folder: Path) -> None:
    (folder / "property").write_text("2,8,8\n")


def short_index(folder: Path) -> None:
    lines = (folder / "train.idx").read_text().splitlines()
    (folder / "train.idx").write_text("\n".join(lines[:3]))


def no_index(folder: Path) -> None:
    (folder / "train.idx").write_text("not an index\n")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncate, "fewer than train.idx points to"),
        (wrong_offset, r"train.rec at byte [\d,]+: no whole record \(another file's bytes\)"),
        (no_property, "property cannot be read"),
        (too_few_classes, r"labels of 3 images are not all in 0..1, as property says"),
        (short_index, r"3 images announced, 2 records there"),
        (no_index, "train.idx and train.rec beside it cannot be read"),
    ],
)
def test_a_damaged_training_set_is_refused(tmp_path: Path, damage: Callable[[Path], None], words: str) -> None:
    damage(write_packed(tmp_path, [0, 2, 1]))

    with pytest.raises(DataError, match=words):
        load_packed(tmp_path, side=SIDE)


def test_a_file_that_ends_within_its_last_record_is_refused(tmp_path: Path) -> None:
    write_packed(tmp_path, [0, 1, 2], head=False)
    os.truncate(tmp_path / "train.rec", (tmp_path / "train.rec").stat().st_size - 20)

    with pytest.raises(DataError, match="the file ends in it"):
        load_packed(tmp_path, side=SIDE)


def test_a_training_set_saved_by_a_windows_editor_is_the_same(tmp_path: Path) -> None:
    first = load_packed(write_packed(tmp_path, [0, 2, 1]), side=SIDE).digest
    for name in ("train.idx", "property"):
        text = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))

    assert load_packed(tmp_path, side=SIDE).digest == first


def chained(count: int) -> bytes:
    """Parts of one record that never end."""
    return part(b"x", 1) + part(bytes(2**20), 2) * count


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train.rec", MAGIC + struct.pack("<I", 2**29 - 1) + b"x", "536,870,911 bytes or more, and no image"),
        ("train.rec", chained(66), "no whole record .67,.* bytes or more, and no image of a face has 67,108,864"),
        ("train.rec", part(struct.pack("<IfQQ", 2**32 - 1, 0, 0, 0)), "no whole record"),
        ("train.rec", record((float("nan"),), b""), "labels of 1 images are not all in 0..2"),
        ("train.rec", record((float("inf"), 1.0), b""), "inf images announced, 0 records there"),
        ("train.idx", b"0\t-8\n", "two keys or offsets are one, or below 0"),
        ("train.idx", b"0\t0\n0\t4\n", "two keys or offsets are one, or below 0"),
        ("train.idx", b"0\t0\n1\t0\n", "two keys or offsets are one, or below 0"),
        ("train.idx", b"0\t" + b"9" * 5_000, "train.idx and train.rec beside it cannot be read"),
        ("train.idx", b"\xff\xfe0\0", "train.idx is not UTF-8"),
        ("property", b"999999999999,112,112", "'9*,112,112' where `people,height,width` belongs"),
        ("property", b"0,112,112", "'0,112,112' where"),
        ("property", b"", "property is empty"),
    ],
)
def test_what_a_training_set_claims_is_held_against_it(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    write_packed(tmp_path, [0, 2, 1], head=False)
    if name == "train.rec":
        (tmp_path / "train.idx").write_text("0\t0\n")
    (tmp_path / name).write_bytes(content)

    with pytest.raises(DataError, match=words):
        load_packed(tmp_path, side=SIDE)
