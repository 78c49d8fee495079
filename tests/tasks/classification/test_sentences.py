"""What a classification's page says of errors: of nets at chance nothing, of a net out of order that it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.report import frame
from bench.report.collect import collect
from bench.report.evidence import Evidence
from bench.report.first_screen import in_short
from bench.report.numbers import TEST_ERROR, reached
from bench.report.sections import Drawing
from bench.report.tables import Table, at_chance
from bench.tasks.classification.sections import findings
from bench.tasks.classification.sentences import sentences
from tests.report.builders import SWEEP, fake, made_up_set
from tests.report.builders import evidence as made_up_evidence
from tests.report.claimed import DEGRADES, evidence, runs, with_params

FAMILIES = {"plain-20": [30.0], "plain-56": [40.0], "resnet-20-A": [21.0], "resnet-56-A": [20.0]}


def of(scale: str, images: int = 10_000, steps: int = 8_000, /, **errors: Sequence[float]) -> Evidence:
    """Made-up results; `plain_20=[30.0]` are the test errors of its seeds, the training errors a quarter of them."""
    found = with_params(runs(scale, errors={net.replace("_", "-"): its for net, its in errors.items()}, images=images))
    return evidence(replace(found, runs=found.runs.assign(steps=steps)), DEGRADES)


def test_nothing_is_told_of_nets_that_are_all_at_chance() -> None:
    one = of("quick", 100, 20, plain_20=[90.0], plain_56=[87.0], resnet_20_A=[85.0], resnet_56_A=[93.0])

    assert sentences(one) == (
        [
            "All test errors are at chance (90 %): 20 steps are too few to tell nets apart "
            "(test error 85.00 to 93.00 % on 100 images)."
        ],
        [],
    )


def test_the_page_and_the_index_tell_no_difference_between_guesses(tmp_path: Path) -> None:
    for run in SWEEP.runs("quick"):
        fake(tmp_path / "runs", run, 90 + run.seed)
    collect(tmp_path / "results", [tmp_path / "runs"], SWEEP.runs("quick"))
    one = made_up_evidence(frame.load(tmp_path / "results", SWEEP)[0])

    found = findings(one)

    assert [line.partition(":")[0] for line in found.answer] == ["All test errors are at chance (90 %)"]
    assert list(found.said) == []
    assert in_short(one) == found.answer[0]
    assert [section.heading for section in found.sections][-2:] == [
        "Shallow against deep nets",
        "Accuracy against cost",
    ]


@pytest.mark.parametrize(("scale", "data"), [("paper", "cifar10"), ("paper", "cifar100"), ("short", "cifar10")])
def test_only_at_scale_quick_steps_are_called_too_few(scale: str, data: str) -> None:
    """CIFAR-100 at the paper's schedule is none of the paper's data, and no shorter for that."""
    one = of(scale, 10_000, 64_000, plain_20=[99.1], resnet_20_A=[98.9])
    (line,), _ = sentences(replace(one, results=replace(one.results, data=data)))

    assert ": no net has learnt in 64,000 steps (test error 98.90 to 99.10 % on" in line


def test_one_net_has_no_range_and_equal_errors_neither_rise_nor_fall() -> None:
    (guess, *_), _ = sentences(of("quick", 300, 300, plain_20=[90.0], resnet_20_A=[60.0]))
    (same, *_), _ = sentences(of("short", plain_20=[8.0], plain_56=[8.0], resnet_20_A=[8.0], resnet_56_A=[6.0]))

    assert guess == (
        "At chance (90 %) after 300 steps: plain-20 (test error 90.00 % on 300 images). Better than a guess: "
        "ResNet-20 (60.00 %)."
    )
    assert same.startswith("Plain networks: the training error goes from 2.00 % at 20 layers to 2.00 % at 56")


def test_differences_are_told_among_nets_that_have_learnt_alone() -> None:
    answer, said = sentences(
        of("quick", 300, 300, plain_20=[88.0], plain_56=[92.0], resnet_20_A=[60.0], resnet_56_A=[64.0])
    )

    assert answer[0] == (
        "At chance (90 %) after 300 steps: plain-20, plain-56 (test error 88.00 to 92.00 % on 300 images). Better "
        "than a guess: ResNet-20, ResNet-56 (60.00 to 64.00 %). Sentences tell differences among these alone; "
        "tables have all."
    )
    assert answer[1:] == [
        "Training error of residual nets by depth: 20 layers 15.00 %, 56 layers 16.00 %; the deepest is 1.00 points "
        "higher than the shallowest (n = 1)."
    ]
    assert said == []


def test_an_error_is_at_chance_where_its_interval_over_images_reaches_it() -> None:
    """Wilson's, on 100 images: of 84 % it ends at 89.9, of 85 % at 90.7."""
    assert list(at_chance(of("quick", 100, plain_20=[84.0, 85.0, 97.0]).results)) == [False, True, True]
    assert not at_chance(of("quick", 10_000, plain_20=[85.0]).results).any()


def test_a_net_with_a_seed_at_chance_is_named() -> None:
    answer, _ = sentences(of("quick", plain_20=[60.0, 61.0], plain_56=[80.0, 89.8], resnet_20_A=[55.0]))

    assert answer[-1] == (
        "At chance: 1 of 2 runs of plain-56 (seed 1: 89.80 %); its mean is of nets that learnt and nets that did not."
    )


def test_a_net_out_of_order_is_named_with_its_neighbours_and_seeds() -> None:
    order = of("short", plain_20=[14.7], plain_32=[20.3], plain_44=[29.4], resnet_20_A=[12.75, 12.75])
    assert not [line for line in sentences(order)[0] if "order" in line]

    odd = of("short", resnet_20_A=[12.75, 12.75], resnet_32_A=[11.77], resnet_44_A=[19.31], resnet_56_A=[15.89])
    assert [line for line in sentences(odd)[0] if "order" in line] == [
        "Out of order: ResNet-44's test error, 19.31 % (ResNet-32: 11.77 %, ResNet-56: 15.89 %); one seed each."
    ], "that 32 layers are lower than 20 and 44 is not beyond the intervals over images"
    low = of("short", resnet_20_A=[12.75], resnet_32_A=[8.0, 8.2], resnet_44_A=[11.0])
    assert sentences(low)[0][-1] == (
        "Out of order: ResNet-32's test error, 8.10 % (ResNet-20: 12.75 %, ResNet-44: 11.00 %); n = 1, 2, 1."
    )
    two = of("short", resnet_20_A=[13.07], resnet_32_A=[11.77], resnet_44_A=[19.31], resnet_56_A=[15.89])
    assert sentences(two)[0][-1] == "Out of order by test error: ResNet-32 (11.77 %), ResNet-44 (19.31 %); n = 1."


@pytest.mark.parametrize(
    ("scale", "steps", "of_paper"),
    [
        ("short", 8_000, "In the paper, after 64,000 steps, it rises with depth in plain"),
        ("paper", 64_000, "In the paper, after 64,000 steps, it rises with depth in plain"),
        ("quick", 200, "Test error at 56 layers: "),
    ],
)
def test_both_halves_are_read_beside_the_paper_but_at_scale_quick(scale: str, steps: int, of_paper: str) -> None:
    errors = {net.replace("-", "_"): its for net, its in (FAMILIES | {"resnet-56-A": [25.0]}).items()}

    first, second, third, *_ = sentences(of(scale, 10_000, steps, **errors))[0]

    assert first.startswith("Plain networks: the training error rises from 7.50 % at 20 layers to 10.00 % at 56")
    assert second.startswith("Residual networks: the training error ")
    assert third.startswith(of_paper)


def test_notes_of_one_seed_each_speak_of_no_spread(tmp_path: Path) -> None:
    two = made_up_set(tmp_path)
    one = replace(two, runs=two.runs[two.runs["seed"] == 0])

    first, second = (" ".join(_notes(made_up_evidence(results))) for results in (one, two))

    assert "One seed of each net (n = 1): no standard deviation and no interval over seeds. The test error" in first
    assert "± standard deviation" not in first
    assert "band" not in first
    assert "Mean ± standard deviation over seeds (n). The test error is" in second
    assert "a band from the lowest to the highest" in second


def _notes(one: Evidence) -> list[str]:
    """Of what classification's own tables and figures show; not Fig. 7."""
    found = findings(one)
    assert found.figure
    assert found.table
    parts = [part for section in (found.table, *found.sections) for part in section.parts]
    tables = [part.note for part in parts if isinstance(part, Table)]
    return [found.figure.caption, *tables, *(part.caption for part in parts if isinstance(part, Drawing))]


def test_a_net_alone_says_what_it_has() -> None:
    """All runs of such a study are done: they are not too few."""
    said = reached(of("quick", resnet_20_A=[20.0, 22.0]), "Test error", TEST_ERROR)

    assert said == "Test error in % (n): ResNet-20 21.00 ± 1.41 (2)."
