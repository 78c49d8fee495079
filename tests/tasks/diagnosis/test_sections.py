"""What was seen of the layers on its pages: judged, drawn, said; made-up numbers throughout."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from bench.report import frame
from bench.report.digests import files_in
from bench.report.page import page, sections_of, write_report
from bench.report.render.style import COLUMN, PAGE, SMALL, look
from bench.report.sections import numbers_of
from bench.spec import Net, Scale
from bench.tasks.classification.sentences import differences
from bench.tasks.diagnosis import figures, gradients, layers, sections
from tests.report.builders import evidence
from tests.tasks.diagnosis.builders import DIVERGES, NETS, RECIPE, SCALES, SWEEP, made_up, without_anchors


@pytest.mark.parametrize(
    ("change", "said"),
    [(0.1, "vanishing"), (0.11, "healthy"), (1, "healthy"), (9.9, "healthy"), (10, "exploding")],
)
def test_a_change_by_a_factor_of_ten_is_not_healthy(change: float, said: str) -> None:
    assert gradients.word(change) == said


@pytest.mark.parametrize(
    ("value", "text"), [(0.43, "0.43"), (24.4, "24"), (12_345, "1.2 × 10⁴"), (4.5e-6, "4.5 × 10⁻⁶"), (1, "1")]
)
def test_factors_have_two_digits(value: float, text: str) -> None:
    assert gradients.two_digits(value) == text


def test_the_page_of_a_diagnosis_is_about_gradients_and_responses(tmp_path: Path) -> None:
    text = without_anchors(page(evidence(made_up(tmp_path), SWEEP)))

    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Gradient norms, first layer to last", "## Further findings", "## The claim",
        "## Gradients during training and of kernels; responses", "## Layer responses", "## Costs",
        "## Deviations from the paper", "## About these runs", "## Provenance", "## How to cite",
    ]  # fmt: skip
    # 1.1 ** 18 is 5.6, 1.1 ** 54 is 172
    ratio = "first-to-last gradient-norm ratio"
    with_bn = f"{ratio} 5.6 at 20 layers (healthy), 1.7 × 10² at 56 (exploding); n = 2."
    assert (
        f"- Plain nets with BN, at initialisation: {with_bn} The paper gives no bound; by our factor of "
        "10 residual nets are outside at no depth.\n" in text
    )
    # 0.9 ** 18 is 0.15, 0.9 ** 54 is 0.0034
    without = f"{ratio} 0.15 at 20 layers (healthy), 0.0034 at 56 (vanishing); n = 2."
    assert f"- Plain nets without BN, at initialisation: {without}\n" in text
    assert f"- Plain nets with BN, after 100 steps: {with_bn}\n" in text
    failed = "failed in 2 of 2 runs: the training loss is nan at step 2 (seeds 0 and 1)."
    assert f"- ResNet-56 without BN {failed}" in text
    assert "| plain-20 | 20 | 5.6 (2); 5.6 to 5.6 | healthy |" in text
    gone = "– | 2 of 2 seeds diverged"
    assert f"| ResNet-56 without BN | 56 | 1.9 × 10⁴ (2); 1.9 × 10⁴ to 1.9 × 10⁴ | exploding | {gone} |" in text


def with_one_seed_left(one: frame.Set) -> frame.Set:
    """The same, but that seed 1 of ResNet-20 without BN diverged after its first gradient."""
    return without_runs(one, "resnet-20-A-nobn", seeds=(1,))


def without_runs(one: frame.Set, *nets: str, seeds: tuple[int, ...] = (0, 1)) -> frame.Set:
    """The same, but that these runs diverged after their first gradient."""
    lost = one.runs["net"].isin(nets) & one.runs["seed"].isin(seeds)
    states = (
        one.runs["state"].mask(lost, "failed"),
        one.runs["error_message"].mask(lost, "the training loss is nan at step 2"),
    )
    gone = one.layers["id"].isin(one.runs.loc[lost, "id"]) & (one.layers["step"] > 0)
    return replace(one, runs=one.runs.assign(state=states[0], error_message=states[1]), layers=one.layers[~gone])


def test_a_seed_that_is_left_is_not_told_as_the_net(tmp_path: Path) -> None:
    one = with_one_seed_left(made_up(tmp_path))

    text = without_anchors(page(evidence(one, SWEEP)))

    # 1.2 ** 18 is 27
    assert (
        "- Residual nets without BN, after 100 steps: first-to-last gradient-norm ratio 27 at 20 layers "
        "(exploding, n = 1; 1 of 2 seeds diverged), none at 56 (2 of 2 seeds diverged)." in text
    )
    assert "| 27 (1) | exploding; 1 of 2 seeds diverged |" in text
    assert gradients.not_drawn(one, one.nets) == (
        "ResNet-20 without BN: 1 of 2 seeds diverged, later steps are seed 0 alone; "
        "ResNet-56 without BN: 2 of 2 seeds diverged"
    )


def test_where_nets_are_outside_our_bound_is_no_verdict_on_the_paper_which_gives_none(tmp_path: Path) -> None:
    one = made_up(tmp_path)
    one.layers.loc[(one.layers["layer"] == 1), "response_grad_norm"] = 1e-9
    start, _, end = gradients.gradient_findings(one)[0]

    assert "holds" not in start
    assert "(vanishing)" in end
    assert "bound" not in end, "a few steps of other settings than the paper's"
    assert start.endswith("residual nets are outside at 20 and 56 layers (4.1 × 10⁻¹⁰, 4.1 × 10⁻¹⁰).")
    assert "gives no bound" in gradients.gradient_findings(replace(one, scale="paper"))[0][2]


def test_depths_without_a_seed_left_have_no_ratio(tmp_path: Path) -> None:
    one = replace(made_up(tmp_path), scale="paper")

    start, _, of_20 = gradients.gradient_findings(without_runs(one, "plain-56"))[0]
    *_, of_none = gradients.gradient_findings(without_runs(one, "plain-20", "plain-56"))[0]

    assert "1.7 × 10² at 56 (exploding)" in start
    assert "none at 56 (2 of 2 seeds diverged)" in of_20
    assert "none at 20 layers (2 of 2 seeds diverged), none at 56 (2 of 2 seeds diverged); n = 0." in of_none
    assert all(text.endswith("by our factor of 10 residual nets are outside at no depth.") for text in (of_20, of_none))


def test_residual_nets_alone_answer_too(tmp_path: Path) -> None:
    cells = tuple((net, RECIPE) for net in NETS if not net.plain and net.norm == "bn")
    sweep = replace(SWEEP, scales={"quick": Scale(cells, (0, 1))})

    found = sections.findings(evidence(made_up(tmp_path, sweep), sweep))

    when = ["at initialisation", "after 100 steps"]
    assert [line.partition(":")[0] for line in found.answer] == [f"Residual nets with BN, {words}" for words in when]
    assert list(found.said) == []


def test_seeds_that_do_not_agree_are_said(tmp_path: Path) -> None:
    one = made_up(tmp_path)
    seed_1 = one.layers["id"].isin(one.runs.loc[one.runs["seed"] == 1, "id"])
    one.layers.loc[(one.layers["layer"] == 1) & seed_1, "response_grad_norm"] = 1e-9

    # the mean of 5.6 and 3e-10
    assert "| plain-20 | 20 | 4.3 × 10⁻⁵ (2); 3.3 × 10⁻¹⁰ to 5.6 | vanishing, in 1 of 2 seeds |" in without_anchors(
        page(evidence(one, SWEEP))
    )


def without_training_mode(one: frame.Set) -> frame.Set:
    return replace(one, layers=one.layers.assign(batch_std=np.nan))


def test_figure_7s_statements_are_held_against_the_numbers(tmp_path: Path) -> None:
    quick = without_training_mode(made_up(tmp_path))
    text = without_anchors(page(evidence(quick, SWEEP)))
    of_paper = sections.response_findings(replace(quick, scale="paper"))

    plain, half = (np.mean([s * (1 + k % 7) for k in range(1, 20)]) for s in (1, 0.5))
    assert (
        f"- At 20 layers the responses of the residual net are smaller than the plain net's on average (mean std over "
        f"the layers {half:.3f} against {plain:.3f}), and smaller in 19 of 19 layers." in text
    )
    deep = np.mean([0.5 * (1 + k % 7) * 20 / 56 for k in range(1, 56)])
    assert f"residual nets falls ({half:.3f} at 20 layers, {deep:.3f} at 56 layers; n = 2)" in of_paper[-1]
    assert [line.rpartition("; ")[2] for line in of_paper][::2] == [
        "in the paper they are generally smaller.", "in the paper it falls.",
    ]  # fmt: skip


def test_nets_of_one_depth_with_other_layers_are_compared_where_both_have_one(tmp_path: Path) -> None:
    one = without_training_mode(made_up(tmp_path))
    of_plain = one.layers["id"].str.startswith("plain-20")

    few = replace(one, layers=one.layers[~of_plain | (one.layers["layer"] <= 7)])

    assert "and smaller in 7 of 7 layers" in sections.response_findings(few)[0]


def test_of_hardly_trained_nets_only_training_mode_tells_of_depth(tmp_path: Path) -> None:
    one = made_up(tmp_path)
    smaller = replace(one, layers=one.layers.assign(batch_std=0.1))
    text, blind, of_smaller = (
        without_anchors(page(evidence(x, SWEEP))) for x in (one, without_training_mode(one), smaller)
    )

    half = np.mean([0.5 * (1 + k % 7) for k in range(1, 20)])
    assert "These nets are hardly trained: after 100 steps" in text
    assert "has no trend beyond the spread over seeds (1.000 at 20 layers, 1.000 at 56 layers; n = 2), in" in text
    assert f"| ResNet-20 | 20 | {half:.3f} ± 0.000 (2) | 0.500 | 3.500 | 1.000 | 2 |" in text
    assert "With depth" not in blind
    assert f"| ResNet-20 | 20 | {half:.3f} ± 0.000 (2) | 0.500 | 3.500 | 2 |" in blind
    assert [sections.SMALLER in x for x in (text, blind, of_smaller)] == [False, False, True]


@pytest.mark.parametrize(
    ("by_depth", "how"),
    [
        (((3.0, 3.2), (2.0, 2.9)), "falls"),
        (((3.0, 3.2), (2.0, 3.1)), "has no trend beyond the spread over seeds"),
        (((3.0, 3.2), (3.3, 4.0)), "rises"),
        (((3.0, 3.2), (4.0, 4.1), (3.5, 3.6)), "neither falls nor rises throughout"),
    ],
)
def test_a_trend_with_depth_is_one_beyond_the_spread_over_seeds(
    by_depth: tuple[tuple[float, ...], ...], how: str
) -> None:
    rows = [(20 + depth, seed, value) for depth, own in enumerate(by_depth) for seed, value in enumerate(own)]

    (line,) = sections._residual_with_depth(pd.DataFrame(rows, columns=["depth", "seed", "response_std"]))

    assert line.startswith(f"With depth the mean response of residual nets {how} (3.100 at 20 layers, ")
    assert line.endswith("; n = 2)")


def test_a_classification_with_layers_has_figure_7_after_figure_6(tmp_path: Path) -> None:
    sweep = replace(SWEEP, task="classify", scales={"quick": Scale(SCALES["quick"].cells[:4], (0, 1))})

    text = page(evidence(made_up(tmp_path, sweep), sweep))

    assert text.index("](curves-quick.svg)") < text.index("## Layer responses") < text.index("## Deviations")
    assert "Gradients" not in text


def test_units_of_one_depth_have_panels_of_their_own(tmp_path: Path) -> None:
    nets = (Net("cifar", 20, "none"), Net("cifar", 20, "A"), Net("bottleneck", 20, "B"), Net("preactivation", 20, "A"))
    scales = {"quick": Scale(tuple((net, RECIPE) for net in nets), (0, 1))}
    one = made_up(tmp_path, replace(SWEEP, scales=scales))
    seen = layers.gradients(one)

    for figure, lines in (
        (figures.by_layer(seen, "response_grad_norm", "norm"), 2),
        (figures.over_steps(layers.changes(seen)), 1),
    ):
        assert [ax.get_title() for ax in figure.axes] == [
            "plain nets with BN", "residual nets with BN", "bottleneck residual nets with BN",
            "pre-activation residual nets with BN",
        ]  # fmt: skip
        assert [len(ax.get_lines()) for ax in figure.axes] == [lines] * 4
    assert {line.split(",")[0] for line in gradients.gradient_findings(one)[1]} >= {
        "Bottleneck residual nets with BN", "Residual nets with BN",
    }  # fmt: skip


def test_options_of_one_depth_are_lines_of_their_own(tmp_path: Path) -> None:
    scales = {"quick": Scale(tuple((Net("cifar", 20, option), RECIPE) for option in "AB"), (0, 1))}
    seen = layers.gradients(made_up(tmp_path, replace(SWEEP, scales=scales)))

    plain, residual = figures.by_layer(seen, "grad_norm", "norm").axes

    assert (len(plain.get_lines()), len(residual.get_lines())) == (0, 4)


def test_the_figures_of_layers_are_for_print_and_say_what_is_logarithmic_and_what_failed(tmp_path: Path) -> None:
    one = made_up(tmp_path)
    seen, note = layers.gradients(one), gradients.not_drawn(one, one.nets)
    drawn = figures.by_layer(seen, "grad_norm", "norm", note), figures.over_steps(layers.changes(seen), note)

    for figure in (*drawn, figures.figure_7(layers.responses(one))):
        texts = [text for text in figure.findobj(Text) if text.get_text()]
        assert figure.get_figwidth() in (COLUMN, PAGE)
        assert min(float(text.get_fontsize()) for text in texts) >= SMALL
        assert all(float(tick).is_integer() for ax in figure.axes for tick in ax.get_xticks())
        words = " ".join(text.get_text() for text in texts)
        assert ("ResNet-56 without BN: 2 of 2 seeds diverged" in " ".join(words.split())) is (figure in drawn)
        assert ("(log scale)" in words) is any(ax.get_yscale() == "log" for ax in figure.axes)
        lines = [line for ax in figure.axes for line in ax.get_lines()]
        assert {(line.get_color(), line.get_marker()) for line in lines} == {(x.colour, x.marker) for x in LOOKS}


LOOKS = look(20), look(56)


def test_many_lines_of_figure_7_have_a_panel_a_kind_of_nets_with_one_scale(tmp_path: Path) -> None:
    nets = tuple(Net("cifar", depth, shortcut) for depth in (20, 32, 56) for shortcut in ("none", "A"))
    sweep = replace(SWEEP, scales={"quick": Scale(tuple((net, RECIPE) for net in nets), (0,))})
    seen = layers.responses(made_up(tmp_path, sweep))

    many, few = figures.figure_7(seen), figures.figure_7(seen[seen["depth"] < 56])

    assert (many.get_figwidth(), few.get_figwidth()) == (PAGE, COLUMN)
    assert [ax.get_title() for ax in many.axes] == ["plain nets", "residual nets", "", ""]
    assert [len(ax.get_lines()) for ax in many.axes] == [3] * 4
    assert many.axes[0].get_ylim() == many.axes[1].get_ylim()
    assert [len(ax.get_lines()) for ax in few.axes] == [4, 4]
    assert len(many.legends[0].get_texts()) == 6


def test_a_curve_at_initialisation_has_open_marks(tmp_path: Path) -> None:
    ax = figures.by_layer(layers.gradients(made_up(tmp_path)), "grad_norm", "norm").axes[0]

    assert {(line.get_linestyle(), line.get_markerfacecolor() == "white") for line in ax.get_lines()} == {
        ("--", True),
        ("-", False),
    }


def test_of_one_seed_no_deviation_is_announced(tmp_path: Path) -> None:
    sweep = replace(SWEEP, scales={"quick": Scale(SCALES["quick"].cells[:4], (0,))})
    one, two = evidence(made_up(tmp_path / "one", sweep), sweep), evidence(made_up(tmp_path / "two"), SWEEP)

    (of_one,), (of_two,) = (
        ["".join(section.markdown("quick")) for section in sections.response_sections(x)] for x in (one, two)
    )

    assert "One seed of each net (n = 1)" in of_one
    assert "±" not in of_one
    assert "a band from the lowest" not in of_one
    assert "Mean ± standard deviation over seeds (n)" in of_two


@pytest.mark.parametrize(("batch_std", "said"), [({}, True), ({"plain-20": 1e3}, False), ({"plain-20": None}, False)])
def test_responses_are_called_smaller_in_training_mode_only_where_those_of_each_net_are(
    tmp_path: Path, batch_std: dict[str, float | None], said: bool
) -> None:
    one = made_up(tmp_path)
    ids = one.runs.set_index("net")["id"]
    layers_of = one.layers.assign(response_std=one.layers["response_std"] * 10)
    for net, value in batch_std.items():
        layers_of.loc[layers_of["id"].isin(ids[net]), "batch_std"] = value

    (section,) = sections.response_sections(evidence(replace(one, layers=layers_of), SWEEP))

    stale = str(section.parts[0])
    assert stale.startswith("These nets are hardly trained: after 100 steps")
    assert ("In training mode, the last but one column, responses are smaller." in stale) is said


@pytest.mark.parametrize(("largest", "scale"), [(5.9, "linear"), (6.1, "log")])
def test_figure_7_is_linear_as_the_papers_unless_one_net_would_hide_the_others(
    tmp_path: Path, largest: float, scale: str
) -> None:
    seen = layers.responses(made_up(tmp_path))
    seen = seen.assign(response_std=seen["response_std"] * largest / seen["response_std"].max())

    assert [ax.get_yscale() for ax in figures.figure_7(seen).axes] == [scale, scale]


def test_nets_without_bn_are_no_seeds_of_those_with_it(tmp_path: Path) -> None:
    sweep = replace(SWEEP, task="classify", scales={"quick": Scale(SCALES["quick"].cells[:-1], (0, 1))})
    one = made_up(tmp_path, sweep)

    lines = differences(evidence(one), one)

    assert [line[:15] for line in lines] == ["At 20 layers th", "At 56 layers th"]
    assert all(line.endswith("n = 2.") for line in lines)
    assert set(layers.responses(one)["net"]) == {"plain-20", "plain-56", "resnet-20-A", "resnet-56-A"}


@pytest.mark.parametrize(
    ("net", "name"),
    [
        (Net("cifar", 20, "none"), "plain-20"),
        (Net("cifar", 20, "A"), "ResNet-20"),
        (Net("cifar", 20, "B"), "ResNet-20 (B)"),
        (Net("cifar", 20, "none", norm="none"), "plain-20 without BN"),
        (Net("cifar", 20, "A", norm="none"), "ResNet-20 without BN"),
        (Net("cifar", 20, "B", norm="none"), "ResNet-20 (B) without BN"),
    ],
)
def test_a_net_without_bn_is_named_as_such(net: Net, name: str) -> None:
    assert frame.display_name(net.name) == name


def test_the_same_layers_give_the_same_files_byte_for_byte(tmp_path: Path) -> None:
    sweep = replace(SWEEP, scales={"quick": Scale(((NETS[0], RECIPE), (DIVERGES, RECIPE)), (0, 1))})
    made_up(tmp_path, sweep)
    contents = []
    for name in ("one", "two"):
        write_report("made_up", sweep, tmp_path / "results", tmp_path / name)
        contents.append({p.name: (tmp_path / name / p).read_bytes() for p in files_in(tmp_path / name)})

    assert contents[0] == contents[1]
    pictures = ("gradients", "gradient-steps", "kernel-gradients", "activations", "responses")
    assert {p for p in contents[0] if p.endswith(("md", "svg", "pdf"))} == {"README.md"} | {
        f"{p}-quick.{kind}" for p in pictures for kind in ("svg", "pdf")
    }


def test_a_diagnosis_of_which_every_run_failed_has_a_page_that_says_so(tmp_path: Path) -> None:
    sweep = replace(SWEEP, scales={"quick": Scale(((DIVERGES, RECIPE),), (0,))})

    text = page(evidence(made_up(tmp_path, sweep), sweep))

    assert "0 of 1 run done" in text
    assert "ResNet-56 without BN failed in 1 of 1 run" in text
    assert "## Gradient norms, first layer to last" in text
    assert "## Layer responses" not in text


def test_every_number_of_the_layers_has_an_id_and_an_anchor(tmp_path: Path) -> None:
    one = evidence(made_up(tmp_path), SWEEP)

    found = {number.id: number for number in numbers_of(sections_of(one))}

    assert set(found) <= set(re.findall(r'<a id="([^"]+)"></a>', page(one)))
    change = found["made_up.quick.plain-20.gradient_at_start"]
    assert change.value == pytest.approx(1.1**18)
    assert change.n == 2
    assert len(change.runs) == 2
    assert found["made_up.quick.resnet-56-A-nobn.gradient_at_start"].n == 2
    assert "made_up.quick.resnet-56-A-nobn.gradient_at_end" not in found  # it diverged
    assert found["made_up.quick.plain-20.response_std"].value == pytest.approx(
        np.mean([1 + k % 7 for k in range(1, 20)])
    )
