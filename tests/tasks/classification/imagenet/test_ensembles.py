"""Table 5's ensembles: made of runs' scores, kept with each image's correctness, checked again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.report.collect import collect
from bench.report.rows import read_rows
from bench.spec import Ensemble, Net, Recipe, Run, Scale, SpecError, Sweep, Views
from bench.speed.made_up import finish
from bench.store import RunFolder, StoreError
from bench.tasks.classification.imagenet.ensembles import FILE, ensemble_problems, read_ensembles

RECIPE = Recipe(steps=1_000, drops=(), batch=8, bn_group=8, test_images=8, views=Views())
NETS = (Net("imagenet", 18, "A"), Net("imagenet", 34, "A"))
BOTH = Ensemble("both", "both", NETS)
SWEEP = Sweep(
    "T", "?", "!", {"quick": Scale(tuple((n, RECIPE) for n in NETS), (0, 1))}, data="imagenet", ensembles=(BOTH,)
)
RUNS = SWEEP.runs("quick", data="imagenet-6")
LABELS = np.array([0, 1, 2, 3, 4, 5, 0, 1])


def scores(run: Run) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """18 layers: the label, but for the first two images; 34 layers: the label, but weakly, and not for the last."""
    found = np.full((8, 6), 0.02, np.float32)
    found[np.arange(8), LABELS] = 0.9 if run.net.depth == 18 else 0.3
    if run.net.depth == 18:
        found[:2] = found[:2, ::-1] * [[0.2]]
    else:
        found[7] = found[7, ::-1]
    return found


def leave(
    root: Path, run: Run, *, weights: str = "w", labels: np.ndarray[tuple[int], np.dtype[np.int64]] = LABELS
) -> None:
    folder = RunFolder(root / run.id)
    finish(folder, run, error=50, weights=weights)
    np.savez(folder.ensemble, scores=scores(run), labels=labels)


@pytest.fixture
def collected(tmp_path: Path) -> Path:
    for run in RUNS:
        leave(tmp_path / "runs", run)
    collect(tmp_path / "results", [tmp_path / "runs"], RUNS, ensembles=SWEEP.ensembles)
    return tmp_path / "results"


def test_an_ensemble_averages_the_scores_of_each_seed(collected: Path) -> None:
    rows = read_ensembles(collected).to_dict("records")

    assert [(row["id"], row["scale"], row["data"], row["seed"]) for row in rows] == [
        ("both", "quick", "imagenet-6", "0"), ("both", "quick", "imagenet-6", "1"),
    ]  # fmt: skip
    mean = (scores(RUNS[0]).astype(np.float64) + scores(RUNS[1])) / 2
    assert [int((scores(run).argmax(1) != LABELS).sum()) for run in RUNS[:2]] == [2, 1], "alone they err"
    assert (mean.argmax(1) == LABELS).all()
    assert {float(row["multi_scale_error"]) for row in rows} == {0.0}
    assert rows[0]["runs"].split() == [RUNS[0].id, RUNS[1].id]
    assert "ensembles.csv" in (collected / "SHA256SUMS").read_text()


def test_rows_of_machines_that_are_not_here_stay(collected: Path, tmp_path: Path) -> None:
    before = (collected / FILE).read_text()

    collect(collected, [tmp_path / "nothing"], RUNS, ensembles=SWEEP.ensembles)

    assert (collected / FILE).read_text() == before


def test_nets_that_saw_different_images_are_refused(tmp_path: Path) -> None:
    leave(tmp_path / "runs", RUNS[0])
    leave(tmp_path / "runs", RUNS[1], labels=LABELS[::-1].copy())

    with pytest.raises(StoreError, match="ensemble both were tested on different images"):
        collect(tmp_path / "results", [tmp_path / "runs"], RUNS, ensembles=SWEEP.ensembles)


def test_a_damaged_file_of_scores_is_named(tmp_path: Path) -> None:
    for run in RUNS[:2]:
        leave(tmp_path / "runs", run)
    RunFolder(tmp_path / "runs" / RUNS[1].id).ensemble.write_bytes(b"no npz")

    with pytest.raises(StoreError, match=r"ensemble.npz is damaged: .*; move it away"):
        collect(tmp_path / "results", [tmp_path / "runs"], RUNS, ensembles=SWEEP.ensembles)


def test_a_missing_member_leaves_the_ensemble_out(tmp_path: Path) -> None:
    leave(tmp_path / "runs", RUNS[0])

    collect(tmp_path / "results", [tmp_path / "runs"], RUNS, ensembles=SWEEP.ensembles)

    assert not (tmp_path / "results" / FILE).exists()


def test_every_figure_is_checked_against_images_and_members(collected: Path) -> None:
    rows = read_rows(collected / "runs.csv")
    assert list(ensemble_problems(collected, rows)) == []
    read_ensembles(collected).assign(multi_scale_error="1.5").to_csv(collected / FILE, index=False)

    found = list(ensemble_problems(collected, [{**row, "weights_sha256": "another"} for row in rows]))

    assert len(found) == 4
    assert "its nets are not those of runs.csv" in found[0]
    assert "multi_scale_error is 1.5, and its images say" in found[1]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Ensemble("both", "x", NETS[:1]), "needs two different nets or more, got 1"),
        (lambda: Ensemble("Both!", "x", NETS), "small letters"),
        (
            lambda: replace(SWEEP, ensembles=(Ensemble("b", "x", (NETS[0], Net("imagenet", 152, "B"))),)),
            "claims and ensembles are about nets that no scale runs: resnet-152-B",
        ),
    ],
)
def test_an_ensemble_that_cannot_be_meant_is_refused(make: object, words: str) -> None:
    assert callable(make)
    with pytest.raises(SpecError, match=words):
        make()
