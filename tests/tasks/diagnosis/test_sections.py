"""What was seen of the layers on its way to a page: collected, judged, drawn; made-up numbers throughout."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.report import frame
from bench.report.collect import collect
from bench.report.digests import files_in
from bench.report.page import page, sections_of, write_report
from bench.report.rows import read_rows
from bench.report.sections import numbers_of
from bench.report.stored import read_table
from bench.spec import Net, Recipe, Run, Scale, Sweep
from bench.speed.made_up import finish
from bench.store import RunFolder, StoreError
from bench.tasks.classification.sections import differences
from bench.tasks.diagnosis import figures, layers, sections
from tests.report.builders import evidence

RECIPE = Recipe(steps=100, drops=(50, 75), curve_every=10, test_every=50)
NETS = tuple(Net("cifar", d, s, norm=n) for n in ("bn", "none") for d in (20, 56) for s in ("none", "A"))
SCALES = {"quick": Scale(tuple((net, RECIPE) for net in NETS), (0, 1))}
SWEEP = Sweep("Made up on CIFAR-10", "Is it?", "It is.", SCALES, task="diagnose")
DIVERGES = NETS[-1]  # ResNet-56 without BN


def growth(net: Net) -> float:
    """The made-up change of the gradient a layer, from last to first."""
    return {"bn": 1.1 if net.plain else 1.01, "none": 0.9 if net.plain else 1.2}[net.norm]


def rows(run: Run, step: int) -> list[dict[str, Any]]:
    """Layers whose gradient grows evenly on its way back; residual responses are half the plain ones."""
    count = run.net.depth - 1
    made = []
    for k in range(1, count + 1):
        gradient = growth(run.net) ** (count - k) * (2 + run.seed)
        row = {"step": step, "layer": k, "name": f"layer{k}", "weight_norm": 1.0, "batch_std": 1.0}
        row |= {"response_grad_norm": gradient, "grad_norm": 3 * gradient}
        if step:
            row["response_std"] = (1 if run.net.plain else 0.5) * (1 + k % 7) * 20 / run.net.depth
        made.append(row)
    return made


def fake(folder: Path, run: Run, **changes: Any) -> RunFolder:
    """A run as the worker leaves it; one that diverges has what was seen at step 0."""
    made = RunFolder(folder / run.id)
    if run.net == DIVERGES:
        made.create(run)
        made.write_layers(rows(run, 0))
        made.fail("the training loss is nan at step 2", retry=False)
        return made
    finish(made, run, 10.0)
    seen = [row for step in (0, 50, 100) for row in rows(run, step)] if run.task == "diagnose" else rows(run, 100)
    made.write_layers([{**row, **changes} for row in seen])
    return made


def made_up(tmp_path: Path, sweep: Sweep = SWEEP) -> frame.Set:
    for run in sweep.runs("quick"):
        fake(tmp_path / "runs" / "made_up", run)
    collect(tmp_path / "results", [tmp_path / "runs" / "made_up"], sweep.runs("quick"))
    (one,) = frame.load(tmp_path / "results", sweep)
    return one


def without_anchors(text: str) -> str:
    return re.sub(r"<a id=\S+></a>", "", text)


def test_every_layer_is_a_row_of_failed_runs_as_well(tmp_path: Path) -> None:
    one = made_up(tmp_path)

    assert one.runs["state"].value_counts().to_dict() == {"done": 14, "failed": 2}
    for run in SWEEP.runs("quick"):
        assert (one.layers["id"] == run.id).sum() == (run.net.depth - 1) * (1 if run.net == DIVERGES else 3)
    assert list(one.layers.columns) == [
        "id", "step", "layer", "name", "response_std", "batch_std", "response_grad_norm", "grad_norm", "weight_norm",
    ]  # fmt: skip
    assert one.layers[one.layers["step"] == 0]["response_std"].count() == 0


def test_runs_csv_says_task_and_norm(tmp_path: Path) -> None:
    made_up(tmp_path)

    found = {(row["net"], row["norm"], row["task"]) for row in read_rows(tmp_path / "results" / "runs.csv")}

    assert ("plain-20", "bn", "diagnose") in found
    assert ("plain-20-nobn", "none", "diagnose") in found


def test_layers_of_runs_on_another_machine_stay_and_a_run_done_again_replaces_its_own(tmp_path: Path) -> None:
    runs, results = SWEEP.runs("quick"), tmp_path / "results"
    for name, run in (("one", runs[0]), ("two", runs[1])):
        fake(tmp_path / name, run)
        collect(results, [tmp_path / name], runs)
    before = (results / "layers.parquet").read_bytes()
    collect(results, [tmp_path / "two"], runs)
    assert (results / "layers.parquet").read_bytes() == before

    fake(tmp_path / "three", runs[1], grad_norm=7.0)
    collect(results, [tmp_path / "three"], runs)

    seen = read_table(results / "layers.parquet").groupby("id")["grad_norm"].agg(["min", "max", "size"])
    assert list(seen.loc[runs[1].id]) == [7.0, 7.0, 57]
    assert seen.loc[runs[0].id, "size"] == 57
    assert seen.loc[runs[0].id, "max"] != 7.0


def test_a_damaged_table_of_layers_is_named(tmp_path: Path) -> None:
    made_up(tmp_path)
    (tmp_path / "results" / "layers.parquet").write_bytes(b"PAR1")

    with pytest.raises(StoreError, match=r"layers\.parquet is damaged"):
        frame.load(tmp_path / "results", SWEEP)


def test_results_of_before_layers_were_looked_at_have_their_page(tmp_path: Path) -> None:
    sweep = replace(SWEEP, task="classify", scales={"quick": Scale(SCALES["quick"].cells[:4], (0,))})
    made_up(tmp_path, sweep)
    (tmp_path / "results" / "layers.parquet").unlink()
    csv = pd.read_csv(tmp_path / "results" / "runs.csv").drop(columns=["norm", "task"])
    csv.to_csv(tmp_path / "results" / "runs.csv", index=False)

    written = write_report("made_up", sweep, tmp_path / "results", tmp_path / "reports")

    assert written is not None
    assert "## Figure 6" in written.read_text()
    assert "## Figure 7" not in written.read_text()
    assert {p.name for p in (tmp_path / "reports").glob("*.svg")} == {"curves-quick.svg", "tradeoff-quick.svg"}


def test_the_change_of_the_gradient_is_first_over_last_layer(tmp_path: Path) -> None:
    seen = layers.changes(layers.gradients(made_up(tmp_path)))

    at_start = seen[seen["step"] == 0].set_index(["net", "seed"])["change"]
    for run in SWEEP.runs("quick"):
        assert at_start[run.net.name, run.seed] == pytest.approx(growth(run.net) ** (run.net.depth - 2), rel=1e-9)
    assert set(seen.loc[seen["net"] == DIVERGES.name, "step"]) == {0}


def test_a_change_of_which_an_end_is_missing_is_missing(tmp_path: Path) -> None:
    one = made_up(tmp_path)
    first = one.layers["layer"] == 1
    one.layers.loc[first & (one.layers["step"] == 100), "response_grad_norm"] = np.nan

    assert not layers.changes(layers.gradients(one))["last"].any()


@pytest.mark.parametrize(
    ("change", "said"),
    [(0.1, "vanishing"), (0.11, "healthy"), (1, "healthy"), (9.9, "healthy"), (10, "exploding")],
)
def test_a_change_by_a_factor_of_ten_is_not_healthy(change: float, said: str) -> None:
    assert sections.word(change) == said


@pytest.mark.parametrize(
    ("value", "text"), [(0.43, "0.43"), (24.4, "24"), (12_345, "1.2 × 10⁴"), (4.5e-6, "4.5 × 10⁻⁶"), (1, "1")]
)
def test_factors_have_two_digits(value: float, text: str) -> None:
    assert sections.two_digits(value) == text


def test_the_page_of_a_diagnosis_is_about_gradients_and_responses(tmp_path: Path) -> None:
    text = without_anchors(page(evidence(made_up(tmp_path), SWEEP)))

    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## What the numbers say", "## Gradients, layer by layer", "## Figure 7", "## Costs",
        "## Deviations from the paper", "## Provenance", "## How to cite",
    ]  # fmt: skip
    # 1.1 ** 18 is 5.6, 1.1 ** 54 is 172
    assert (
        "- At initialisation, the gradient of plain nets with BN vanishes at no depth (measured at 20 and 56), as the "
        "paper says; it changes by less than a factor of 10 at 20 layers." in text
    )
    assert "changes by a factor of 5.6 at 20 layers (healthy); 1.7 × 10² at 56 layers (exploding)." in text
    # 0.9 ** 18 is 0.15, 0.9 ** 54 is 0.0034
    assert "changes by a factor of 0.15 at 20 layers (healthy); 0.0034 at 56 layers (vanishing)." in text
    assert "- After 100 steps, the gradient of plain nets with BN vanishes at no depth" in text
    failed = "failed in 2 of 2 runs: the training loss is nan at step 2 (seeds 0 and 1)."
    assert f"- ResNet-56 without BN {failed}" in text
    assert "| plain-20 | 20 | 5.6 [5.6 to 5.6] (2) | healthy |" in text
    assert "| ResNet-56 without BN | 56 | 1.9 × 10⁴ [1.9 × 10⁴ to 1.9 × 10⁴] (2) | exploding | – | – |" in text


def test_a_vanishing_gradient_is_said_to_be_against_the_paper(tmp_path: Path) -> None:
    one = made_up(tmp_path)
    one.layers.loc[(one.layers["layer"] == 1), "response_grad_norm"] = 1e-9

    assert "vanishes at 20 and 56 layers (measured at 20 and 56), against what the paper says" in "\n".join(
        sections.gradient_findings(one)
    )


def test_seeds_that_do_not_agree_are_said(tmp_path: Path) -> None:
    one = made_up(tmp_path)
    seed_1 = one.layers["id"].isin(one.runs.loc[one.runs["seed"] == 1, "id"])
    one.layers.loc[(one.layers["layer"] == 1) & seed_1, "response_grad_norm"] = 1e-9

    # the mean of 5.6 and 3e-10
    assert "| plain-20 | 20 | 4.3 × 10⁻⁵ [3.3 × 10⁻¹⁰ to 5.6] (2) | vanishing, in 1 of 2 seeds |" in without_anchors(
        page(evidence(one, SWEEP))
    )


def test_figure_7s_statements_are_held_against_the_numbers(tmp_path: Path) -> None:
    text = without_anchors(page(evidence(made_up(tmp_path), SWEEP)))

    plain, half = (np.mean([s * (1 + k % 7) for k in range(1, 20)]) for s in (1, 0.5))
    assert (
        f"- At 20 layers the responses of the residual net are smaller than the plain net's on average (mean std over "
        f"the layers {half:.3f} against {plain:.3f}), and smaller in 19 of 19 layers; in the paper they are generally "
        "smaller." in text
    )
    deep = np.mean([0.5 * (1 + k % 7) * 20 / 56 for k in range(1, 56)])
    assert f"residual nets falls ({half:.3f} at 20 layers, {deep:.3f} at 56 layers); in the paper it falls." in text
    assert f"| ResNet-20 | 20 | {half:.3f} | 0.500 | 3.500 | 1.000 | 2 |" in text


def test_a_classification_with_layers_has_figure_7_after_figure_6(tmp_path: Path) -> None:
    sweep = replace(SWEEP, task="classify", scales={"quick": Scale(SCALES["quick"].cells[:4], (0, 1))})

    text = page(evidence(made_up(tmp_path, sweep), sweep))

    assert text.index("## Figure 6") < text.index("## Figure 7") < text.index("## Deviations")
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
    assert {line.split(",")[0] for line in sections.gradient_findings(one)} >= {
        "Bottleneck residual nets with BN", "Residual nets with BN",
    }  # fmt: skip


def test_options_of_one_depth_are_lines_of_their_own(tmp_path: Path) -> None:
    scales = {"quick": Scale(tuple((Net("cifar", 20, option), RECIPE) for option in "AB"), (0, 1))}
    seen = layers.gradients(made_up(tmp_path, replace(SWEEP, scales=scales)))

    plain, residual = figures.by_layer(seen, "grad_norm", "norm").axes

    assert (len(plain.get_lines()), len(residual.get_lines())) == (0, 4)


def test_nets_without_bn_are_no_seeds_of_those_with_it(tmp_path: Path) -> None:
    sweep = replace(SWEEP, task="classify", scales={"quick": Scale(SCALES["quick"].cells[:-1], (0, 1))})
    one = made_up(tmp_path, sweep)

    lines = differences(one)

    assert [line[:15] for line in lines] == ["At 20 layers th", "At 56 layers th"]
    assert all(line.endswith("n = 2 and 2.") for line in lines)
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
    assert {p for p in contents[0] if p.endswith(("md", "svg", "png"))} == {"README.md"} | {
        f"{p}-quick.{kind}" for p in pictures for kind in ("svg", "png")
    }


def test_a_diagnosis_of_which_every_run_failed_has_a_page_that_says_so(tmp_path: Path) -> None:
    sweep = replace(SWEEP, scales={"quick": Scale(((DIVERGES, RECIPE),), (0,))})

    text = page(evidence(made_up(tmp_path, sweep), sweep))

    assert "0 of 1 runs done" in text
    assert "ResNet-56 without BN failed in 1 of 1 runs" in text
    assert "## Gradients, layer by layer" in text
    assert "## Figure 7" not in text


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
