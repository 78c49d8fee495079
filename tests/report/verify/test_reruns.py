"""A run trained once more: bit for bit on the same kind of machine, by three tests elsewhere; what differs there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.report.collect import collect
from bench.report.verify import Result, compare_rerun, stored_run
from bench.report.verify.reruns import surroundings
from bench.store import StoreError
from tests.report.builders import SWEEP, fake

ROOT = Path(__file__).resolve().parents[3]
RUN = SWEEP.runs("quick")[0]
HERE = {
    "hardware": "EPYC", "isa": "AVX2", "threads": "1", "kernels": "eager", "processes": "1", "allocator": "tuned",
    "torch": "2.14.1", "torchvision": "0.29.1", "python": "3.11.7",
}  # fmt: skip
SAME = {"test_error": "8.5"}  # as the row writes it
OTHER_WEIGHTS = {"weights_sha256": "x"}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A finished run with all surroundings known."""
    root = tmp_path_factory.mktemp("stored")
    fake(root / "runs", RUN, error=8.5)
    collect(root / "results", [root / "runs"], ())
    result = Result.read(root / "results", RUN.id)
    return replace(result, row={**result.row, **HERE}, packages={"numpy": "2.0", "scipy": "1.11", "torch": "2.14.1"})


def again(stored: Result, columns: dict[str, str], points: float = 0.0, more: float = 0.0) -> Result:
    """A rerun: so many points worse, with so much more loss in row 3 of its curve; `columns` of its row."""
    right = stored.correct[""]
    bits, worse = right.copy(), round(points / 100 * right.size)
    bits[np.flatnonzero(right)[:worse]] = False
    curve = [{**row, "loss": row["loss"] + more} if number == 3 else row for number, row in enumerate(stored.curve, 1)]
    error = f"{100 * (1 - bits.mean()):.2f}"
    return replace(stored, row={**stored.row, "test_error": error} | columns, curve=curve, correct={"": bits})


def last(found: tuple[bool, list[str]]) -> tuple[bool, str]:
    return found[0], found[1][-1]


def test_the_same_bits_agree_on_any_machine(stored: Result) -> None:
    same = again(stored, SAME | {"seconds": "99.0"})

    words = "the same weights, curve and images bit for bit, test error 8.50 %"
    assert last(compare_rerun(stored, same, [8.5])) == (True, words)
    assert compare_rerun(stored, replace(same, row={**same.row, "hardware": "Xeon"}), [8.5])[0]


@pytest.mark.parametrize(
    ("columns", "points", "more", "words"),
    [
        ({}, 0.0, 5e-16, "departs at row 3 of 10, step 30: loss {was}, here {now}"),
        ({}, 0.02, 0.0, "and 2 of 10,000 images judged otherwise (test_error)"),
        ({"test_loss": "1.1"}, 0.0, 0.0, "; test_loss {test_loss}, here 1.1"),
        (OTHER_WEIGHTS, 0.0, 0.0, "other weights; weights_sha256 "),
    ],
)
def test_on_the_same_kind_of_machine_one_other_bit_is_a_failure(
    stored: Result, columns: dict[str, str], points: float, more: float, words: str
) -> None:
    other, was = again(stored, SAME | columns, points, more), stored.curve[2]["loss"]

    agrees, lines = compare_rerun(stored, other, [8.5])

    assert not agrees
    assert lines[0].startswith("surroundings: those of the row")
    assert lines[1].startswith("on the same kind of machine all bits must be the same: ")
    assert words.format(was=was, now=other.curve[2]["loss"], **stored.row) in lines[1]


@pytest.mark.parametrize("unlike", [{"isa": "AVX512"}, {"threads": "2"}, {"torch": "2.15.0"}, {"hardware": "Xeon"}])
def test_elsewhere_three_tests_decide_each_with_its_sentence(stored: Result, unlike: dict[str, str]) -> None:
    near, far = (again(stored, OTHER_WEIGHTS | unlike, points, 0.01) for points in (0.01, 0.5))

    agrees, lines = compare_rerun(stored, near, [8.5])

    assert agrees
    assert [line.split(":")[0] for line in lines[2:5]] == ["passed, curve", "passed, images", "passed, seeds"]
    assert lines[-1].startswith("a number made 0.5 points better would pass ")
    agrees, lines = compare_rerun(stored, far, [8.5])
    assert not agrees
    assert [line.split(":")[0] for line in lines[2:5]] == ["passed, curve", "FAILED, images", "passed, seeds"]


def test_one_failed_test_is_enough(stored: Result) -> None:
    elsewhere = {**OTHER_WEIGHTS, "isa": "AVX512"}

    assert compare_rerun(stored, again(stored, elsewhere, more=0.1), [8.5])[0]
    assert not compare_rerun(stored, again(stored, elsewhere, more=1.0), [8.5])[0]
    assert not compare_rerun(stored, again(stored, elsewhere), [7.1, 7.2, 7.0, 7.1, 7.3])[0]


def test_a_row_that_names_no_instruction_set_is_taken_for_one_from_elsewhere(stored: Result) -> None:
    old = replace(stored, row={**stored.row, "isa": ""})

    agrees, lines = compare_rerun(old, again(stored, OTHER_WEIGHTS, 0.01, 0.01), [8.5])

    assert agrees
    assert lines[1].startswith("perhaps another kind of machine (not known: instruction set): other weights; ")
    assert compare_rerun(old, again(stored, SAME), [8.5])[0], "the same bits agree"
    agrees, words = last(compare_rerun(old, again(stored, {}, more=0.01), [8.5]))
    assert not agrees, "another curve to the same weights is no training"
    assert words.startswith("with the same weights bit for bit all else must be the same: ")


def test_other_data_are_another_run(stored: Result) -> None:
    assert not compare_rerun(stored, again(stored, {"data_sha256": "e" * 64}), [8.5])[0]


def test_what_differs_in_the_surroundings_is_named_and_of_many_packages_a_few(stored: Result) -> None:
    packages = {f"package{number}": "1.0" for number in range(7)} | {**stored.packages, "numpy": "2.1"}
    other = replace(again(stored, {"isa": "AVX512", "kernels": ""}), packages=packages)

    assert surroundings(stored, stored) == "surroundings: those of the row"
    assert surroundings(stored, other) == (
        "differs from the row's surroundings: instruction set AVX2, here AVX512; numpy 2.0, here 2.1; package0 none, "
        "here 1.0; package1 none, here 1.0; package2 none, here 1.0; package3 none, here 1.0; and 3 more; not known: "
        "kernels"
    )
    assert surroundings(stored, replace(other, packages={})).endswith("; not known: kernels, versions of packages")


def test_versions_are_those_of_the_lock_files_that_the_row_names(tmp_path: Path) -> None:
    fake(tmp_path / "runs", RUN, error=8.5)
    collect(tmp_path / "results", [tmp_path / "runs"], ())
    path = tmp_path / "results" / "runs.csv"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows.assign(requirements="aaaaaaaaaaaa; bbbbbbbbbbbb").to_csv(path, index=False)
    locks = tmp_path / "results" / "requirements"
    locks.mkdir()
    (locks / "aaaaaaaaaaaa.txt").write_text("# Python 3.11.7, bench at ccc\nnumpy==2.0\nscipy==1.11\n")

    with pytest.raises(StoreError, match="bbbbbbbbbbbb.txt cannot be read"):
        Result.read(tmp_path / "results", RUN.id)
    (locks / "bbbbbbbbbbbb.txt").write_text("# Python 3.12.1, bench at ccc\nnumpy==2.1\nscipy==1.11\n")

    assert Result.read(tmp_path / "results", RUN.id).packages == {"numpy": "2.0 or 2.1", "scipy": "1.11"}


@pytest.mark.parametrize(
    ("kernels", "way"),
    [("compiled", "compiled"), ("eager", "eager"), (None, "eager"), ("graph, fused batch norm; eager",) * 2],
)
def test_a_run_done_again_has_the_kernels_that_it_had(kernels: str | None, way: str, tmp_path: Path) -> None:
    """Results of older versions do not say."""
    folder = ROOT / "results" / "plain_vs_residual"
    rows = pd.read_csv(folder / "runs.csv", dtype=str, keep_default_na=False)
    rows = rows[rows["state"] == "done"].head(1).drop(columns="kernels", errors="ignore")
    (rows if kernels is None else rows.assign(kernels=kernels)).to_csv(tmp_path / "runs.csv", index=False)

    run, _, _ = stored_run(rows["id"].iloc[0], [tmp_path])

    assert run.id == rows["id"].iloc[0]
    assert str(run.resources.way) == way.split(";")[0]


def test_the_errors_of_all_seeds_are_found_in_all_folders(tmp_path: Path) -> None:
    """The first folder's of one run in two."""
    runs = [run for run in SWEEP.runs("quick") if run.net == RUN.net]
    for place, run, error in (("a", runs[0], 10.0), ("b", runs[0], 12.0), ("b", runs[1], 14.0)):
        fake(tmp_path / place / "runs", run, error)
    for place in ("a", "b"):
        collect(tmp_path / place, [tmp_path / place / "runs"], ())

    run, stored, errors = stored_run(RUN.id, [tmp_path / "a", tmp_path / "b"])

    assert (run, run.resources.cpus, stored.row["test_error"], errors) == (RUN, 2, "10.0", [10.0, 14.0])
