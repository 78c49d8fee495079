"""From results to pages: nothing typed by hand, nothing of another recipe averaged in, the same bytes again."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.report import frame
from bench.report.collect import collect
from bench.report.costs import cost_table
from bench.report.digests import drop_others, files_in, write_digests
from bench.report.evidence import weigh
from bench.report.numbers import mean_std
from bench.report.page import page, sections_of, write_report
from bench.report.render.figures import curves
from bench.report.sections import numbers_of
from bench.spec import Claim, Net, Run, Scale, Sweep
from bench.store import RunFolder
from bench.tasks.classification.sections import printed, table6
from tests.report.builders import CELLS, RECIPE, SWEEP, evidence, fake, fake_sweep, made_up_set


def table6_rows(one: frame.Set) -> list[str]:
    """The rows of Table 6 without their anchors."""
    return re.sub(r"<a id=\S+></a>", "", table6(evidence(one)).markdown()).splitlines()[2:]


def test_numbers_of_another_recipe_are_not_averaged_in(tmp_path: Path) -> None:
    """A sweep file was edited between two seeds: the rows of the old recipe stay, and stay out of the mean."""
    old = replace(RECIPE, lr=0.2)
    fake(tmp_path / "runs", Run("quick", Net("cifar", 20, "A"), "cifar10", old, 0), 50.0)
    fake(tmp_path / "runs", SWEEP.runs("quick")[1], 10.0)
    collect(tmp_path / "results", [tmp_path / "runs"], SWEEP.runs("quick"))

    (one,) = frame.load(tmp_path / "results", SWEEP)

    assert frame.by_net(one.runs).loc["resnet-20-A", "test_error_mean"] == 10.0
    assert "1 finished run of other recipes" in page(evidence(one))


def test_a_curve_of_one_point_is_seen(tmp_path: Path) -> None:
    one = made_up_set(tmp_path)
    last = one.curves["step"] == one.curves["step"].max()

    figure = curves(replace(one, curves=one.curves.assign(test_error=one.curves["test_error"].where(last))))

    for ax in figure.axes:
        assert {np.size(line.get_xdata()): str(line.get_marker()) for line in ax.lines}[1] in "oD"


@pytest.mark.usefixtures("figures_not_rendered")
def test_a_net_by_another_recipe_is_a_row_of_its_own_and_no_seed_of_the_net(tmp_path: Path) -> None:
    net, bf16 = Net("cifar", 20, "A"), replace(RECIPE, precision="bf16")
    cells = ((net, RECIPE), (net, bf16), (Net("cifar", 20, "none"), RECIPE))
    claim = Claim("same", "It is the same.", "", "unchanged", (net,), margin=0.5, variant="bf16")
    sweep = Sweep("Made up", "Is it?", "It is.", {"quick": Scale(cells, (0, 1, 2))}, claims=(claim,))
    for run in sweep.runs("quick"):
        more = (29, 30, 31)[run.seed] * (run.recipe == bf16) + 40 * (run.net.shortcut == "none")
        fake(tmp_path / "runs", run, 20.0 + run.seed + more)
    collect(tmp_path / "results", [tmp_path / "runs"], sweep.runs("quick"))

    (one,) = frame.load(tmp_path / "results", sweep)
    found = weigh("made_up", sweep, [one])[0]
    text = re.sub(r"<a id=\S+></a>", "", page(found))

    assert frame.by_net(one.runs)["test_error_mean"].to_dict() == {
        "plain-20": 61, "resnet-20-A": 21, "resnet-20-A+bf16": 51,
    }  # fmt: skip
    assert list(frame.first_option(one.runs)["net"].unique()) == ["resnet-20-A", "plain-20"], "what figures show"
    assert [pair.key for pair in found.pairs] == ["pair-20", "pair-resnet-20-A+bf16"]
    (row,) = (line for line in text.splitlines() if line.startswith("| ResNet-20, bf16 | fp32 | 3 "))
    assert [cell.strip() for cell in row.split("|")][4:6] == [
        "+30.00",
        "+27.52 to +32.48",
    ]  # ± 4.303 sqrt(1 / 3): 29, 30 and 31
    assert (
        "ResNet-20, bf16 instead of fp32: the test error is 30.00 points higher, over 3 seeds (51.00 % against "
        "21.00 %, +30.00 points; 95 % over seeds: +27.52 to +32.48)" in text
    )
    assert "ResNet-20, bf16 − ResNet-20: +30.00 [+27.52 to +32.48]" in text
    assert {"pair-20.test_error", "pair-resnet-20-A+bf16.test_error", "resnet-20-A+bf16.test_error"} <= {
        number.id.removeprefix("made_up.quick.") for number in numbers_of(sections_of(found))
    }
    assert math.isclose(found.pairs[1].difference, 30)
    assert "recipe | state" in text
    assert "1 net" not in text
    assert "2 nets (3 counting changes of recipe)" in text
    assert "Shown: the baseline recipe (fp32); the changed ones are left out." in text
    assert "A net named without a recipe has the baseline recipe: fp32." in text
    assert " | baseline | done |" in text
    shutil.rmtree(tmp_path / "runs")
    write_report("made_up", sweep, tmp_path / "results", tmp_path / "reports")
    assert (
        r"bench@made_up.quick.resnet-20-A+bf16.test_error\endcsname{51.00}"
        in (tmp_path / "reports" / "tables" / "numbers.tex").read_text()
    )


def test_times_of_a_net_are_of_one_machine(tmp_path: Path) -> None:
    cells = CELLS[:2]
    sweep = Sweep("Made up", "Is it?", "It is.", {"quick": Scale(cells, (0, 1, 2))})
    for run in sweep.runs("quick"):
        folder = fake(tmp_path / "runs", run, 20.0)
        on_old = run.seed == 0 or run.net.plain
        env = (folder.path / "env.json").read_text()
        (folder.path / "env.json").write_text(
            env.replace('"hardware": "made up"', f'"hardware": "{"old" if on_old else "new"}"')
        )
        result = folder.result() or {}
        seconds = 100.0 * (1 + run.seed)
        speed = run.recipe.steps * run.recipe.batch / seconds
        (folder.path / "result.json").write_text(json.dumps({**result, "seconds": seconds, "images_per_s": speed}))
    collect(tmp_path / "results", [tmp_path / "runs"], sweep.runs("quick"))

    (one,) = frame.load(tmp_path / "results", sweep)
    found = weigh("made_up", sweep, [one])[0]
    costs = cost_table(found)
    seconds_of = {
        n.id.split(".")[2]: (n.value, n.n) for n in numbers_of(sections_of(found)) if n.id.endswith(".seconds")
    }

    assert seconds_of == {"plain-20": (200.0, 3), "resnet-20-A": (250.0, 2)}
    assert [(row[0], row[-2], row[-1]) for row in costs.rows] == [("plain-20", "3", "old"), ("ResNet-20", "2", "new")]
    assert "several machines" in costs.note


def test_recipes_are_compared_over_the_seeds_that_both_have(tmp_path: Path) -> None:
    net, lr = Net("cifar", 20, "A"), replace(RECIPE, lr=1e18, drops=())
    sweep = Sweep("Made up", "Is it?", "It is.", {"quick": Scale(((net, lr), (net, RECIPE)), (0, 1, 2))})
    errors = {("+", 1): 30.0, ("+", 2): 33.0, ("", 0): 90.0, ("", 1): 31.0}
    for run in sweep.runs("quick"):
        if (error := errors.get(("+" if run.recipe == RECIPE else "", run.seed))) is not None:
            fake(tmp_path / "runs", run, error)
    collect(tmp_path / "results", [tmp_path / "runs"], sweep.runs("quick"))

    (one,) = frame.load(tmp_path / "results", sweep)
    found = weigh("made_up", sweep, [one])[0]
    (pair,) = found.pairs

    assert (pair.seeds, pair.key) == ((1, 1), "pair-resnet-20-A+lr=0.1+drops=50_75")
    assert math.isclose(pair.difference, -1.0), "of seed 1 alone"
    assert abs(pair.first.only_second - pair.first.only_first) == 100, "of that seed, too"
    assert sorted(name.split("-")[4] for name in pair.runs) == ["s1", "s1"]
    assert "| ResNet-20, rate 0.1, drops after 50/75 | rate 1e+18, no drops | 1 |" in page(found)


def test_what_is_left_names_the_recipe(tmp_path: Path) -> None:
    net = Net("cifar", 20, "A")
    cells = ((net, RECIPE), (net, replace(RECIPE, bn_group=128, steps=200)))
    sweep = Sweep("Made up", "Is it?", "It is.", {"quick": Scale(cells, (0, 1))})
    fake(tmp_path / "runs", sweep.runs("quick")[0], 20.0)
    collect(tmp_path / "results", [tmp_path / "runs"], sweep.runs("quick"))

    (one,) = frame.load(tmp_path / "results", sweep)
    rows = [line for line in page(weigh("made_up", sweep, [one])[0]).splitlines() if line.startswith("| quick |")]

    assert [row.split("|")[2:5] for row in rows] == [
        [" ResNet-20 ", " 1 ", " 100 "],
        [" ResNet-20, 200 steps, batch norm over 128 ", " 0, 1 ", " 200 "],
    ]


def test_the_caption_counts_the_images_that_were_tested(tmp_path: Path) -> None:
    recipe = replace(RECIPE, test_images=16)
    sweep = replace(SWEEP, scales={"quick": Scale(((CELLS[0][0], recipe),), (0,))}, claims=())
    fake(tmp_path / "runs", sweep.runs("quick")[0], 10.0)
    collect(tmp_path / "results", [tmp_path / "runs"], ())

    (one,) = frame.load(tmp_path / "results", sweep)

    assert "on 16 test images" in page(evidence(one, sweep))


@pytest.mark.parametrize(
    ("values", "text"),
    [([8.61, 8.83], "8.72 ± 0.16 (2)"), ([8.61], "8.61 (1)"), ([], "–"), ([7.0, 7.0, 7.0], "7.00 ± 0.00 (3)")],
)
def test_every_number_shows_its_n(values: list[float], text: str) -> None:
    series = pd.Series(values, dtype=float)

    assert mean_std(series.mean() if values else math.nan, series.std(), len(values)) == text


def test_the_table_is_in_table_6s_order_with_the_papers_number_and_ours(tmp_path: Path) -> None:
    rows = table6_rows(made_up_set(tmp_path, "paper"))

    assert [row.split(" | ")[0] for row in rows] == ["| ResNet-20", "| ResNet-56", "| plain-20", "| plain-56"]
    assert rows[0].split(" | ")[1:5] == ["20", "0.27M", "8.75", "13.00 ± 2.83 (2)"]
    assert rows[2].split(" | ")[3] == "–"


def test_the_papers_numbers_do_not_stand_beside_those_of_other_data(tmp_path: Path) -> None:
    rows = table6_rows(replace(made_up_set(tmp_path, "paper"), data="cifar100"))

    assert rows[0].split(" | ")[1:4] == ["20", "0.27M", "13.00 ± 2.83 (2)"]


def test_110_layers_show_both_the_papers_best_of_five_and_its_mean() -> None:
    assert printed("resnet-110-A") == "6.43 (6.61 ± 0.16, n = 5)"


def test_mean_and_spread_agree_with_another_way_of_computing_them(tmp_path: Path) -> None:
    one = made_up_set(tmp_path)

    ours = frame.by_net(one.runs)

    for net, part in one.runs.groupby("net"):
        values = part["test_error"].to_numpy()
        assert ours.loc[str(net), "test_error_mean"] == pytest.approx(sum(values) / len(values), abs=1e-12)


def test_the_page_says_at_its_top_what_it_is(tmp_path: Path) -> None:
    quick = page(evidence(made_up_set(tmp_path)))

    assert quick.startswith("# Made up on CIFAR-10 (scale quick)\n\n**Is it?**\n\nScale `quick`: a few minutes")
    assert "8 of 8 runs done, on" in quick
    assert '| 12.00 ± 2.83 (2) | <a id="made_up.quick.plain-20.best_test_error"></a>11.00 ± 2.83 (2) | 1.00 |' in quick


def test_seed_variance_and_test_set_sampling_have_intervals_of_their_own(tmp_path: Path) -> None:
    rows = table6_rows(made_up_set(tmp_path))

    assert rows[0].split(" | ")[4:6] == ["0.00 to 38.41", "12.36 to 13.67"]  # n = 2: hardly anything is known


def test_a_page_begins_with_the_answer_a_figure_and_a_table_and_ends_with_what_ran(tmp_path: Path) -> None:
    text = page(evidence(made_up_set(tmp_path, "paper")))

    assert [line for line in text.splitlines() if line.startswith(("- **", "![", "## "))] == [
        "- **Undecided:** It gets worse (plain-56 − plain-20: +2.00 points, 95 % −10.17 to +14.17; n = 2; "
        "p = 0.553 for it and p = 0.724 against it).",
        "- **Undecided:** It is the same (ResNet-20 − paper's 8.75: +4.25 points, 95 % −8.75 to +29.66; n = 2; "
        "p = 0.844 for it and p = 0.624 against it).",
        "![Training and test error against iterations](curves-paper.svg)",
        "## Test and training error (Table 6)", "## Further findings", "## Claims",
        "## Published reproductions",
        "![Test error by net: here, in the paper, as reproduced by others](forest-paper.svg)",
        "## Last step, best checkpoint, held-out images",
        "## Plain against residual nets", "## Shallow against deep nets", "## Two trained nets, image by image",
        "## Accuracy against cost",
        "![Test error against depth, parameters, multiply-adds and training time](tradeoff-paper.svg)",
        "## Costs", "## Deviations from the paper", "## About these runs", "## Provenance", "## How to cite",
    ]  # fmt: skip


def test_a_sweep_whose_runs_all_failed_has_a_page_that_says_so(tmp_path: Path) -> None:
    for run in SWEEP.runs("quick"):
        folder = RunFolder(tmp_path / "runs" / "made_up" / run.id)
        folder.create(run)
        folder.fail("the training loss is nan at step 7", retry=False)
    collect(tmp_path / "results", [tmp_path / "runs" / "made_up"], SWEEP.runs("quick"))

    written = write_report("made_up", SWEEP, tmp_path / "results", tmp_path / "reports")

    assert written is not None
    assert "0 of 8 runs done" in written.read_text()
    assert "| ResNet-20 (2 failed) |" in written.read_text()
    assert written.read_text().count("the training loss is nan at step 7") == 4 + 8  # a line a net, and each run


def test_a_table_that_mixes_commits_says_so(tmp_path: Path) -> None:
    one = made_up_set(tmp_path)
    one.runs.loc[0, "commit"] = "e" * 40

    assert "The rows mix commits." in page(evidence(one))


@pytest.mark.usefixtures("figures_not_rendered")
def test_the_best_scale_is_the_readme_and_the_others_are_linked(tmp_path: Path) -> None:
    results, reports = tmp_path / "results", tmp_path / "reports"
    collect(results, [fake_sweep(tmp_path, "quick", "a")], SWEEP.runs("quick"))
    collect(results, [fake_sweep(tmp_path, "paper", "b")], SWEEP.runs("paper"))

    written = write_report("made_up", SWEEP, results, reports, ("quick", "cifar10"))

    assert written == reports / "quick.md"
    assert (reports / "README.md").read_text().startswith("# Made up on CIFAR-10\n")
    assert "[quick](quick.md)" in (reports / "README.md").read_text()
    assert "[paper](README.md)" in written.read_text()
    expected = {f"{f}-{s}.svg" for f in ("curves", "tradeoff") for s in ("quick", "paper")}
    assert {p.name for p in reports.glob("*.svg")} == {*expected, "forest-paper.svg"}


def test_the_same_numbers_give_the_same_files_byte_for_byte(tmp_path: Path) -> None:
    results = tmp_path / "results"
    collect(results, [fake_sweep(tmp_path)], SWEEP.runs("quick"))
    contents = []
    for name in ("one", "two"):
        write_report("made_up", SWEEP, results, tmp_path / name)
        contents.append({p: (tmp_path / name / p).read_bytes() for p in files_in(tmp_path / name)})

    assert contents[0] == contents[1]


def test_a_report_takes_the_place_of_the_files_of_an_earlier_one_and_leaves_others_alone(tmp_path: Path) -> None:
    for name in ("README.md", "quick.md", "notes.md"):
        (tmp_path / name).write_text(name)
    write_digests(tmp_path, [Path("README.md"), Path("quick.md")])

    drop_others(tmp_path, [Path("README.md")])

    assert sorted(path.name for path in tmp_path.glob("*.md")) == ["README.md", "notes.md"]
