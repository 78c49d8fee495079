"""Every corruption of what is published is found: by its digest and, where that was renewed, by what contradicts it."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.cli.sweep_files import load_sweep
from bench.report.collect import collect
from bench.report.digests import differences, files_in, write_digests
from bench.report.page import write_report
from bench.report.rows import read_rows, run_of
from bench.report.stored import read_arrays, read_table
from bench.report.verify import problems
from bench.spec import Scale
from tests.report.builders import CELLS as ALL_CELLS
from tests.report.builders import RECIPE, fake
from tests.report.builders import SWEEP as MADE_UP

ROOT = Path(__file__).resolve().parents[2]
NAME = "made_up"
FEW = replace(RECIPE, test_images=200)  # so that a verification takes a blink
CELLS = tuple((net, FEW) for net, _ in ALL_CELLS)
SWEEP = replace(MADE_UP, scales={"quick": Scale(CELLS, (0, 1)), "paper": Scale(CELLS, (0, 1))})


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """results/ and reports/ of a made-up sweep at two scales, complete and without a fault."""
    root = tmp_path_factory.mktemp("published")
    for scale in ("paper", "quick"):
        for i, run in enumerate(SWEEP.runs(scale)):
            fake(root / "runs" / NAME, run, error=10.0 + i)
    collect(root / "results" / NAME, [root / "runs" / NAME], ())
    write_report(NAME, SWEEP, root / "results" / NAME, root / "reports" / NAME)
    return root


def each(root: Path) -> Iterator[str]:
    """The problems one by one: those of the results come before the report is made anew, which takes longest."""
    return problems(NAME, SWEEP, root / "results" / NAME, root / "reports" / NAME)


def found(root: Path) -> list[str]:
    return list(each(root))


@pytest.fixture
def copy(published: Path, tmp_path: Path) -> Path:
    for part in ("results", "reports"):
        shutil.copytree(published / part, tmp_path / part)
    return tmp_path


def test_what_the_suite_wrote_has_no_fault(published: Path) -> None:
    assert found(published) == []


def test_the_committed_results_and_reports_have_no_fault() -> None:
    for path in sorted((ROOT / "results").glob("*/runs.csv")):
        name, sweep = load_sweep(str(ROOT / "sweeps" / f"{path.parent.name}.py"))

        assert list(problems(name, sweep, path.parent, ROOT / "reports" / name)) == []


def a_digit(path: Path, rng: random.Random) -> None:
    """Another digit in place of one, anywhere in a file of text."""
    text = path.read_text()
    place = rng.choice([match.start() for match in re.finditer(r"\d", text)])
    other = rng.choice([d for d in "0123456789" if d != text[place]])
    path.write_text(text[:place] + other + text[place + 1 :])


def rows_of(root: Path) -> tuple[Path, list[str]]:
    path = root / "results" / NAME / "runs.csv"
    return path, path.read_text().splitlines()


def digit_in_results(root: Path, rng: random.Random) -> None:
    a_digit(rows_of(root)[0], rng)


def digit_in_reports(root: Path, rng: random.Random) -> None:
    files = [p for p in files_in(root / "reports") if p.suffix in (".md", ".csv", ".tex", ".bib", ".svg")]
    a_digit(root / "reports" / rng.choice(files), rng)


def dropped_run(root: Path, rng: random.Random) -> None:
    path, lines = rows_of(root)
    del lines[rng.randrange(1, len(lines))]
    path.write_text("\n".join(lines) + "\n")


def swapped_seeds(root: Path, rng: random.Random) -> None:
    path, lines = rows_of(root)
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    net = rng.choice(sorted(set(frame["net"])))
    first, second = rng.sample(list(frame.index[frame["net"] == net]), 2)
    column = rng.choice(["seed", "test_error", "weights_sha256", "curve_sha256", "id"])
    a, b = frame.loc[first, column], frame.loc[second, column]
    if a == b:
        column = "id"
        a, b = frame.loc[first, column], frame.loc[second, column]
    frame.loc[first, column], frame.loc[second, column] = b, a
    frame.to_csv(path, index=False, lineterminator="\n")
    assert path.read_text().splitlines() != lines


def edited_curve(root: Path, rng: random.Random) -> None:
    path = root / "results" / NAME / "curves.parquet"
    curves = read_table(path)
    row, column = rng.randrange(len(curves)), rng.choice(["loss", "error", "rate"])
    curves[column] = curves[column].where(curves.index != row, curves[column] * 1.001)
    curves.to_parquet(path, index=False)


def edited_images(root: Path, rng: random.Random) -> None:
    path = root / "results" / NAME / "correct.npz"
    arrays = {name: bits.copy() for name, bits in read_arrays(path).items()}
    bits = arrays[rng.choice(sorted(arrays))]
    bits[rng.randrange(len(bits))] ^= 1 << rng.randrange(8)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def edited_picture(root: Path, rng: random.Random) -> None:
    path = rng.choice(sorted((root / "reports" / NAME).glob("*.pdf")))
    data = bytearray(path.read_bytes())
    data[rng.randrange(200, len(data))] ^= 1
    path.write_bytes(bytes(data))


def lost_file(root: Path, rng: random.Random) -> None:
    files = [*files_in(root / "reports"), *(Path("..") / "results" / p for p in files_in(root / "results"))]
    (root / "reports" / rng.choice(files)).unlink()


CORRUPTIONS: tuple[Callable[[Path, random.Random], None], ...] = (
    digit_in_results,
    digit_in_reports,
    dropped_run,
    swapped_seeds,
    edited_curve,
    edited_images,
    edited_picture,
    lost_file,
)


@pytest.mark.parametrize("corrupt", CORRUPTIONS, ids=lambda f: f.__name__)
def test_every_random_corruption_is_found(published: Path, tmp_path: Path, corrupt: Callable[..., None]) -> None:
    """25 of each kind, 200 in all, each alone."""
    for seed in range(25):
        root = tmp_path / str(seed)
        for part in ("results", "reports"):
            shutil.copytree(published / part, root / part)
        corrupt(root, random.Random(seed))

        assert any(each(root)), f"seed {seed}"
        shutil.rmtree(root)


@pytest.mark.parametrize(
    "corrupt", [digit_in_results, dropped_run, swapped_seeds, edited_curve, edited_images], ids=lambda f: f.__name__
)
def test_results_that_were_edited_and_listed_anew_contradict_themselves_or_the_report(
    published: Path, tmp_path: Path, corrupt: Callable[..., None]
) -> None:
    for seed in range(3):
        root = tmp_path / str(seed)
        for part in ("results", "reports"):
            shutil.copytree(published / part, root / part)
        corrupt(root, random.Random(1000 + seed))
        write_digests(root / "results" / NAME)

        assert differences(root / "results" / NAME) == []
        assert any(each(root)), f"seed {seed}"
        shutil.rmtree(root)


def edit_row(root: Path, **changes: str) -> str:
    """The first row with other values, listed anew; returns its id."""
    path = root / "results" / NAME / "runs.csv"
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    for column, value in changes.items():
        frame.loc[0, column] = value
    frame.to_csv(path, index=False, lineterminator="\n")
    write_digests(path.parent)
    return str(frame.loc[0, "id"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": "7"}, "its settings are those of plain-20-paper-s7-"),
        ({"lr": "0.2"}, "its settings are those of plain-20-paper-s0-"),
        ({"test_error": "9.99"}, "test_error is 9.99, and its images say 10.0"),
        ({"train_loss": "1.0"}, "train_loss is 1.0, and its curve says 2.0"),
        ({"best_test_error": "9.5"}, "best_test_error is 9.5, and its curve says"),
        ({"curve_sha256": "0" * 64}, "its curve is not the one that the run wrote"),
        ({"images_per_s": "1"}, "images_per_s is 1, and steps times batch over seconds"),
        ({"params": "1"}, "params is 1, not 269722"),
        ({"state": "failed"}, "it is failed and has numbers"),
        ({"data_sha256": "e" * 64}, "its runs on cifar10 saw different data"),
        ({"depth": "21"}, "a value cannot be read: not a run of this version of the suite: net: depth 21"),
        ({"ended": "1969-01-01T00:00:00Z"}, "it ended (1969-01-01T00:00:00Z) before it started"),
    ],
)
def test_an_edited_row_is_named_with_what_contradicts_it(copy: Path, changes: dict[str, str], words: str) -> None:
    name = edit_row(copy, **changes)

    assert any(words in p and (name in p or "its runs" in p) for p in each(copy)), found(copy)


def test_a_report_that_was_edited_is_named_with_its_line(copy: Path) -> None:
    page = copy / "reports" / NAME / "README.md"
    page.write_text(page.read_text().replace("11.00 ± 2.83", "10.00 ± 2.83", 1))

    (digest, text) = found(copy)

    assert digest == f"{page} is not the file that was written (SHA-256)"
    assert re.search(r"README.md, line \d+: it says .*10.00 ± 2.83.*, and the results .*11.00 ± 2.83", text)


def test_a_figure_of_other_results_and_a_stray_page_are_found(copy: Path) -> None:
    reports = copy / "reports" / NAME
    shutil.copy(reports / "curves-quick.svg", reports / "curves-paper.svg")
    (reports / "old.md").write_text("# Last year's numbers\n")
    write_digests(reports)

    assert found(copy) == [
        f"{reports / 'curves-paper.svg'} was not drawn from these results",
        f"{reports / 'old.md'} is no part of the report",
    ]


def test_results_that_cannot_be_read_at_all_are_a_problem_and_no_traceback(copy: Path) -> None:
    (copy / "results" / NAME / "curves.parquet").write_bytes(b"PAR1")

    assert any("curves.parquet is damaged" in problem for problem in found(copy))


def test_every_row_leads_back_to_its_run(published: Path) -> None:
    rows = read_rows(published / "results" / NAME / "runs.csv")

    assert {run_of(row) for row in rows} == {*SWEEP.runs("paper"), *SWEEP.runs("quick")}
