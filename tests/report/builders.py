"""A made-up sweep, its run folders and what a page is made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.report import frame
from bench.report.collect import collect
from bench.report.evidence import Evidence, weigh
from bench.spec import Claim, Net, Recipe, Run, Scale, Sweep
from bench.spec.further import FURTHER
from bench.speed.made_up import finish
from bench.store import RunFolder
from bench.store.further import keep_test

RECIPE = Recipe(steps=100, drops=(50, 75), curve_every=10, test_every=50)
CELLS = tuple((Net("cifar", depth, s), RECIPE) for depth in (20, 56) for s in ("none", "A"))
CLAIMS = (
    Claim("worse", "It gets worse.", "Fig. 1", "worse with depth", (CELLS[0][0], CELLS[2][0])),
    Claim("same", "It is the same.", "Table 6", "equals", (CELLS[1][0],), margin=0.5, number="t6.resnet-20.error"),
)
SCALES = {"quick": Scale(CELLS, (0, 1)), "paper": Scale(CELLS, (0, 1))}
SWEEP = Sweep("Made up on CIFAR-10", "Is it?", "It is.", SCALES, claims=CLAIMS)


def fake(sweep_folder: Path, run: Run, error: float, *, digest: str = "w") -> RunFolder:
    """A run folder as the worker leaves it, with made-up numbers."""
    folder = RunFolder(sweep_folder / run.id)
    finish(folder, run, error, digest)
    return folder


def evidence(one: frame.Set, sweep: Sweep = SWEEP) -> Evidence:
    return weigh("made_up", sweep, [one])[0]


def fake_sweep(tmp_path: Path, scale: str = "quick", name: str = "runs") -> Path:
    folder = tmp_path / name / "made_up"
    for i, run in enumerate(SWEEP.runs(scale)):
        fake(folder, run, error=10.0 + i)
    return folder


def made_up_set(tmp_path: Path, scale: str = "quick") -> frame.Set:
    collect(tmp_path / "results", [fake_sweep(tmp_path, scale)], SWEEP.runs(scale))
    (one,) = frame.load(tmp_path / "results", SWEEP)
    return one


def keep_tested(folder: RunFolder, name: str, *wrong: Sequence[int]) -> None:
    """Gives a made-up run that is done what a further test leaves: of each part which images are wrong."""
    parts, images = {}, 200
    for part, its in zip(FURTHER[name].parts, wrong, strict=True):
        right = np.ones(images, bool)
        right[list(its)] = False
        error = 100 * int((~right).sum()) / images
        parts[part] = {"images": images, "error": error, "correct": np.packbits(right).tobytes().hex()}
    about = {"weights_sha256": (folder.result() or {})["weights_sha256"], "test_sha256": "e" * 64, "parts": parts}
    env = dict.fromkeys(("hardware", "isa", "kernels", "bench", "torch", "python"), "made up")
    more = {"threads": 1, "commit": "c" * 40, "tree": "b" * 40, "dirty": False, "tested": 4e9}
    keep_test(folder, {"id": folder.path.name, "test": name, **about, **env, **more})
