"""insightface's files are read without mxnet, and a pickle that names anything else runs nothing."""

from __future__ import annotations

import io
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
from PIL import Image

from bench.data.locate import DataError
from bench.tasks.verification.images import OnDisk
from bench.tasks.verification.packed import load_bin, load_packed

MAGIC = struct.pack("<I", 0xCED7230A)
SIDE = 8


def encoded(seed: int) -> bytes:
    buffer = io.BytesIO()
    image = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def pixels(seed: int) -> torch.Tensor:
    image = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return torch.from_numpy(image).permute(2, 0, 1)


def part(data: bytes, kind: int = 0) -> bytes:
    return MAGIC + struct.pack("<I", kind << 29 | len(data)) + data + bytes(-len(data) % 4)


def record(labels: tuple[float, ...], data: bytes) -> bytes:
    """As mxnet writes it: IRHeader, more labels where there are several, data; cut where the magic number occurs."""
    flag = len(labels) if len(labels) > 1 else 0
    head = struct.pack("<IfQQ", flag, 0 if flag else labels[0], 0, 0)
    whole = head + (struct.pack(f"<{flag}f", *labels) if flag else b"") + data
    pieces = whole.split(MAGIC)
    if len(pieces) == 1:
        return part(whole)
    kinds = [1, *[2] * (len(pieces) - 2), 3]
    return b"".join(part(piece, kind) for piece, kind in zip(pieces, kinds, strict=True))


def write_packed(folder: Path, labels: list[int], *, head: bool = True, classes: int = 3) -> Path:
    """train.rec, train.idx and property of images 0, 1, … with these labels."""
    folder.mkdir(exist_ok=True)
    n = len(labels)
    records = [record((float(label),), encoded(k)) for k, label in enumerate(labels)]
    if head:
        people = [record((1.0, float(n + 1)), b"") for _ in range(classes)]
        records = [record((float(n + 1), float(n + 1 + classes)), b""), *records, *people]
    offsets = np.cumsum([0, *map(len, records)])
    (folder / "train.rec").write_bytes(b"".join(records))
    (folder / "train.idx").write_text("".join(f"{k}\t{offset}\n" for k, offset in enumerate(offsets[:-1])))
    (folder / "property").write_text(f"{classes},{SIDE},{SIDE}\n")
    return folder


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


SAME = [k % 3 == 0 for k in range(10)]
NUMBERS = [0, 1, 2, 3, 0, 2, *range(4, 18)]  # 20 images, two of them twice


def python_2(blobs: list[bytes], same: list[bool]) -> bytes:
    """The pickle as Python 2 wrote it: its strings are bytes."""
    strings = b"".join(b"T" + struct.pack("<i", len(blob)) + blob for blob in blobs)
    bools = b"".join(b"\x88" if value else b"\x89" for value in same)
    return b"\x80\x02](" + strings + b"e](" + bools + b"e\x86."


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
    "room for two billion objects": b"\x80\x02" + b"K\0" + b"r" + struct.pack("<I", 2**31) + b".",
    "a string of an exabyte": b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.",
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


def test_a_missing_verification_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lfw.bin cannot be read"):
        load_bin(tmp_path / "lfw.bin")
