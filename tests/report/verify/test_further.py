"""Further tests are held against their images, their runs, and what was published."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.report.collect import collect
from bench.report.verify.further import changed_tests, in_tests
from bench.report.verify.published import Published
from bench.store import StoreError
from tests.report.builders import fake, keep_tested
from tests.report.verify.builders import SWEEP
from tests.report.verify.histories import History

RUNS = SWEEP.runs("quick")[:2]
Spoil = Callable[[list[dict[str, str]], dict[str, Any]], object]


@pytest.fixture(scope="session")
def further(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two runs, each tested on CIFAR-10.1 and on fog."""
    root = tmp_path_factory.mktemp("further")
    for k, run in enumerate(RUNS):
        folder = fake(root / "runs" / "made_up", run, 10.0 + k)
        keep_tested(folder, "cifar10.1-v6", range(40 + k))
        keep_tested(folder, "cifar10-c:fog", *(range(20 * severity + k) for severity in range(1, 6)))
    collect(root / "results", [root / "runs" / "made_up"], RUNS)
    return root / "results"


def problems(results: Path) -> list[str]:
    try:
        return list(in_tests(Published.read(results)))
    except StoreError as error:
        return [str(error)]


def test_honest_tests_have_no_problem(further: Path) -> None:
    assert len(Published.read(further).rows) == 2
    assert len((further / "tests.csv").read_text().splitlines()) == 1 + 2 * 6
    assert problems(further) == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda its, _: its[0].update(error="1.0"), "s0-.*, cifar10.1-v6: error is 1.0, and its images say 20.0"),
        (lambda its, _: its[0].update(weights_sha256="0" * 64), "v6: it is of weights 000000000000, and the run ended"),
        (lambda its, _: its[0].update(test_sha256="0" * 64), "its runs were tested on different cifar10.1-v6"),
        (lambda its, _: its[1].update(id="nobody"), "nobody, cifar10-c:fog 1: runs.csv has no finished run of this"),
        (lambda its, _: its[1].update(part="9"), "fog 9: there is no such test set"),
        (lambda its, _: its[1].update(test="cifar11"), "cifar11 1: there is no such test set: the sets are cifar10.1"),
        (lambda its, _: its[0].update(images="2001"), "v6: it has 2,001 images, and the set 2,000"),
        (lambda its, _: its[0].update(images="99"), "its per-image correctness is not of 99 images"),
        (lambda its, _: its[0].update(tested="1969-01-01T00:00:00Z"), "it was tested .1969.* before the run ended"),
        (lambda its, _: its.append(its[0]), "two rows of one run, test set and part"),
        (lambda its, _: its.pop(0), "tests.npz: .*:cifar10.1-v6 has no row in tests.csv"),
        (lambda its, bits: bits.pop(f"{its[0]['id']}:cifar10.1-v6"), "v6: its per-image correctness is missing"),
        (lambda its, _: its[0].update(images="many"), "tests.csv is damaged: invalid literal"),
        (lambda its, _: its[0].update(error="nan"), "tests.csv is damaged: line 2 is no row of it"),
    ],
)
def test_what_contradicts_itself_is_named(further: Path, tmp_path: Path, spoil: Spoil, words: str) -> None:
    results = shutil.copytree(further, tmp_path / "results")
    with (results / "tests.csv").open(newline="") as file:
        its = list(csv.DictReader(file))
    with np.load(results / "tests.npz") as arrays:
        bits = {name: arrays[name] for name in arrays.files}
    spoil(its, bits)
    with (results / "tests.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, list(its[0]))
        writer.writeheader()
        writer.writerows(its)
    np.savez(results / "tests.npz", allow_pickle=False, **bits)

    found = problems(results)

    assert any(re.search(words, problem) for problem in found), found


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (",20.0,", ",19.0,", "error is 19.0 and was 20.0 in"),
        ("\n.*cifar10.1-v6,,200,20.0.*", "", "it is gone, though its run stands as it was in"),
        ("e" * 64, "f" * 64, "it is gone, though its run stands"),
    ],
)
def test_what_was_published_stays(further: Path, history: History, old: str, new: str, words: str) -> None:
    results = history.root / "results" / "made_up"
    shutil.copytree(further, results)
    history.commit(3)
    assert list(changed_tests(Published.read(results))) == []

    text = (results / "tests.csv").read_text()
    changed = re.sub(old, new, text)
    assert changed != text
    (results / "tests.csv").write_text(changed)

    found = list(changed_tests(Published.read(results)))
    assert found
    assert all(words in problem for problem in found), found
