"""LFW's layout and insightface's files with made-up people and images."""

from __future__ import annotations

import io
import struct
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench.tasks.verification.lfw import load_pairs, load_people
from bench.tasks.verification.lists import listed_pairs
from bench.tasks.verification.people import Pairs, People

SIDE = 8


def write_image(path: Path, seed: int, size: tuple[int, int] = (SIDE, SIDE), mode: str = "RGB") -> Path:
    """A made-up image; PNG, so that reading it gives the bytes back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size[::-1] if mode == "L" else (*size[::-1], 3)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(path)
    return path


def write_people(folder: Path, counts: dict[str, int]) -> Path:
    """LFW's layout with made-up images, numbered on."""
    seed = 0
    for name, count in counts.items():
        for k in range(1, count + 1):
            write_image(folder / name / f"{name}_{k:04d}.png", seed := seed + 1)
    return folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


NAMES = ("Ann_Lee", "Bo_Xi", "Cy_Orr", "Di_Um")
LISTED = {"Ann_Lee": 3, "Bo_Xi": 2, "Cy_Orr": 1, "Di_Um": 2}


def people_of(
    folder: Path, names: Sequence[str] = NAMES, at_least: int = 2, listed: dict[str, int] | None = None
) -> People:
    """Of small images, whole; listed: further people of the list, or other numbers of images."""
    counts = {name: LISTED.get(name, 2) for name in names} | (listed or {})
    return load_people(folder, counts, at_least=at_least, side=SIDE, region=None)


def pairs_of(folder: Path, text: str) -> Pairs:
    return load_pairs(folder, listed_pairs(write(folder / "pairs.txt", text)), side=SIDE, region=None)


VIEW1 = "2\nAnn_Lee\t1\t3\nBo_Xi\t1\t2\nAnn_Lee\t1\tBo_Xi\t2\nCy_Orr\t1\tAnn_Lee\t2\n"


def view2(folder: Path, folds: int = 10, count: int = 300) -> Path:
    """A list in View 2's format of two made-up people, whose pairs are there many times; its images."""
    for who in ("Ann_Lee", "Bo_Xi"):
        for k in (1, 2):
            write_image(folder / who / f"{who}_{k:04d}.png", k, (250, 250))
    same, other = "Ann_Lee\t1\t2\n" * count, "Ann_Lee\t1\tBo_Xi\t2\n" * count
    write(folder / "pairs.txt", f"{folds}\t{count}\n" + (same + other) * folds)
    return folder


JOSE, MAC = "José Núñez", unicodedata.normalize("NFD", "José Núñez")
MAGIC = struct.pack("<I", 0xCED7230A)


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


SAME = [k % 3 == 0 for k in range(10)]
NUMBERS = [0, 1, 2, 3, 0, 2, *range(4, 18)]  # 20 images, two of them twice


def python_2(blobs: list[bytes], same: list[bool]) -> bytes:
    """The pickle as Python 2 wrote it: its strings are bytes."""
    strings = b"".join(b"T" + struct.pack("<i", len(blob)) + blob for blob in blobs)
    bools = b"".join(b"\x88" if value else b"\x89" for value in same)
    return b"\x80\x02](" + strings + b"e](" + bools + b"e\x86."
