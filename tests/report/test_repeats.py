"""The first result of a run stands, official data before others; what does not stand is kept aside and named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench.report import frame
from bench.report.collect import collect
from bench.report.digests import read_digests, write_digests
from bench.report.page import page, write_report
from bench.report.rows import read_rows
from bench.report.stored import read_arrays, read_table
from bench.report.verify import problems, result_problems
from bench.report.verify.layers import names_of
from bench.spec import dataset_of
from bench.spec.datasets import data_of_runs, is_official
from bench.store import RunFolder
from tests.report.builders import SWEEP, evidence, fake

REAL = dataset_of("cifar10").sha256
OTHER = "d" * 64
RUN = SWEEP.runs("quick")[0]
NOT_OFFICIAL = "data that are not the official CIFAR-10 (SHA-256 dddddddddddd)"


def done(place: Path, error: float, data: str = OTHER, ended: float = 60.0, run: str = RUN.id) -> Path:
    """A sweep's folder with one result of the run; its weights are as its error."""
    of_run = next(one for one in SWEEP.runs("quick") if one.id == run)
    folder = fake(place, of_run, error, digest=f"w{error}-")
    path = folder.path / "env.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data_sha256": data, "ended": ended}))
    return place


def collected(results: Path, *places: Path) -> tuple[list[str], list[float], list[float]]:
    """What was said, the test errors that stand, those that are kept aside."""
    said = list[str]()
    collect(results, places, (), say=said.append)
    assert list(result_problems(results)) == []
    return said, errors(results / "runs.csv"), errors(results / "repeats.csv")


def errors(path: Path) -> list[float]:
    return [float(row["test_error"]) for row in read_rows(path) if row["state"] == "done"]


def wrong_images(results: Path) -> int:
    return 10_000 - sum(int(byte).bit_count() for byte in read_arrays(results / "correct.npz")[RUN.id])


def test_the_first_result_stands_and_another_one_is_kept_aside_and_named(tmp_path: Path) -> None:
    results, one, two = tmp_path / "results", done(tmp_path / "one", 11.0), done(tmp_path / "two", 9.0, ended=30.0)
    assert collected(results, one) == ([], [11.0], [])
    line = (
        f"{RUN.id}: 9.00 % from {two / RUN.id} is kept in repeats.csv; the first result, 11.00 % "
        "(made up, 1970-01-01), stands"
    )

    assert collected(results, two) == ([line], [11.0], [9.0]), "a row in results/ is first, whenever it ended"

    assert wrong_images(results) == 1_100
    assert read_table(results / "curves.parquet")["test_error"].dropna().iloc[-1] == 11.0
    assert "repeats.csv" in read_digests(results)
    before = {path.name: path.read_bytes() for path in results.iterdir()}
    assert collected(results, two, one) == ([line], [11.0], [9.0])
    assert {path.name: path.read_bytes() for path in results.iterdir()} == before
    assert read_rows(results / "repeats.csv")[0].keys() == read_rows(results / "runs.csv")[0].keys()


def test_of_two_folders_the_result_that_ended_first_stands(tmp_path: Path) -> None:
    late, early = done(tmp_path / "late", 11.0, ended=90.0), done(tmp_path / "early", 12.0, ended=30.0)

    said, stands, aside = collected(tmp_path / "results", late, early)

    assert (stands, aside, len(said)) == ([12.0], [11.0], 1)
    assert f"11.00 % from {late / RUN.id} is kept in repeats.csv" in said[0]
    assert wrong_images(tmp_path / "results") == 1_200


def test_a_third_result_is_a_further_row_and_all_are_in_order(tmp_path: Path) -> None:
    places = [done(tmp_path / str(k), error, ended=60 + k) for k, error in enumerate((11.0, 14.0, 13.0))]

    for k in range(3):
        collected(tmp_path / "results", places[k])

    assert collected(tmp_path / "results", *reversed(places))[1:] == ([11.0], [13.0, 14.0])


def test_a_copy_of_a_result_is_nothing_to_speak_of(tmp_path: Path) -> None:
    one, copy = done(tmp_path / "one", 11.0), done(tmp_path / "copy", 11.0, ended=90.0)
    collected(tmp_path / "results", one)
    before = (tmp_path / "results" / "runs.csv").read_bytes()

    assert collected(tmp_path / "results", copy, one) == ([], [11.0], [])
    assert (tmp_path / "results" / "runs.csv").read_bytes() == before
    assert not (tmp_path / "results" / "repeats.csv").exists()


def test_what_a_row_came_to_know_later_stays_when_its_folder_is_collected_again(tmp_path: Path) -> None:
    (run, *_), results = SWEEP.runs("quick"), tmp_path / "results"
    fake(tmp_path / "runs" / "made_up", run, error=8)
    (collect(results, [tmp_path / "runs" / "made_up"], [run])).write_text(
        (results / "runs.csv").read_text().replace("c" * 40 + ",,", "c" * 40 + "," + "b" * 40 + ",")
    )
    (before,) = read_rows(results / "runs.csv")

    collect(results, [tmp_path / "runs" / "made_up"], [run])

    assert before["tree"] == "b" * 40
    assert read_rows(results / "runs.csv") == [before]


def test_a_result_on_the_official_data_takes_the_place_of_one_that_is_not(tmp_path: Path) -> None:
    results = tmp_path / "results"
    one, real = done(tmp_path / "one", 11.0), done(tmp_path / "real", 12.0, REAL, ended=90.0)
    RunFolder(one / RUN.id).write_layers(
        [
            {"step": 100, "layer": k, "name": name, "response_std": 1.0, "weight_norm": 1.0}
            for k, name in enumerate(names_of(RUN.net), 1)
        ]
    )
    collected(results, one, done(tmp_path / "two", 13.0, ended=70.0))
    assert len(read_table(results / "layers.parquet")) == 19

    said, stands, aside = collected(results, real)

    assert (stands, aside, wrong_images(results)) == ([12.0], [], 1_200)
    assert said == [
        f"{RUN.id}: 12.00 % on the official CIFAR-10 (SHA-256 32e5966899bd) takes the place of 11.00 % on "
        f"{NOT_OFFICIAL} (measured on made up)",
        f"{RUN.id}: 13.00 % from repeats.csv, on {NOT_OFFICIAL}, is left out; 12.00 % stands",
    ]
    assert len(read_table(results / "layers.parquet")) == 0, "the layers were the other result's"
    said, stands, aside = collected(results, one)
    assert (stands, aside) == ([12.0], [])
    assert said == [f"{RUN.id}: 11.00 % from {one / RUN.id}, on {NOT_OFFICIAL}, is left out; 12.00 % stands"]


def test_the_same_weights_on_other_test_images_are_another_result(tmp_path: Path) -> None:
    one, real = done(tmp_path / "one", 11.0), done(tmp_path / "real", 11.0, REAL)
    collected(tmp_path / "results", one)

    assert len(collected(tmp_path / "results", real)[0]) == 1
    assert read_rows(tmp_path / "results" / "runs.csv")[0]["data_sha256"] == REAL


def test_a_result_stands_before_a_failure_in_any_order(tmp_path: Path) -> None:
    failed = RunFolder(tmp_path / "failed" / RUN.id)
    failed.create(RUN)
    failed.fail("CUDA error: an illegal memory access", retry=False)
    good = done(tmp_path / "good", 11.0)

    for k, places in enumerate(((failed.path.parent, good), (good, failed.path.parent))):
        for place in places:
            collect(tmp_path / str(k), [place], ())
        assert errors(tmp_path / str(k) / "runs.csv") == [11.0]
    assert collected(tmp_path / "both", failed.path.parent, good) == ([], [11.0], [])


def test_a_divergence_is_a_result_and_no_later_one_takes_its_place(tmp_path: Path) -> None:
    diverged = RunFolder(tmp_path / "diverged" / RUN.id)
    diverged.create(RUN)
    diverged.fail("the training loss is nan at step 7", retry=False)
    collected(tmp_path / "results", diverged.path.parent)

    said, stands, aside = collected(tmp_path / "results", done(tmp_path / "good", 11.0))

    assert (stands, aside) == ([], [11.0])
    assert said[0].endswith("is kept in repeats.csv; the first result, the training loss is nan at step 7, stands")
    assert read_rows(tmp_path / "results" / "runs.csv")[0]["state"] == "failed"


@pytest.fixture(scope="module")
def published_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep's results with a further one of two runs, and its report."""
    tmp_path = tmp_path_factory.mktemp("published")
    others = [run.id for run in SWEEP.runs("quick")[1:]]
    for k, run in enumerate(others):
        done(tmp_path / "one", 20.0 + k, REAL, run=run)
    collect(tmp_path / "results", [done(tmp_path / "one", 11.0)], SWEEP.runs("quick"))
    done(tmp_path / "two", 21.5, REAL, run=others[0])
    collect(tmp_path / "results", [done(tmp_path / "two", 12.0)], SWEEP.runs("quick"))
    write_report("made_up", SWEEP, tmp_path / "results", tmp_path / "reports")
    return tmp_path


@pytest.fixture
def published(published_once: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    for part in ("results", "reports"):
        shutil.copytree(published_once / part, tmp_path / part)
    return tmp_path


def test_the_page_counts_the_runs_of_each_data_and_names_further_results(published: Path) -> None:
    text = (published / "reports" / "README.md").read_text()

    rest = text.partition("## Provenance")[2]
    assert "8 of 8 runs done, on **not the official** CIFAR-10." in text
    assert (
        "- Data: the official CIFAR-10 (SHA-256 32e5966899bd) in 7 runs, "
        "**not the official CIFAR-10** (SHA-256 dddddddddddd) in 1 run.\n"
    ) in text
    (line,) = [line for line in rest.splitlines() if "repeats.csv" in line]
    assert line.startswith("2 further results of the same runs are kept in repeats.csv (SHA-256 ")
    assert f"`{RUN.id}` 12.00 % beside 11.00 %" in line
    assert "21.50 % beside 20.00 %" in line


@pytest.mark.parametrize(
    ("column", "renewed"), [("test_error", False), ("weights_sha256", True), ("lr", False), ("seconds", True)]
)
def test_a_digit_changed_in_repeats_is_found(published: Path, column: str, renewed: bool) -> None:
    results, reports = published / "results", published / "reports"
    path = results / "repeats.csv"
    header, row, *more = path.read_text().splitlines()
    cells = row.split(",")
    place = header.split(",").index(column)
    cells[place] = cells[place][:-1] + ("3" if cells[place][-1] != "3" else "4")
    path.write_text("\n".join([header, ",".join(cells), *more]) + "\n")
    if renewed:
        write_digests(results)

    found = [one for one in problems("made_up", SWEEP, results, reports) if "saw different data" not in one]

    assert (f"{path} is not the file that was written (SHA-256)" in found) is not renewed
    assert len(found) > (not renewed), "even listed anew it contradicts itself or the page"


def test_a_further_result_of_nothing_and_one_that_is_there_twice_are_problems(published: Path) -> None:
    results = published / "results"
    path = results / "repeats.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    assert any("it is no further result" in one for one in result_problems(results))

    path.write_text(path.read_text().replace(RUN.id, "plain-20-quick-s9-0"))
    assert any("plain-20-quick-s9-0 has no result in runs.csv" in one for one in result_problems(results))


def test_only_the_official_digest_is_the_official_data() -> None:
    assert is_official("cifar10", REAL) is True
    assert is_official("cifar10", REAL[:-1] + "4") is False
    assert is_official("cifar10", "") is False
    assert is_official("stand-in", REAL) is None
    assert data_of_runs([("cifar10", REAL)] * 2) == "the official CIFAR-10 (SHA-256 32e5966899bd)"
    assert data_of_runs([("cifar10", "")]) == "not the official CIFAR-10 (no SHA-256 is known)"
    assert data_of_runs([("bccd", "a" * 64)]) == "bccd (SHA-256 aaaaaaaaaaaa)"
    assert data_of_runs([]) == ""


@pytest.mark.parametrize(
    ("data", "top", "words"),
    [
        (REAL, "the official CIFAR-10", "the official CIFAR-10"),
        (OTHER, "**not the official** CIFAR-10", "**not the official CIFAR-10**"),
    ],
)
def test_a_page_says_at_its_top_whether_the_data_are_official(tmp_path: Path, data: str, top: str, words: str) -> None:
    collect(tmp_path / "results", [done(tmp_path / "one", 11.0, data)], SWEEP.runs("quick"))
    (one,) = frame.load(tmp_path / "results", SWEEP)

    lines = page(evidence(one)).splitlines()

    assert lines[4].endswith(f"1 of 8 runs done, on {top}.")
    assert f"- Data: {words} (SHA-256 {data[:12]})." in lines
    assert "repeats.csv" not in "\n".join(lines)
