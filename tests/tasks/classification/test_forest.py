"""The forest plot: ours with both intervals, the paper's, other people's; what is missing is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from bench.report.collect import collect
from bench.report.evidence import Evidence, weigh
from bench.report.frame import load
from bench.report.render.style import PAGE, SMALL
from bench.report.stats import IMAGES, SEEDS, Interval
from bench.spec import Net, Recipe, Scale, Sweep
from bench.tasks.classification.figures import HERE, OTHERS, PAPER, Row, forest, forest_rows
from bench.tasks.classification.sections import others
from tests.report.builders import fake

RECIPE = Recipe(steps=100, drops=(50, 75), curve_every=10, test_every=50)
NETS = (Net("cifar", 20, "A"), Net("cifar", 110, "A"), Net("cifar", 20, "none"), Net("cifar", 110, "none"))
ERRORS = {"resnet-20-A": 8.5, "plain-20": 9.3, "plain-110": 64.0}  # ResNet-110 has not run
SCALE = Scale(tuple((net, RECIPE) for net in NETS), (0, 1))
SWEEP = Sweep("Made up", "Is it?", "It is.", {"paper": SCALE, "quick": SCALE})


def ours(tmp_path: Path, scale: str = "paper", errors: Mapping[str, float] = ERRORS) -> Evidence:
    for run in SWEEP.runs(scale):
        if run.net.name in errors:
            fake(tmp_path / "runs", run, errors[run.net.name] + 0.1 * run.seed)
    collect(tmp_path / "results", [tmp_path / "runs"], SWEEP.runs(scale))
    return weigh("made_up", SWEEP, load(tmp_path / "results", SWEEP))[0]


@pytest.fixture(scope="module")
def panels(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[Row]], dict[str, bool]]:
    return forest_rows(ours(tmp_path_factory.mktemp("forest")))


def labels(ax: Axes) -> list[str]:
    return [text.get_text().replace("\n", " ") for text in ax.get_yticklabels()]


def marks(ax: Axes, colour: str) -> dict[str, object]:
    """Faces by marker, of points."""
    return {str(x.get_marker()): x.get_markerfacecolor() for x in ax.get_lines() if x.get_color() == colour}


def test_the_nets_of_table_6_have_what_is_known_of_them(
    panels: tuple[dict[str, list[Row]], dict[str, bool]],
) -> None:
    residual, plain = panels[0]["residual nets"], panels[0]["plain nets"]
    shallow, deep = residual

    assert (shallow.n, shallow.paper) == (2, (8.75, None))
    assert shallow.ours == pytest.approx(8.55)
    methods = [one.method for one in (shallow.seeds, shallow.images) if one]
    assert methods == ["Student's t, spread at its floor", "Wilson"]  # the seeds differ by less than their images do
    assert (deep.n, deep.ours) == (0, None)
    assert deep.paper is not None
    assert deep.paper[0] == 6.61
    assert deep.paper[1] is not None
    assert (deep.paper[1].low, deep.paper[1].high) == pytest.approx((6.41, 6.81), abs=0.01)  # 2.776 × 0.16 / √5
    assert [row.paper for row in plain] == [None, None]
    assert shallow.others["akamaster, PyTorch"] == 8.27


def test_every_source_is_drawn_and_the_best_epoch_of_the_test_images_is_open(
    panels: tuple[dict[str, list[Row]], dict[str, bool]],
) -> None:
    figure = forest(*panels)
    left, right = figure.axes
    theirs = marks(left, OTHERS)

    assert (labels(left), labels(right)) == (
        ["ResNet-20 (n = 2)", "ResNet-110 (not run yet)"],
        ["plain-20 (n = 2)", "plain-110 (n = 2)"],
    )
    assert list(panels[1].values()) == [True, False, False, True]
    assert [face == "white" for face in theirs.values()] == list(panels[1].values())
    assert "D" in marks(left, PAPER)
    assert {"o", "|"} <= set(marks(left, HERE))
    assert "D" not in marks(right, PAPER)


def test_a_net_of_which_nobody_has_a_number_is_named_too(tmp_path: Path) -> None:
    """The paper prints none of plain-110."""
    figure = forest(*forest_rows(ours(tmp_path, errors={"resnet-20-A": 8.5})))

    assert labels(figure.axes[1]) == ["plain-20 (not run yet)", "plain-110 (not run yet)"]


def test_a_net_at_chance_does_not_squash_the_others_and_its_error_is_written(
    panels: tuple[dict[str, list[Row]], dict[str, bool]],
) -> None:
    right = forest(*panels).axes[1]

    assert right.get_xlim()[1] < 20
    assert [text.get_text() for text in right.texts] == ["64.0 %, off the axis ▸ "]


def test_an_interval_that_leaves_the_axis_ends_in_an_arrow() -> None:
    row = Row(
        "a",
        (8.0, None),
        {"x": 9.0},
        n=2,
        ours=8.5,
        seeds=Interval(0, 40, "t", SEEDS),
        images=Interval(8, 9, "Wilson", IMAGES),
    )
    ax = forest({"nets": [row]}, {"x": False}).axes[0]

    assert {"<", ">"} <= {str(line.get_marker()) for line in ax.get_lines()}
    assert ax.get_xlim() == pytest.approx((7.94, 9.06))


def test_it_is_as_wide_as_a_page_and_can_be_read(panels: tuple[dict[str, list[Row]], dict[str, bool]]) -> None:
    figure: Figure = forest(*panels)

    assert figure.get_figwidth() == PAGE
    assert min(float(text.get_fontsize()) for text in figure.findobj(Text) if text.get_text()) >= SMALL


@pytest.mark.parametrize(("scale", "parts"), [("paper", 2), ("quick", 0)])
def test_it_stands_beside_other_peoples_numbers_and_only_by_the_papers_schedule(
    tmp_path: Path, scale: str, parts: int
) -> None:
    found = others(ours(tmp_path, scale))

    assert [(one.heading, len(one.parts)) for one in found] == [("Published reproductions", 2)] * (parts // 2)
