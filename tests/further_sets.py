"""Further test sets for nets trained on the stand-in, made of its own test images: one at a time, and a group."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.data.cifar_further import Labelled
from bench.data.locate import AbsentError, DataError
from bench.spec.further import FURTHER, GROUPS, FurtherSet
from bench.tasks.classification import synthetic

HERE = "tests.further_sets"
SHARED: dict[str, Any] = {
    "of": "stand-in",
    "tasks": ("classify", "diagnose"),
    "locate": f"{HERE}:locate",
    "reader": f"{HERE}:read",
    "test": "bench.tasks.classification.further:test",
    "images": 2_000,
}
AGAIN = FurtherSet("again", "Again", **SHARED)
WEAK = {"parts": ("1", "2"), "group": "weak", "same_images": True, **SHARED}
FAINT, PALE = FurtherSet("weak:faint", "Weak, faint", **WEAK), FurtherSet("weak:pale", "Weak, pale", **WEAK)
ROWS = (AGAIN, FAINT, PALE)


def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite knows these sets for the time of a test."""
    for row in ROWS:
        monkeypatch.setitem(FURTHER, row.name, row)
    monkeypatch.setitem(GROUPS, "weak", "Weak")


def lay(folder: Path) -> None:
    """What `locate` looks for."""
    (folder / "further").mkdir(parents=True, exist_ok=True)


def locate(folder: Path, row: FurtherSet) -> Path:
    if not (folder / "further").is_dir():
        raise AbsentError(f"{row.title} is not in {folder}: make further/ there")
    return folder / "further"


def read(place: Path, row: FurtherSet) -> Labelled:
    """The test images, the part's number less of them; a file `NAME.bad` spoils a set."""
    if (place / f"{row.member}.bad").exists():
        raise DataError(f"{place / row.member} is damaged")
    images = synthetic.stand_in()
    x, y = images.test_x.numpy().transpose(0, 2, 3, 1), images.test_y.numpy()
    dark = {part: x if not part else (x // (int(part) + 1)).astype(np.uint8) for part in row.parts}
    return Labelled({part: (its, y) for part, its in dark.items()}, "e" * 64)
