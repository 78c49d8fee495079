"""runs.csv: a damaged one is refused by line and column; whatever else it says, verify and report have words for it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.report.collect import collect
from bench.report.digests import read_digests, write_digests
from bench.report.page import write_report
from bench.report.rows import read_rows
from bench.report.verify import problems
from bench.store import StoreError
from tests.fuzzing import FILES, mutated
from tests.report.builders import SWEEP, fake_sweep


@pytest.fixture
def results(tmp_path: Path) -> Path:
    collect(tmp_path / "made_up", [fake_sweep(tmp_path)], SWEEP.runs("quick"))
    return tmp_path / "made_up"


def changed(results: Path, column: str, value: str) -> None:
    """The first row with another value."""
    path = results / "runs.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    rows[0][column] = value
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(out.getvalue())


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("seed", "x", "seed is 'x', not a whole number"),
        ("seed", "", "seed is '', not a whole number"),
        ("depth", "20.5", "depth is '20.5', not a whole number"),
        ("test_images", "-1", "test_images is '-1', not a whole number"),
        ("steps", "9" * 5_000, "not a whole number"),
        ("test_error", "nan", "test_error is 'nan', not a finite number"),
        ("test_error", "", "it is done and has no test_error"),
        ("images_per_s", "1e999", "images_per_s is '1e999', not a finite number"),
        ("scale", "big", "scale is 'big', not one of: paper, short, quick"),
        ("state", "DONE", "state is 'DONE', not one of: done"),
        ("data", "mnist", "data 'mnist' is not one of"),
        ("family", "vit", "family is 'vit', not one of"),
    ],
)
def test_a_value_that_no_row_can_have_is_named_with_its_line(
    results: Path, column: str, value: str, words: str
) -> None:
    changed(results, column, value)
    with pytest.raises(StoreError, match=f"runs.csv is damaged, line 2: .*{words}"):
        read_rows(results / "runs.csv")


@pytest.mark.parametrize("text", ["id,state\n1,2\n", "a,b\n1\n", "\0", "", "id\n" + '"' + "x" * 200_000])
def test_what_is_no_such_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "runs.csv").write_text(text)
    with pytest.raises(StoreError, match=r"runs.csv is damaged"):
        read_rows(tmp_path / "runs.csv")


def test_a_row_with_too_many_or_too_few_values_is_refused(results: Path) -> None:
    path = results / "runs.csv"
    head, first, *others = path.read_text().splitlines()
    for odd in (first + ",x", first.rpartition(",")[0]):
        path.write_text("\n".join([head, odd, *others]) + "\n")
        with pytest.raises(StoreError, match=r"line 2: it has more or fewer values than there are columns"):
            read_rows(path)


def test_a_list_of_digests_names_files_of_its_folder_only(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").write_text("mine")
    for name in ("../outside", "/outside", "a/../../outside"):
        (tmp_path / "inside" / "SHA256SUMS").write_text(f"{'0' * 64}  {name}\n")
        with pytest.raises(StoreError, match=r"names .*outside, which is not in that folder"):
            read_digests(tmp_path / "inside")
    assert (tmp_path / "outside").read_text() == "mine"


@pytest.mark.fuzz
def test_damaged_tables_are_refused_or_told_of_by_verify_and_never_a_traceback(results: Path, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    write_report("made_up", SWEEP, results, reports)
    path = results / "runs.csv"
    whole, told = path.read_bytes(), 0
    for number, damaged in enumerate(mutated(whole, FILES)):
        path.write_bytes(damaged)
        told += bool(refusal(lambda: read_rows(path)))
        if number % 50 == 0:
            write_digests(results)  # as a forger would
            told += any(problems("made_up", SWEEP, results, reports))
            refusal(lambda: write_report("made_up", SWEEP, results, tmp_path / "others"))
    assert told


def refusal(read: Callable[[], object]) -> str:
    """The one line of its StoreError, "" where it raises none."""
    try:
        read()
    except StoreError as error:
        found = str(error)
    else:
        found = ""
    assert "\n" not in found
    return found
