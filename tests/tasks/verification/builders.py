"""LFW's layout with made-up people and images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bench.tasks.verification.lfw import listed_pairs, load_pairs, load_people
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
