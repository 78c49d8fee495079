"""What the sweeps declared, as values: ids of runs and digests of claims. A change of any is another study."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench.cli.commands import main
from bench.cli.request import unplanned
from bench.cli.sweep_files import load_sweep
from bench.paper import paper_numbers
from bench.report import claims
from bench.spec import Sweep

ROOT = Path(__file__).resolve().parents[2]
# ids of the runs that were trained under them; a change of any is another study
IDS = {
    ("plain_vs_residual", "paper", "resnet-20-A"): "resnet-20-A-paper-s0-bc90003b",
    ("plain_vs_residual", "paper", "plain-20"): "plain-20-paper-s0-fdeab492",
    ("plain_vs_residual", "short", "resnet-20-A"): "resnet-20-A-short-s0-4d94aefe",
    ("plain_vs_residual", "short", "plain-20"): "plain-20-short-s0-2eff60c2",
    ("plain_vs_residual", "quick", "resnet-20-A"): "resnet-20-A-quick-s0-811fdd6d",
    ("cifar_details", "paper", "resnet-20-A"): "resnet-20-A-paper-s0-bc90003b",
    ("cifar_details", "short", "resnet-20-A"): "resnet-20-A-short-s0-4d94aefe",
    ("thousand_layers", "paper", "resnet-110-A"): "resnet-110-A-paper-s0-848d0d51",
    ("plain_vs_residual", "paper", "resnet-110-A"): "resnet-110-A-paper-s0-848d0d51",
}
CLAIMS = {
    ("plain_vs_residual", "paper"): "6f3ff3e929a16d0446fb78a56cda86af3954aa2f0e0d18ed67788f8a5eca0c14",
    ("plain_vs_residual", "short"): "7a38cf7bf1e0ed46b0557ff9b5239c7413173d7f54ba31df766ce34156d057a6",
    ("cifar_details", "paper"): "ac6b7fc99e287e89ffc0c20c30d15535908c6f03f153abd8fc1006fcf464492f",
    ("imagenet_depth", "paper"): "906a185cdf22d362c02a8987b1376e4c0a0d1bcc69faf68d8a0d3edf4d97aa87",
}


def sweep(name: str) -> Sweep:
    return load_sweep(str(ROOT / "sweeps" / f"{name}.py"))[1]


@pytest.mark.parametrize(("name", "scale", "net"), IDS)
def test_runs_keep_their_ids(name: str, scale: str, net: str) -> None:
    of = sweep(name)

    assert IDS[name, scale, net] in {r.id for r in of.runs(scale, (0,)) if of.scales[scale].name_of(r) == net}


@pytest.mark.parametrize(("name", "scale"), CLAIMS)
def test_declared_claims_keep_their_digest(name: str, scale: str) -> None:
    assert sweep(name).claims_digest(scale) == CLAIMS[name, scale]


@pytest.mark.parametrize("name", ["plain_vs_residual", "cifar_details", "thousand_layers", "gradients"])
def test_every_committed_run_of_scale_quick_is_declared(name: str) -> None:
    declared = {run.id for run in sweep(name).runs("quick", range(3))}
    with (ROOT / "results" / name / "runs.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["scale"] == "quick"]
    committed = {row["id"] for row in rows if row["data"] == "cifar10"}  # the stand-in's are this machine's own

    assert committed
    assert committed <= declared


def test_plain_vs_residual_plans_five_seeds_at_the_ends_three_between_and_one_of_110_layers() -> None:
    planned = sweep("plain_vs_residual").scales["short"].planned

    assert {name: len(seeds) for name, seeds in planned.items()} == {
        f"{family.format(depth)}": count
        for depth, count in ((20, 5), (32, 3), (44, 3), (56, 5), (110, 1))
        for family in ("plain-{}", "resnet-{}-A")
    }
    assert len(sweep("plain_vs_residual").runs("short")) == 34


def test_seeds_that_no_verdict_counts_are_named_before_they_train() -> None:
    of = sweep("plain_vs_residual")

    assert unplanned(of.runs("short"), of, "short") == ""
    assert unplanned(of.runs("quick", (0, 1)), of, "quick") == "", "quick judges nothing"
    assert unplanned([r for r in of.runs("short", (2, 3)) if r.net.depth == 32], of, "short") == (
        "runs with seeds that are not planned, which no verdict counts: plain-32-short-s3-10bdd1f8, "
        "resnet-32-A-short-s3-ece02ade\n"
    )


def test_no_claim_about_110_layers_or_a_number_of_the_paper_is_judged_at_scale_short() -> None:
    of = sweep("plain_vs_residual")
    judged = of.judged_at("short")

    assert len(judged) == 10
    assert not [claim.id for claim in judged if claim.number or any(net.depth == 110 for net in claim.nets)]
    assert of.judged_at("quick") == ()
    assert of.judged_at("paper") == of.claims


@pytest.mark.parametrize("scale", ["paper", "short"])
def test_the_committed_simulation_is_of_todays_declaration_and_rules(scale: str) -> None:
    page = (ROOT / "reports" / "procedure" / f"plain_vs_residual-{scale}.md").read_text(encoding="utf-8")

    assert f"Digest of the declaration: `{sweep('plain_vs_residual').claims_digest(scale)}`." in page
    assert str(claims.__doc__).strip() in page


@pytest.mark.parametrize("scale", ["paper", "short"])
def test_in_the_committed_simulation_no_truth_has_more_wrong_verdicts_than_are_allowed(scale: str) -> None:
    """5 %, and what a thousand draws of a true 5.0 show in 999 cells of 1,000."""
    page = (ROOT / "reports" / "procedure" / f"plain_vs_residual-{scale}.md").read_text(encoding="utf-8")
    table = page.split("## How often the procedure errs\n\n")[1].split("\n\n")[0].splitlines()
    cells = [float(cell) for row in table[2:] for cell in row.strip("| ").split(" | ")[1:]]

    assert len(cells) == 3 * (30 if scale == "paper" else 13)
    assert max(cells) <= 7.2


def test_the_procedure_is_printed_with_errors_and_power(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["simulate", "cifar_details", "--spread", "0.1", "0.5", "--draws", "2"]

    assert main(command) == 0

    page = capsys.readouterr().out
    assert "| resnet-20-fp32 at -0.5 |" in page
    assert "| resnet-20-fp32 | test_error | resnet-20-A+fp32 − resnet-20-A | -0.5 to 0.5 | 5, 5 | – |" in page
    assert page.endswith("Command: `python -m bench simulate cifar_details --scale paper --spread 0.1 0.5 --draws 2`\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scale", "quick", "--spread", "1", "2"], "judges no claim at scale quick"),
        (["--spread", "2", "1"], "give two standard deviations above 0 and at most 100, the smaller one first"),
    ],
)
def test_what_cannot_be_simulated_is_refused_in_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "plain_vs_residual", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.py")), ids=lambda p: p.stem)
def test_the_sweeps_claims_compare_with_numbers_that_the_paper_has(path: Path) -> None:
    _, sweep = load_sweep(str(path))

    assert sweep.claims or sweep.task != "classify"  # the others say in words what they found
    for claim in sweep.claims:
        assert not claim.number or paper_numbers()[claim.number]["net"] == claim.nets[0].name
