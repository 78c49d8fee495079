"""Further tests in results and on pages: which stand, their intervals, means of several parts, pairs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.report import frame
from bench.report.collect import collect
from bench.report.further import read_tests
from bench.report.further_nets import Asked, floor_of, measured
from bench.report.further_page import further_sections
from bench.report.numbers import Number
from bench.report.sections import Section
from bench.report.stats import disagreement_std, mcnemar, paired_images, wilson
from bench.report.tables import Table, p_words
from bench.spec import Sweep
from bench.spec.further import CORRUPTIONS, FURTHER
from bench.store import RunFolder
from tests.report.builders import evidence, fake, keep_tested
from tests.report.verify.builders import CELLS, SWEEP

V6 = FURTHER["cifar10.1-v6"]
FOG = FURTHER["cifar10-c:fog"]
PLAIN, RESIDUAL = (net.name for net, _ in CELLS)


def made(root: Path) -> dict[tuple[str, int], RunFolder]:
    """The runs of two nets and two seeds, done, by net and seed."""
    runs = SWEEP.runs("quick")
    return {(run.net.name, run.seed): fake(root / "runs" / "made_up", run, 10.0 + k) for k, run in enumerate(runs)}


def loaded(root: Path, sweep: Sweep = SWEEP) -> frame.Set:
    collect(root / "results", [root / "runs" / "made_up"], SWEEP.runs("quick"))
    return frame.load(root / "results", sweep)[0]


def table(sections: list[Section], name: str) -> Table:
    return next(part for one in sections for part in one.parts if isinstance(part, Table) and part.name == name)


def number(cell: object) -> Number:
    assert isinstance(cell, Number)
    return cell


def test_without_tests_there_is_no_section_and_no_file(tmp_path: Path) -> None:
    made(tmp_path)

    assert further_sections(evidence(loaded(tmp_path))) == []
    assert not list((tmp_path / "results").glob("tests.*"))


def test_a_set_is_a_row_a_net_with_both_intervals_and_how_far_it_is_from_the_own_test(tmp_path: Path) -> None:
    folders = made(tmp_path)
    for (net, seed), folder in folders.items():
        keep_tested(folder, V6.name, range(40 + 10 * seed + 8 * (net == PLAIN)))
    results = loaded(tmp_path)

    sections = further_sections(evidence(results))
    rows = table(sections, "further").rows

    assert [(row[0], row[1], row[2]) for row in rows] == [
        ("CIFAR-10.1 v6", "ResNet-20", "200"), ("CIFAR-10.1 v6", "plain-20", "200"),
    ]  # fmt: skip
    error, excess = number(rows[0][3]), number(table(sections, "further_excess").rows[0][3])
    assert (error.value, error.n, str(error)) == (22.5, 2, "22.50 ± 3.54 (2)")
    assert error.over_images == wilson(22.5, 200)
    own = results.done[results.done["net"] == RESIDUAL]["test_error"].mean()
    assert excess.value == pytest.approx(22.5 - own)
    assert excess.over_images is not None
    assert excess.over_images.method == "Newcombe"
    assert excess.over_images.low < excess.value < excess.over_images.high
    assert error.id == f"made_up.quick.{RESIDUAL}.cifar10.1-v6_error"


def test_two_nets_are_compared_on_the_same_further_images(tmp_path: Path) -> None:
    folders = made(tmp_path)
    for (net, seed), folder in folders.items():
        keep_tested(folder, V6.name, range(40 + 10 * seed + 8 * (net == PLAIN)))
    results = loaded(tmp_path)

    (row,) = table(further_sections(evidence(results)), "further_pairs").rows

    plain, residual = (measured(results, net, Asked.of([V6], V6.title)) for net in (PLAIN, RESIDUAL))
    assert plain is not None
    assert residual is not None
    difference = number(row[4])
    assert row[:4] == ("CIFAR-10.1 v6", "plain-20", "ResNet-20", "2, 2")
    assert difference.value == pytest.approx(-4.0)
    assert difference.over_images == paired_images(plain.shares > 0, residual.shares > 0)
    assert row[7] == p_words(mcnemar(plain.shares[0], residual.shares[0]).p_mid)


def test_severities_and_corruptions_are_kept_and_the_images_of_all_count_once(tmp_path: Path) -> None:
    folders = made(tmp_path)
    for (_, seed), folder in folders.items():
        for corruption in (*CORRUPTIONS, "saturate"):
            wrong = [range(10 * severity + seed + 50 * (corruption == "saturate")) for severity in range(1, 6)]
            keep_tested(folder, f"cifar10-c:{corruption}", *wrong)
    results = loaded(tmp_path)
    sections = further_sections(evidence(results))

    rows = table(sections, "further").rows
    assert [row[0] for row in rows] == ["CIFAR-10-C, mean of 15 corruptions at 5 severities"] * 2
    error = number(rows[0][3])
    assert error.value == pytest.approx(np.mean([100 * (10 * s + seed) / 200 for s in range(1, 6) for seed in (0, 1)]))
    assert error.over_images is not None
    assert error.over_images.method == "normal, by image"
    single = wilson(error.value, 200)
    width = error.over_images.high - error.over_images.low
    assert 0.5 < width / (single.high - single.low) < 1.1, "200 photographs, not 75 times as many"
    assert table(sections, "further_pairs").rows[0][7] == "–"
    severities = table(sections, "cifar10-c-severities").rows[0]
    assert [number(cell).value for cell in severities[2:]] == [5.25, 10.25, 15.25, 20.25, 25.25]
    members = table(sections, "cifar10-c-corruptions").rows
    assert [row[0] for row in members[-2:]] == ["JPEG compression", "saturate (extra)"]
    assert number(members[-1][1]).value == pytest.approx(15.25 + 25)


def test_a_part_of_a_group_is_named_as_such(tmp_path: Path) -> None:
    folders = made(tmp_path)
    keep_tested(folders[PLAIN, 0], FOG.name, *(range(9) for _ in range(5)))
    sweep = replace(SWEEP, tests=("cifar10-c", "cifar10.1-v6"))

    sections = further_sections(evidence(loaded(tmp_path, sweep), sweep))

    rows = table(sections, "further").rows
    assert [row[:2] for row in rows] == [("CIFAR-10-C, fog, mean of 5 severities", "plain-20")]
    told = sections[0].parts[-1]
    assert isinstance(told, str)
    assert "Declared by the sweep and not tested yet: CIFAR-10.1 v6." in told
    assert "Declared by the sweep and not tested yet: 18 corruptions of CIFAR-10-C." in told
    assert "Of 4 finished runs 3 are not tested on all of CIFAR-10-C, fog" in told


@pytest.mark.parametrize("members", [(*CORRUPTIONS, "saturate"), ("fog", "saturate")])
def test_no_number_has_two_anchors_on_a_page(tmp_path: Path, members: tuple[str, ...]) -> None:
    folders = made(tmp_path)
    for member in members:
        keep_tested(folders[PLAIN, 0], f"cifar10-c:{member}", *(range(9) for _ in range(5)))

    parts = [part for one in further_sections(evidence(loaded(tmp_path))) for part in one.parts]

    anchors = re.findall('<a id="([^"]+)">', "".join(part.markdown() for part in parts if isinstance(part, Table)))
    assert f"made_up.quick.{PLAIN}.cifar10-c.fog_error" in anchors
    assert len(anchors) == len(set(anchors))


def test_the_same_images_are_compared_one_by_one_with_the_own_test(tmp_path: Path) -> None:
    folders = made(tmp_path)
    for folder in folders.values():
        keep_tested(folder, FOG.name, *(range(30) for _ in range(5)))
    results = loaded(tmp_path)

    row = table(further_sections(evidence(results)), "further_excess").rows[0]

    own = results.correct_images(RESIDUAL)
    found = measured(results, RESIDUAL, Asked.of([FOG], FOG.title))
    assert own is not None
    assert found is not None
    assert number(row[3]).over_images == paired_images(own, found.shares > 0)


def test_coin_flips_give_the_same_spread_as_for_whole_images() -> None:
    chance = np.random.default_rng(0)
    first, second = (chance.random((3, 50)) < share for share in (0.7, 0.8))

    assert floor_of(first.astype(float)) == pytest.approx(disagreement_std(first))
    assert floor_of(first.astype(float), second.astype(float)) == pytest.approx(disagreement_std(first, second))
    assert floor_of(np.ones((2, 50))) == pytest.approx(disagreement_std(np.ones((2, 50), bool)))


def test_the_first_test_of_the_same_weights_stands_and_those_of_other_weights_go(tmp_path: Path) -> None:
    folder = next(iter(made(tmp_path).values()))
    keep_tested(folder, V6.name, range(40))
    loaded(tmp_path)
    keep_tested(folder, V6.name, range(41))
    assert [row["error"] for row in loaded(tmp_path).further.rows] == ["20.0"]

    (folder.path / "test-cifar10.1-v6.json").unlink()
    assert len(loaded(tmp_path).further.rows) == 1, "tested on another machine"
    (tmp_path / "results" / "runs.csv").unlink()
    fake(folder.path.parent, folder.run(), 12.0, digest="other")
    assert loaded(tmp_path).further.rows == ()
    assert not list((tmp_path / "results").glob("tests.*"))


@pytest.mark.parametrize("name", ["test-cifar10.1-v4.json", "test-cifar10.1-v6.json"])
def test_a_file_of_another_run_or_by_another_name_counts_for_nothing(tmp_path: Path, name: str) -> None:
    first, second, *_ = made(tmp_path).values()
    keep_tested(first, V6.name, range(40))
    (first.path / "test-cifar10.1-v6.json").rename(second.path / name)

    loaded(tmp_path)

    assert read_tests(tmp_path / "results").rows == ()
