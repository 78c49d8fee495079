"""What in the rows of a run's layers does not fit the run.

Exact: names, count and order follow from the net, steps from the recipe. Before the first step, of a net that starts
from no weights: a kernel is k independent normal numbers of deviation sqrt(2 / fan_in) (He), so that its norm is
sqrt(2 k / fan_in) with deviation 1 / sqrt(fan_in). SIGMAS such deviations have a chance of 1e-9, the skewness of chi
at k = 432 included; committed runs: 3.7 at most, of 2,196 kernels. Batch norm with its first weights leaves of a
variance v the share v / (v + 1e-5): a deviation of 1 at most, up to fp32, and hardly less; committed: 0.99987 to
1.0000023.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from bench.nets.counts import convolutions
from bench.report.verify.kept import Kept, kept
from bench.report.verify.published import Published
from bench.spec import Net, counted

NORMS = ("response_std", "batch_std", "response_grad_norm", "grad_norm", "weight_norm")  # at least 0 each
SIGMAS = 6.3
NORMALISED = (0.99, 1.0001)


def in_layers(published: Published) -> Iterator[str]:
    """Each run's layers against its net and recipe."""
    for run in kept(published):
        if run.layers is not None:
            yield from map(run.at, layer_problems(run, run.layers))


def layer_problems(run: Kept, layers: pd.DataFrame) -> Iterator[str]:
    """What in these rows is not of this run."""
    steps = sorted(set(layers["step"].tolist()))
    if problem := _of_steps(run, steps):
        yield problem
    for name in {*NORMS} & set(layers.columns):
        if (layers[name] < 0).any() or layers[name].abs().eq(math.inf).any():
            yield f"its layers' {name} is not between 0 and infinity"
    if run.done and not (layers["weight_norm"] > 0).all():
        yield "a layer's weights have no norm above 0"
    if not run.run.net.row.layout:
        return
    expected = names_of(run.run.net)
    for step, there in layers.groupby("step"):
        if there["name"].tolist() != expected or there["layer"].tolist() != list(range(1, len(expected) + 1)):
            yield f"its layers at step {step:,} are not the {counted(len(expected), 'layer')} of {run.run.net.name}"
            return
    if 0 in steps:
        yield from _of_first(run, layers[layers["step"] == 0])


def names_of(net: Net) -> list[str]:
    """The convolutions of the net's main path, as a net of bench.nets.resnet names them."""
    _, stages, _ = net.row.resolve("layout")(net, 0, 0)
    parts = range(1, 4 if net.bottleneck else 3)
    blocks = [(stage, block) for stage, (count, *_) in enumerate(stages, 1) for block in range(count)]
    return ["conv1", *(f"layer{stage}.{block}.conv{part}" for stage, block in blocks for part in parts)]


def _of_steps(run: Kept, steps: list[int]) -> str:
    """Looked at after the last step, or before the first and at each test; of a run that failed, until then."""
    recipe = run.run.recipe
    tests = [0, *range(recipe.test_every, recipe.steps, recipe.test_every), recipe.steps]
    fits = steps == tests[: len(steps)] if not run.done else steps in ([recipe.steps], tests)
    return "" if fits else f"its layers were looked at after steps {_few(steps)}, and it was tested after {_few(tests)}"


def _few(steps: list[int]) -> str:
    first = ", ".join(f"{step:,}" for step in steps[:6])
    return f"{first}, … ({len(steps)} in all)" if len(steps) > 6 else first


def _of_first(run: Kept, layers: pd.DataFrame) -> Iterator[str]:
    """Before the first step weights are as they were drawn."""
    net = run.run.net
    kernels = [conv for conv in convolutions(net)[0] if not conv.projects]
    norms = zip(kernels, layers["name"], layers["weight_norm"], strict=True)
    for kernel, name, norm in norms if not net.weights else ():
        fan_in = kernel.c_in * kernel.kernel**2
        around = math.sqrt(2 * kernel.weights / fan_in)
        if not abs(norm - around) * math.sqrt(fan_in) < SIGMAS:
            yield f"the weights of {name} have norm {norm:.3f} before the first step, and drawn ones {around:.3f}"
    normalised = net.norm == "bn" and not net.row.norm_first and not net.weights
    least, most = NORMALISED
    stds = layers["batch_std"].dropna() if normalised else layers["batch_std"].iloc[:0]
    if not stds.between(least, most).all():
        yield f"batch norm before the first step gives deviations of 1, not {stds.min():.4f} to {stds.max():.4f}"
