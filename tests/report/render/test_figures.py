"""Fig. 6 and accuracy against cost: panels, limits from the data, and what is not drawn is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from bench.report.collect import collect
from bench.report.frame import Set, by_net, load
from bench.report.machines import STEADY
from bench.report.render.figures import (
    APART,
    costs,
    curves,
    limits,
    not_run,
    panels_of,
    squashing,
    times,
    tradeoff,
)
from bench.report.render.style import COLUMN, EDGE, PAGE, SMALL, STYLE, lay_out, look
from bench.spec import Net, Scale
from tests.report.builders import RECIPE, SWEEP, fake

PAPER = {  # as the nets of Fig. 6 end
    "plain-20": 9.3, "plain-32": 9.6, "plain-44": 11.2, "plain-56": 13.4, "plain-110": 64.2,
    "resnet-20-A": 8.6, "resnet-56-A": 6.9, "resnet-110-A": 6.6, "resnet-1202-A": 7.9,
}  # fmt: skip
NETS = tuple(Net("cifar", int(name.split("-")[1]), "A" if name.startswith("resnet") else "none") for name in PAPER)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Set:
    """Two seeds of each net."""
    tmp = tmp_path_factory.mktemp("full")
    sweep = replace(SWEEP, scales={"paper": Scale(tuple((net, RECIPE) for net in NETS), (0, 1))}, claims=())
    for run in sweep.runs("paper"):
        fake(tmp / "runs", run, PAPER[run.net.name] + 0.1 * run.seed)
    collect(tmp / "results", [tmp / "runs"], sweep.runs("paper"))
    return load(tmp / "results", sweep)[0]


@pytest.fixture(scope="module")
def fig_6(full: Set) -> Figure:
    """Of all nets."""
    return curves(full)


@pytest.fixture(scope="module")
def cost(full: Set) -> Figure:
    """The other figure of all nets."""
    return tradeoff(full)


def of(results: Set, *nets: str) -> Set:
    """Of these nets alone, as if no other were declared."""
    runs = results.runs[results.runs["net"].isin(nets)]
    return replace(results, runs=runs, curves=results.curves[results.curves["id"].isin(runs["id"])])


def waiting(results: Set, net: str, state: str = "pending") -> Set:
    """As if this net had no number."""
    ours = results.runs["net"] == net
    curves = results.curves[~results.curves["id"].isin(results.runs.loc[ours, "id"])]
    return replace(results, runs=results.runs.assign(state=results.runs["state"].mask(ours, state)), curves=curves)


def words(figure: Figure) -> str:
    return " ".join(text.get_text().replace("\n", " ") for text in figure.findobj(Text))


def titles(figure: Figure) -> list[str]:
    return [ax.get_title() for ax in figure.axes]


def colours(ax: Axes) -> set[tuple[str, str]]:
    return {(str(line.get_color()), str(line.get_marker())) for line in ax.get_lines()}


def test_fig_6_has_the_papers_three_panels(fig_6: Figure) -> None:
    assert titles(fig_6) == ["plain nets", "residual nets", "110 and 1202 layers"]
    assert [len(ax.get_lines()) // 2 for ax in fig_6.axes] == [4, 3, 2]
    assert colours(fig_6.axes[2]) == {(look(d).colour, look(d).marker) for d in (110, 1202)}


def test_without_a_very_deep_net_it_has_two_and_with_nothing_else_one(full: Set) -> None:
    two, one = of(full, "plain-20", "resnet-20-A"), of(full, "resnet-110-A", "resnet-1202-A")

    wide, narrow = curves(two), curves(one)

    assert titles(wide) == ["plain nets", "residual nets"]
    assert titles(narrow) == ["residual nets"]
    assert (wide.get_figwidth(), narrow.get_figwidth()) == (PAGE, COLUMN)


def test_other_units_stand_right_of_residual_nets() -> None:
    nets = {"preactivation-110-A": 110, "resnet-110-A": 110, "plain-20": 20}
    runs = pd.DataFrame({"net": list(nets), "depth": list(nets.values())})

    assert list(panels_of(runs)) == ["plain nets", "residual nets", "pre-activation nets"]


def test_plain_110_squashes_no_other_curve_and_is_named(full: Set, fig_6: Figure, cost: Figure) -> None:
    """Its curve is no line of the figure, and the axis ends where it would without it."""
    without = curves(of(full, *(net for net in PAPER if net != "plain-110")))

    assert fig_6.axes[0].get_ylim() == without.axes[0].get_ylim() == pytest.approx((0, 20), abs=1.5)
    assert "above the axis: plain-110 (64.2 %)" in words(fig_6)
    assert look(110).colour not in {line.get_color() for line in fig_6.axes[0].get_lines()}
    assert "above the axis: plain-110 (64.2 %)" in words(cost)


@pytest.mark.parametrize(
    ("errors", "above"),
    [
        (PAPER, ["plain-110"]),
        ({"a": 12.6, "b": 14.7, "c": 29.4, "d": 44.5, "e": 85}, ["e"]),
        ({"a": 12.6, "b": 14.7, "c": 90, "d": 91}, ["c", "d"]),
        ({"a": 6.0, "b": 13.0}, []),
        ({"a": 64, "b": 78, "c": 90}, []),
        ({"a": 64}, []),
        ({}, []),
    ],
    ids=["Fig. 6", "short", "two at chance", "far apart and learnt", "all bad", "one", "none"],
)
def test_only_a_net_far_above_all_others_is_left_out(errors: Mapping[str, float], above: list[str]) -> None:
    assert list(squashing(pd.Series(errors, dtype=float)).index) == above


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (90, 9, (0, 20)),
        (90, 14, (0, 20)),
        (90, 16, (0, 25)),
        (90, 45, (40, 65)),
        (91, 85, (80, 95)),
        (100, 99, (95, 100)),
    ],
)
def test_limits_follow_from_the_data(start: float, end: float, expected: tuple[float, float]) -> None:
    errors = np.linspace(start, end, 3)
    frame = pd.DataFrame({"step": range(3), "test_error": errors, "error": errors, "net": "a", "id": "a"})

    assert limits(frame.assign(state="done"))[:2] == expected


@pytest.mark.parametrize(("state", "said"), [("pending", "not run yet: plain-32"), ("failed", "failed: plain-32")])
def test_a_net_that_is_missing_is_named_in_the_figure(full: Set, state: str, said: str) -> None:
    results = waiting(full, "plain-32", state)

    assert said in words(curves(results))
    assert said in words(tradeoff(results))
    assert not_run(full, PAPER) == ""


def test_missing_nets_are_named_by_kind_and_depth(full: Set) -> None:
    results = full
    for net in ("resnet-20-A", "plain-20", "plain-32", "resnet-56-A"):
        results = waiting(results, net)

    assert not_run(results, PAPER) == "not run yet: plain-20, plain-32, ResNet-20, ResNet-56"


def test_training_and_test_are_told_apart_in_weight_line_and_band(full: Set) -> None:
    ax = curves(of(full, "plain-20")).axes[0]
    test, training = ax.get_lines()
    of_test, of_training = (float(band.get_alpha() or 1) for band in ax.collections)

    assert (training.get_linestyle(), test.get_linestyle()) == ("--", "-")
    assert 2 * training.get_linewidth() <= test.get_linewidth()
    assert of_training <= of_test / 2
    assert training.get_linewidth() >= 0.5, "thinner lines do not print"


def test_where_points_meet_both_are_seen(full: Set) -> None:
    """Training's are open, smaller and above; the shallow nets' are above the deep ones', which are larger."""
    lines = curves(of(full, "resnet-20-A", "resnet-110-A")).axes[0].get_lines()

    assert [line.get_marker() for line in lines] == 2 * [look(110).marker, look(20).marker]
    assert [line.get_linestyle() for line in lines] == ["-", "-", "--", "--"]
    assert [line.get_markerfacecolor() for line in lines] == [look(110).colour, look(20).colour, "white", "white"]
    assert max(line.get_markersize() for line in lines[2:]) < min(line.get_markersize() for line in lines[:2])


@pytest.mark.parametrize(("start", "cap"), [(70, 70), (70.3, 70), (100, 100), (55, 70)])
def test_no_point_lies_on_the_edge_of_the_axis(full: Set, start: float, cap: float) -> None:
    """As plain-56 at scale short, whose first test error is 70 %, 1.4 times the last."""
    results = of(full, "plain-20")
    seen, end = results.curves["test_error"].notna(), cap / 1.41
    errors = (end + (start - end) * (RECIPE.steps - results.curves["step"]) / RECIPE.test_every).clip(upper=100)
    ax = curves(replace(results, curves=results.curves.assign(error=errors, test_error=errors.where(seen)))).axes[0]
    low, high = ax.get_ylim()
    marked = [np.asarray(line.get_ydata(), float)[np.asarray(line.get_markevery(), int)] for line in ax.get_lines()]

    assert min(abs(y - edge) for y in np.concatenate(marked) for edge in (low, high)) >= EDGE * (high - low) * 0.95


def test_a_depth_has_one_look_in_all_of_its_panels_and_figures(fig_6: Figure, cost: Figure) -> None:
    own = {(look(d).colour, look(d).marker) for d in (20, 32, 44, 56, 110, 1202)}

    assert {one for ax in fig_6.axes for one in colours(ax)} == own
    assert {one for ax in cost.axes for one in colours(ax) if one[1] in "o^sDvX"} == own


def test_types_and_sizes_are_those_of_print(fig_6: Figure, cost: Figure) -> None:
    for figure in (fig_6, cost):
        assert figure.get_figwidth() in (COLUMN, PAGE)
        assert min(float(text.get_fontsize()) for text in figure.findobj(Text) if text.get_text()) >= SMALL


def test_intervals_of_nets_that_cost_the_same_stand_beside_each_other(full: Set) -> None:
    figure = tradeoff(of(full, "plain-20", "resnet-20-A", "plain-56"))
    figure.draw_without_rendering()

    for ax in figure.axes:
        bars = [bar for bar in ax.collections if isinstance(bar, LineCollection)]
        places = sorted(bar.get_transform().transform(bar.get_segments()[0])[0, 0] for bar in bars)
        assert len(places) == 3
        assert places[1] - places[0] == pytest.approx(APART / 72 * figure.dpi)


def at_speeds(results: Set, speeds: Mapping[tuple[str, int], float]) -> Set:
    """As if these nets' runs (by seed) had trained so many images a second."""
    keys = zip(results.runs["net"], results.runs["seed"], strict=True)
    rates = [speeds.get(key, rate) for key, rate in zip(keys, results.runs["images_per_s"], strict=True)]
    return replace(results, runs=results.runs.assign(images_per_s=rates))


@pytest.mark.parametrize(
    ("nets", "seeds", "factor", "panels"),
    [
        (("plain-20", "plain-56", "resnet-20-A"), (0, 1), STEADY - 0.01, 4),
        (("plain-20", "plain-56", "resnet-20-A"), (0, 1), STEADY + 0.01, 3),
        (("plain-20", "plain-56", "resnet-20-A"), (0,), 1, 3),
        (("plain-20", "plain-56"), (0, 1), 1, 3),
    ],
    ids=["steady", "one run was faster", "one run of each", "two nets"],
)
def test_training_times_are_drawn_only_where_they_can_be_compared(
    full: Set, nets: tuple[str, ...], seeds: tuple[int, ...], factor: float, panels: int
) -> None:
    results = of(full, *nets)
    runs = results.runs[results.runs["seed"].isin(seeds)]
    results = at_speeds(replace(results, runs=runs), {("plain-56", 0): 100, ("plain-56", 1): 100 * factor})

    figure = tradeoff(results)

    assert len(figure.axes) == len(costs(results).columns) == panels
    assert [ax.get_xlabel() for ax in figure.axes[:3]] == ["layers", "parameters (M)", "multiply-adds (M)"]
    assert len(times(results)) == (len(nets) if panels == 4 else 0)


def test_times_are_of_one_machine_which_is_named_where_there_are_two(full: Set) -> None:
    elsewhere = full.runs["net"].eq("plain-20")
    results = replace(full, runs=full.runs.assign(hardware=full.runs["hardware"].mask(elsewhere, "another")))

    assert times(results).name == "training (min) on made up"
    assert "plain-20" not in times(results)


def boxes(figure: Figure) -> dict[str, Bbox]:
    """Where each text stands, by itself and its number; of an axis's numbers those in view."""
    with mpl.rc_context(STYLE):
        lay_out(figure)
    texts = [text for legend in figure.findobj(Legend) for text in (legend.get_title(), *legend.get_texts())]
    for ax in figure.axes:
        texts += [ax.title, ax.xaxis.label, ax.yaxis.label]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            shown = [tick for tick in axis.get_major_ticks() if tick.label1.get_visible()]
            texts += [tick.label1 for tick in shown if low <= tick.get_loc() <= high]
    return {f"{k}: {text.get_text()}": text.get_window_extent() for k, text in enumerate(texts) if text.get_text()}


@pytest.mark.parametrize("nets", [tuple(PAPER), ("plain-20", "resnet-56-A", "resnet-110-A"), ("resnet-1202-A",)])
@pytest.mark.parametrize("draw", [curves, tradeoff])
def test_no_words_lie_on_others_or_on_data_or_run_out_of_the_figure(
    full: Set, draw: Callable[[Set], Figure], nets: tuple[str, ...]
) -> None:
    results = waiting(of(full, *nets), "plain-20")
    figure = draw(results)
    found = boxes(figure)

    assert [pair for pair in combinations(found, 2) if found[pair[0]].overlaps(found[pair[1]])] == []
    assert [words for words, box in found.items() if any(box.overlaps(ax.bbox) for ax in figure.axes)] == []
    assert [words for words, box in found.items() if box.x0 < 0 or box.x1 > figure.bbox.width + 1] == []


def test_depths_far_apart_are_on_a_logarithmic_axis_at_their_own_places(full: Set, cost: Figure) -> None:
    whole, near = cost.axes[0], tradeoff(of(full, "plain-20", "plain-56")).axes[0]

    assert (whole.get_xscale(), whole.get_xlabel()) == ("log", "layers (log scale)")
    assert (near.get_xscale(), near.get_xlabel(), list(near.get_xticks())) == ("linear", "layers", [20, 56])
    assert by_net(full.runs)["depth"].isin(whole.get_xticks()).all()
