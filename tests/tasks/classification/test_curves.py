"""Fig. 6 is on a page where it has a curve: of the paper's nets, with BN, by their own recipes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.report.collect import collect
from bench.report.frame import load
from bench.spec import Net, Scale
from bench.tasks.classification.sections import findings
from tests.report.builders import RECIPE, SWEEP, evidence, fake

NETS = tuple(Net("cifar", 20, "A", norm=norm) for norm in ("bn", "none"))


@pytest.mark.parametrize(
    ("nets", "ended", "drawn"),
    [(NETS, NETS, True), (NETS, NETS[1:], False), (NETS[1:], NETS[1:], False)],
    ids=["both", "with BN not run yet", "none with BN"],
)
def test_a_page_has_curves_where_there_are_some_to_draw(
    tmp_path: Path, nets: tuple[Net, ...], ended: tuple[Net, ...], drawn: bool
) -> None:
    sweep = replace(SWEEP, scales={"quick": Scale(tuple((net, RECIPE) for net in nets), (0,))}, claims=())
    for run in sweep.runs("quick"):
        if run.net in ended:
            fake(tmp_path / "runs", run, 20.0)
    collect(tmp_path / "results", [tmp_path / "runs"], sweep.runs("quick"))

    figure = findings(evidence(load(tmp_path / "results", sweep)[0], sweep)).figure

    assert bool(figure and figure.draw()) is drawn
