"""Every number of the paper is accounted for: by a verdict, a measurement, arithmetic, a command or a reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torchvision.models import vgg16, vgg19

from bench.cli.commands import main
from bench.cli.sweep_files import load_sweep
from bench.nets.counts import vgg_convolutions, vgg_multiply_adds
from bench.paper import paper_numbers, printed
from bench.report import coverage as cover
from bench.report.answers import SETTING, STATUSES, Answer, totals
from bench.report.collect import collect
from bench.report.coverage import coverage, load, write_index
from bench.report.nets import COMPUTED, CUT_OFF, DIFFERENT, SAME, agreement
from bench.spec import Claim, Net, Recipe, Scale, Sweep
from tests.report.builders import fake

pytestmark = pytest.mark.usefixtures("figures_not_rendered")

ROOT = Path(__file__).resolve().parents[2]
RECIPE = Recipe(steps=100, drops=(50, 75), curve_every=10, test_every=50)
NETS = (Net("cifar", 20, "A"), Net("cifar", 56, "A"), Net("cifar", 110, "A"))
CLAIMS = tuple(
    Claim(f"n{n.depth}", "The same.", "Table 6", "equals", (n,), margin=0.8, number=f"t6.resnet-{n.depth}.error")
    for n in NETS[:2]
)
CELLS = Scale(tuple((net, RECIPE) for net in NETS), (0, 1, 2))
SWEEP = Sweep("Made up", "Is it?", "It is.", {"paper": CELLS, "short": CELLS, "quick": CELLS}, claims=CLAIMS)
DECLARED = {path.stem: load_sweep(str(path))[1] for path in sorted((ROOT / "sweeps").glob("*.py"))}


def results(tmp_path: Path, scale: str, errors: dict[int, list[float]], data: str = "cifar10") -> Path:
    """Results of the made-up sweep under the real one's name, with these errors by depth, seed by seed."""
    folder = tmp_path / "runs" / "plain_vs_residual"
    for run in SWEEP.runs(scale, data=data):
        if run.seed < len(errors.get(run.net.depth, ())):
            fake(folder, run, errors[run.net.depth][run.seed])
    collect(tmp_path / "results" / "plain_vs_residual", [folder], SWEEP.runs(scale, data=data))
    return tmp_path / "results"


def answers(where: Path) -> dict[str, Answer]:
    return {a.number["id"]: a for a in coverage(load({"plain_vs_residual": SWEEP}, where))}


def test_all_140_numbers_are_accounted_for() -> None:
    found = coverage(load(DECLARED, ROOT / "results"))

    assert [a.number["id"] for a in found] == list(paper_numbers())
    assert sum(totals(found).values()) == 138, "two are settings"
    assert all(a.status in (*STATUSES, SETTING) and a.how for a in found)


def test_every_sweep_that_there_is_names_runs_that_answer_its_numbers() -> None:
    found = [a for a in coverage(load(DECLARED, ROOT / "no results")) if a.number.get("answered_by") in DECLARED]

    assert {a.status for a in found} == {"runnable"}
    of_a_net = [a for a in found if "net" in a.number]  # a difference of two nets names none
    assert len(of_a_net) > len(found) / 2
    assert all("--only" in a.how for a in of_a_net)
    tests = [a.number["id"] for a in of_a_net if "a test of published weights, without training" in a.how]
    assert tests == ["t3.vgg-16.top1", "t3.vgg-16.top5"]
    of_a_net = [a for a in of_a_net if a.number["id"] not in tests]
    assert all(" steps" in a.how for a in of_a_net)
    detectors = [a.number["answered_by"].startswith("detection") for a in of_a_net]
    assert ["multiply-adds each" not in a.how for a in of_a_net] == detectors, "nobody counts a detector's regions"


def test_without_sweeps_and_results_the_numbers_are_computed_planned_or_not_attempted(tmp_path: Path) -> None:
    assert totals(coverage(load({}, tmp_path))) == {"computed": 14, "planned": 64, "not attempted": 60}


def test_the_index_says_what_there_is_of_the_papers_own_results_and_groups_what_is_not_attempted() -> None:
    found = coverage(load(DECLARED, ROOT / "no results"))
    lines = cover.index([], found, ()).split("\n")
    own = [a for a in found if a.number["whose"] == "ours" and a.number["is_result"]]
    counts = Counter(a.status for a in own)

    assert lines[lines.index("## The numbers of the paper") + 2] == (
        f"**Of the paper's own {len(own)} results: 0 with a verdict, 0 measured without one, {counts['computed']} "
        f"computed from the architecture, {counts['runnable']} runnable by a command and not run, "
        f"{counts['not attempted']} not attempted.**"
    )
    groups = lines[lines.index("| group | numbers |") + 2 :]
    shown = dict(line.strip("| ").split(" | ") for line in groups[: groups.index("")])
    assert shown.pop("all") == str(sum(map(int, (n for name, n in shown.items() if name != "all"))))
    left = [a.number for a in found if a.status == "not attempted"]
    assert shown == {name: str(n) for name, n in Counter(number["group"] for number in left).items()}
    assert "settings" not in shown


def test_verdicts_measurements_and_what_is_still_to_run(tmp_path: Path) -> None:
    where = results(tmp_path, "paper", {20: [8.7, 8.75, 8.8], 56: [9.5, 9.55, 9.6]})
    results(tmp_path, "short", {110: [8.0, 8.1, 8.2], 20: [9.0, 9.0, 9.0]})

    found = answers(where)

    assert (found["t6.resnet-20.error"].status, found["t6.resnet-20.error"].ours) == ("reproduced", "8.75 ± 0.05 (3)")
    assert found["t6.resnet-56.error"].status == "not reproduced"
    assert found["t6.resnet-110.error"].status == "measured at another scale"
    assert found["t6.resnet-110.error"].ours == "8.10 ± 0.10 (3)"
    assert found["t6.resnet-110.error"].how == "[plain_vs_residual, scale short](plain_vs_residual/short.md)"
    assert found["t6.resnet-32.error"].status == "runnable"


def test_a_number_whose_claim_waits_for_planned_seeds_is_shown_without_a_verdict(tmp_path: Path) -> None:
    found = answers(results(tmp_path, "paper", {20: [8.7, 8.75]}))["t6.resnet-20.error"]

    assert (found.status, found.ours) == ("not yet judged", "8.72 ± 0.04 (2)")


def test_a_number_whose_claim_is_not_judged_is_measured_without_a_verdict(tmp_path: Path) -> None:
    sweep = replace(SWEEP, scales={**SWEEP.scales, "paper": replace(CELLS, judges=("n56",))})
    where = results(tmp_path, "paper", {20: [8.7, 8.75, 8.8], 56: [9.5, 9.55, 9.6]})

    found = {a.number["id"]: a.status for a in coverage(load({"plain_vs_residual": sweep}, where))}

    assert found["t6.resnet-20.error"] == "measured, without a claim"
    assert found["t6.resnet-56.error"] == "not reproduced"


def test_a_number_that_no_claim_is_about_is_measured_without_a_verdict(tmp_path: Path) -> None:
    warm_up = answers(results(tmp_path, "paper", {110: [6.6, 6.7, 6.5]}))["txt.warm-up.steps"]

    assert (warm_up.status, warm_up.ours) == ("measured, without a claim", "10.00 ± 0.00 (3)")


def test_the_error_after_five_epochs_is_that_of_the_net_without_its_warm_up(tmp_path: Path) -> None:
    net, own = Net("cifar", 110, "A"), Recipe(steps=4_000, drops=(), warmup_steps=400)
    cells = ((net, own), (net, replace(own, warmup_steps=0)))
    sweep = Sweep("Made up", "Is it?", "It is.", {"paper": Scale(cells, (0,))})
    found = []
    for run in sweep.runs("paper"):
        fake(tmp_path / "runs", run, 8.0)
        collect(tmp_path / "results" / "thousand_layers", [tmp_path / "runs"], sweep.runs("paper"))
        answered = coverage(load({"thousand_layers": sweep}, tmp_path / "results"))
        found.append({a.number["id"]: a for a in answered}["txt.no-warm-up.error"])

    assert [(a.status, a.ours) for a in found] == [
        ("runnable", "–"), ("measured, without a claim", "34.92 (1)")
    ]  # fmt: skip
    assert all(a.how.endswith("; several epochs taken to be five, 2,000 steps") for a in found)
    assert "--only resnet-110-A+warmup_steps=0: 1 run of 4,000 steps" in found[0].how.replace("`", "")


@pytest.mark.parametrize("data", ["stand-in", "cifar10"])
def test_numbers_of_a_stand_in_and_of_scale_quick_answer_nothing(tmp_path: Path, data: str) -> None:
    found = answers(results(tmp_path, "quick", {20: [8.7, 8.75, 8.8]}, data))

    assert found["t6.resnet-20.error"].status == "runnable"
    # 3 x 100 steps x 128 images x 40,551,040; 10 + 20 seconds
    cost = "3 runs of 100 steps, 1.6e+12 multiply-adds each, about 30 s each"
    assert found["t6.resnet-20.error"].how.endswith(cost)


def test_what_counts_answers_is_what_can_be_computed() -> None:
    assert set(COMPUTED) == {n["id"] for n in paper_numbers().values() if n.get("answered_by") == "counts"}


def test_every_computed_number_is_the_papers_two_of_them_cut_off_instead_of_rounded() -> None:
    found = {name: agreement(compute(), paper_numbers()[name]["printed"]) for name, compute in COMPUTED.items()}

    assert {name for name, words in found.items() if words != SAME} == {"t1.50-layer.flops", "txt.plain34.ratio"}
    assert found["t1.50-layer.flops"] == found["txt.plain34.ratio"] == CUT_OFF


def test_the_parameters_of_table_6_are_the_papers() -> None:
    index = (ROOT / "reports" / "README.md").read_text(encoding="utf-8")
    rows = index.partition("### Parameters of Table 6")[2].splitlines()[4:]

    assert [row.split(" | ")[-1].strip(" |") for row in rows] == [SAME] * 6


@pytest.mark.parametrize(
    ("computed", "text", "words"),
    [(3.64, "3.6", SAME), (3.858, "3.8", CUT_OFF), (3.5, "3.6", DIFFERENT), (18.0, "18", SAME), (7.396, "7.40", SAME)],
)
def test_a_computed_number_is_compared_to_the_digits_that_are_printed(computed: float, text: str, words: str) -> None:
    assert agreement(computed, text) == words


@pytest.mark.parametrize(("depth", "build"), [(16, vgg16), (19, vgg19)])
def test_vggs_convolutions_are_torchvisions(depth: int, build: type[torch.nn.Module]) -> None:
    with torch.device("meta"):
        weights = [p for p in build(init_weights=False).parameters() if p.dim() == 4]

    ours = vgg_convolutions(depth)

    assert [(c.c_out, c.c_in, c.kernel, c.kernel) for c in ours] == [tuple(w.shape) for w in weights]


@pytest.mark.parametrize(
    ("depth", "classifier", "billions"),
    [(16, False, 15.347), (16, True, 15.470), (19, False, 19.508), (19, True, 19.632)],
)
def test_vggs_multiply_adds_are_the_published_ones(depth: int, classifier: bool, billions: float) -> None:
    assert round(vgg_multiply_adds(depth, classifier=classifier) / 1e9, 3) == billions


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t6.resnet-110.error", "6.43 (6.61 ± 0.16, n = 5) %"),
        ("t3.resnet-34-C.top5", "7.40 %"),
        ("txt.plain-110.error", "> 60 %"),
        ("txt.resnet-1202.train_error", "< 0.1 %"),
        ("txt.warm-up.steps", "about 400 iterations"),
        ("t1.50-layer.flops", "3.8 billion multiply-adds"),
    ],
)
def test_a_number_is_shown_as_the_paper_prints_it(name: str, text: str) -> None:
    assert printed(paper_numbers()[name]) == text


def test_the_index_links_every_report_and_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    where = results(tmp_path, "paper", {20: [8.7, 8.75, 8.8]})
    results(tmp_path, "quick", {20: [50.0, 51.0, 52.0]})
    for name in "ab":
        write_index(load({"plain_vs_residual": SWEEP}, where), tmp_path / name)
    pages = [(tmp_path / name / "README.md").read_bytes() for name in "ab"]

    text = pages[0].decode()

    assert pages[0] == pages[1]
    assert "Scale [paper](plain_vs_residual/README.md): the paper's schedule. 3 of 9 runs done" in text
    assert "Other scales: [quick](plain_vs_residual/quick.md) (3 of 9 runs)." in text
    assert text.count("| `t") == 140
    assert "| all | 138 |" in text


def test_the_command_prints_the_totals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "none").mkdir()

    code = main(["coverage", "--results", str(tmp_path / "none")])

    out = capsys.readouterr().out
    assert code == 0
    assert " 138 results of the paper" in out
    assert "runnable" in out
