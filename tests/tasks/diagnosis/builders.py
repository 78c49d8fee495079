"""A made-up diagnosis: layers whose gradients grow or fall evenly."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bench.report import frame
from bench.report.collect import collect
from bench.spec import Net, Recipe, Run, Scale, Sweep
from bench.speed.made_up import finish
from bench.store import RunFolder

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
