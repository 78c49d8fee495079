"""A small suite in a git repository of its own: code, a sweep, and its results, in commits of given days."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.report.rows import as_csv, declared_columns
from bench.report.stored import write_arrays
from bench.report.verify.published import Published
from bench.spec import Net, Recipe, Run
from bench.spec.datasets import CIFAR10_SHA256

NAME = "made_up"
RECIPE = Recipe(steps=100, drops=(50, 75), curve_every=10, test_every=50)
RUNS = tuple(
    Run("paper", Net("cifar", depth, "none"), "cifar10", RECIPE, seed) for depth in (20, 56) for seed in (0, 1)
)
FILE = """
from bench.spec import Claim, Net, Recipe, Scale, Sweep

RECIPE = Recipe(steps=100, drops=(50, 75), curve_every=10, test_every=50)
NETS = tuple(Net("cifar", depth, "none") for depth in (20, 56))
CLAIMS = (Claim("worse", "It gets worse.", "Fig. 1", "worse with depth", NETS),)
SCALES = {"paper": Scale(tuple((net, RECIPE) for net in NETS), (0, 1))}
SWEEP = Sweep("Made up", "Is it?", "It is.", SCALES, claims=CLAIMS)
"""
Rows = Mapping[str, Mapping[str, Any]]


class History:
    """The repository at `root`. A day is one of January 2026."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.results = root / "results" / NAME
        for file, text in {"bench/spec/claim.py": "PROCEDURE = 1\n", f"sweeps/{NAME}.py": FILE}.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(text)
        self.git("init", "-q", "-b", "main")
        self.code = self.commit(1)

    def git(self, *words: str, day: int = 1) -> str:
        """What git answers, on that day."""
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        date = f"2026-01-{day:02}T12:00:00Z"
        env = os.environ | {"GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date}
        words = ("git", *who, "-C", str(self.root), *words)
        return subprocess.run(words, check=True, capture_output=True, text=True, env=env).stdout.strip()

    def commit(self, day: int) -> str:
        """Commits all that lies there; returns the commit."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "m", day=day)
        return self.git("rev-parse", "HEAD")

    def rows(self, count: int = 4, **changes: object) -> dict[str, dict[str, Any]]:
        """Rows of the first runs, trained on the second day, by id."""
        return {run.id: self.row(run, **changes) for run in RUNS[:count]}

    def row(self, run: Run, **changes: object) -> dict[str, Any]:
        return {
            "id": run.id, **declared_columns(run), "state": "done", "error_message": "", "test_images": 10_000,
            "test_error": 8.0, "train_error": 5.0, "train_loss": 0.5, "test_loss": 0.5, "seconds": 60.0,
            "images_per_s": 100.0, "weights_sha256": f"w{run.digest}", "curve_sha256": f"c{run.digest}",
            "hardware": "made up", "commit": self.code, "dirty": False, "data_sha256": CIFAR10_SHA256,
            "started": "2026-01-02T00:00:00Z", "ended": "2026-01-02T01:00:00Z", **changes,
        }  # fmt: skip

    def write(self, rows: Rows, repeats: Sequence[Mapping[str, Any]] = (), bits: int = 7) -> None:
        """Writes results, all images of all runs alike."""
        self.results.mkdir(parents=True, exist_ok=True)
        (self.results / "runs.csv").write_text(as_csv(list(rows.values())))
        (self.results / "repeats.csv").unlink(missing_ok=True)
        if repeats:
            (self.results / "repeats.csv").write_text(as_csv(repeats, rows.values()))
        here = {name: {name: np.array([bits], np.uint8)} for name, row in rows.items() if row["state"] == "done"}
        write_arrays(self.results / "correct.npz", here, rows)

    def publish(self, day: int, rows: Rows, repeats: Sequence[Mapping[str, Any]] = (), bits: int = 7) -> str:
        """Commits results; returns the commit."""
        self.write(rows, repeats, bits)
        return self.commit(day)

    def withdraw(self, commit: str, reason: str = "A mistake.") -> None:
        """Lists every run as withdrawn in that commit."""
        lines = [f"{NAME},{run.id},{commit},{reason}\n" for run in RUNS]
        (self.root / "results" / "withdrawn.csv").write_text("sweep,id,commit,reason\n" + "".join(lines))

    def published(self) -> Published:
        return Published.read(self.results)

    def clone(self, root: Path, *words: str) -> History:
        """A clone elsewhere, as somebody else has it."""
        subprocess.run(["git", "clone", "-q", *words, f"file://{self.root}", str(root)], check=True)
        return self.at(root)

    def at(self, root: Path) -> History:
        """The same in another folder, in which it already lies."""
        there = object.__new__(History)
        there.root, there.results, there.code = root, root / "results" / NAME, self.code
        return there

    def archive(self, root: Path) -> History:
        """A copy without its history."""
        shutil.copytree(self.root, root, ignore=shutil.ignore_patterns(".git"))
        return self.at(root)
