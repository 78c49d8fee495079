"""What was seen of the gradients on their way back, in words, in a table and drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import pandas as pd

from bench.report.claims import has_diverged
from bench.report.evidence import Evidence
from bench.report.frame import PLAIN, Set, display_name, own_recipes
from bench.report.numbers import Cell, Number, listed
from bench.report.render.figures import not_run
from bench.report.sections import Drawing
from bench.report.tables import Table
from bench.spec import HEALTHY, counted
from bench.tasks.diagnosis import figures, layers

CHANGE = "gradient at the first layer over that at the last"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
AT_START = "at initialisation"
VANISHING, WITHIN, EXPLODING = "vanishing", "healthy", "exploding"
GRADIENTS = (
    "The gradient-norm ratio is that of the norm at the first layer to the norm at the last: of the gradient of the "
    "mean cross-entropy over one fixed batch of training images with respect to a layer's responses, or to its kernel. "
    "Geometric means over the seeds that got so far (n), with the lowest and the highest where there are several. A "
    "ratio between 1/{healthy:g} and {healthy:g} is called healthy, below that vanishing, above it exploding; these "
    "bounds were declared before the runs. At initialisation the ratio depends on the batch and on no schedule. Nets "
    "without BN start from the same kernels as those with it."
)
BY_LAYER = (
    ": dashed with open marks at initialisation, solid after the last step; geometric mean over the seeds, and a "
    "band from the lowest to the highest where there are several. The note in the figure names the nets of which seeds "
    "diverged; one without a seed left has no solid line."
)
OVER_STEPS = (
    ": the norm at the first layer over that at the last. The grey band is what this sweep calls healthy. A point "
    "alone is a net of which all seeds diverged before the first test; where some did, a line goes on with the others."
)
OF_KERNELS = ", drawn as above. The gradient of a kernel has the forward signal in it as well as the backward one."
OF_RESPONSES = ", on the same batch, drawn as above: after BN it is 1 at initialisation by construction."


def word(change: float) -> str:
    """`vanishing`, `healthy` or `exploding`."""
    return VANISHING if change <= 1 / HEALTHY else EXPLODING if change >= HEALTHY else WITHIN


def _factor(values: pd.Series[float]) -> str:
    """`24 (2); 21 to 27`: geometric mean, n, lowest, highest."""
    if values.empty:
        return "–"
    return "; ".join(filter(None, (f"{two_digits(layers.geometric(values))} ({len(values)})", _spread(values))))


def _spread(values: pd.Series[float]) -> str:
    """`21 to 27`, the lowest and the highest; "" of one."""
    return f"{two_digits(values.min())} to {two_digits(values.max())}" if len(values) > 1 else ""


def two_digits(value: float) -> str:
    """`0.43`, `24`, `1.2 × 10⁴`."""
    mantissa, _, exponent = f"{value:.2g}".partition("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(RAISED)}" if exponent else mantissa


def _word(values: pd.Series[float], lost: str = "", n: str = "") -> str:
    """The word for the mean, with the number of seeds that have it where they do not agree, and the seeds lost.

    n: what follows the word where they do.
    """
    if values.empty:
        return lost or "–"
    verdict = word(layers.geometric(values))
    same = sum(word(value) == verdict for value in values)
    agreed = n if same == len(values) else f", in {same} of {len(values)} seeds"
    return f"{verdict}{agreed}" + (f"; {lost}" if lost else "")


def lost(results: Set, nets: Iterable[str]) -> str:
    """`2 of 3 seeds diverged`, of all runs of the nets; "" where none failed."""
    runs = results.runs[results.runs["net"].isin(list(nets))]
    failed = int((runs["state"] == "failed").sum())
    verb = "diverged" if failed == has_diverged(runs).sum() else "failed"
    return f"{failed} of {counted(len(runs), 'seed')} {verb}" if failed else ""


def not_drawn(results: Set, nets: pd.DataFrame) -> str:
    """Of `nets`, rows of Set.nets, those not run yet, and those of which seeds failed, with the seeds that are left."""
    parts = [not_run(results, nets.index[nets["failed"] == 0])]
    for net in map(str, nets.index[nets["failed"] > 0]):
        left = list(results.done.loc[results.done["net"] == net, "seed"].astype(int))
        rest = f", later steps are seed{'s' * (len(left) > 1)} {listed(left)} alone" if left else ""
        parts.append(f"{display_name(net)}: {lost(results, [net])}{rest}")
    return "; ".join(filter(None, parts))


def gradient_findings(results: Set) -> tuple[list[str], list[str]]:
    """What answers the question, plain nets with BN and without it, our bound beside; then other nets."""
    seen = layers.changes(layers.gradients(results))
    if seen.empty:
        return [], []
    start, end, later = seen[seen["step"] == 0], seen[seen["last"]], after(results)
    by_kind = {
        (str(kind), when): _by_depth(results, str(kind), when, of_kind, part[part["kind"] == kind])
        for when, part in ((AT_START, start), (later, end))
        for kind, of_kind in start.groupby("kind", observed=True)
    }
    with_bn, without = (layers.kind(PLAIN, norm) for norm in layers.NORMS)
    asked = ((with_bn, AT_START), (without, AT_START), (with_bn, later))
    beside = {AT_START: _beside(start), later: _beside(end) if results.scale != "quick" else ""}
    told = [key for key in asked if key in by_kind] or list(by_kind)[: len(asked)]
    answer = [by_kind[key] + beside[key[1]] * (key[0] == with_bn) for key in told]
    return answer, [text for key, text in by_kind.items() if key not in told]


def _beside(seen: pd.DataFrame) -> str:
    """That the bound is ours, and at which depths residual nets with BN are outside it too, by the mean over seeds."""
    residual = seen[seen["kind"] == layers.kind(layers.BASIC, "bn")]
    ratios = {depth: layers.geometric(part["change"]) for depth, part in residual.groupby("depth")}
    beyond = {depth: two_digits(ratio) for depth, ratio in ratios.items() if word(ratio) != WITHIN}
    where = f"at {listed(list(beyond))} layers ({', '.join(beyond.values())})" if beyond else "at no depth"
    nets = f"; by our factor of {HEALTHY:g} residual nets are outside {where}" if ratios else ""
    return f" The paper gives no bound{nets}."


def after(results: Set) -> str:
    """`after 30 steps`."""
    steps = results.runs["steps"].unique()
    return f"after {steps[0]:,} steps" if len(steps) == 1 else "after the last step"


def _by_depth(results: Set, kind: str, when: str, start: pd.DataFrame, seen: pd.DataFrame) -> str:
    """start: what there is of the kind's nets at initialisation; seen: at the time that is told."""
    values = {int(str(depth)): seen.loc[seen["depth"] == depth, "change"] for depth in start["depth"].unique()}
    ns = {len(its) for its in values.values()}
    steps: list[str] = []
    for depth, its in values.items():
        nets = start.loc[start["depth"] == depth, "net"].unique()
        called = _word(its, "" if when == AT_START else lost(results, nets), f", n = {len(its)}" * (len(ns) > 1))
        ratio = "none" if its.empty else two_digits(layers.geometric(its))
        steps.append(f"{ratio} at {depth}{' layers' * (not steps)} ({called})")
    n = f"; n = {min(ns)}" * (len(ns) == 1)
    return f"{kind[0].upper()}{kind[1:]}, {when}: first-to-last gradient-norm ratio {', '.join(steps)}{n}."


def gradient_table(evidence: Evidence) -> Table:
    """A row a net: by how much its gradient changes over the layers, and how large its responses are at the start."""
    frame = layers.gradients(evidence.results)
    backward, kernels = layers.changes(frame), layers.changes(frame, "grad_norm")
    top = frame[frame["step"] == 0].groupby(["net", "seed"], sort=False, as_index=False)["batch_std"].last()
    header = (
        "net", "layers", "gradient, first / last layer, at initialisation", "called", "after the last step", "called",
        "gradient of kernels, first / last, at initialisation", "std of the last layer's responses, at initialisation",
    )  # fmt: skip
    rows = []
    for net, depth in frame.groupby("net", sort=False)["depth"].first().items():
        of_net, of_kernels = backward[backward["net"] == net], kernels[kernels["net"] == net]
        start, end = (of_net[at].set_index("seed")["change"] for at in (of_net["step"] == 0, of_net["last"]))
        kernel, last = of_kernels.loc[of_kernels["step"] == 0, "change"], top[top["net"] == net]
        at_start = _change(evidence, str(net), "gradient_at_start", AT_START, start)
        at_end = _change(evidence, str(net), "gradient_at_end", "after the last step", end)
        named = (at_start, _word(start), at_end, _word(end, lost(evidence.results, [str(net)])))
        rows.append((display_name(str(net)), f"{depth}", *named, *map(_factor, (kernel, last["batch_std"].dropna()))))
    return Table(header, rows, note=GRADIENTS.format(healthy=HEALTHY), name="gradients")


def _change(evidence: Evidence, net: str, metric: str, when: str, values: pd.Series[float]) -> Cell:
    """The change of a net's gradient by seed: a factor, whose mean is geometric; the lowest and the highest."""
    if values.empty:
        return "–"
    what = f"{CHANGE}, {when}, {'geometric mean over seeds' if len(values) > 1 else 'one seed'}"
    mean = number_of(evidence, net, metric, what, values, value=layers.geometric(values), write=two_digits)
    return (mean, spread) if (spread := _spread(values)) else mean


def number_of(evidence: Evidence, net: str, metric: str, what: str, by_seed: pd.Series[float], **values: Any) -> Number:
    """Of a net, from what each of its seeds measured."""
    ids = evidence.results.runs[evidence.results.runs["net"] == net].set_index("seed")["id"]
    return Number(
        id=evidence.id(net, metric),
        what=f"{display_name(net)}, {what}",
        n=len(by_seed),
        unit="",
        runs=tuple(map(str, ids[by_seed.index])),
        **values,
    )


def drawings(results: Set, seen: pd.DataFrame) -> Iterator[Drawing]:
    """By layer and over the steps; the first stands on the page's first screen."""
    note = not_drawn(results, own_recipes(results.nets))
    by_layer = partial(figures.by_layer, seen, note=note)
    words = "Norm of the gradient with respect to each layer's responses"
    draw = partial(by_layer, column="response_grad_norm", label="gradient norm w.r.t. responses")
    yield Drawing("gradients", words, words + BY_LAYER, draw)
    words = "Change of the gradient from the last layer to the first, against iterations"
    yield Drawing("gradient-steps", words, words + OVER_STEPS, partial(figures.over_steps, layers.changes(seen), note))
    words = "Norm of the gradient with respect to each layer's kernel"
    draw = partial(by_layer, column="grad_norm", label="gradient norm w.r.t. kernel")
    yield Drawing("kernel-gradients", words, words + OF_KERNELS, draw)
    words = "Standard deviation of each layer's responses in training mode"
    draw = partial(by_layer, column="batch_std", label="std of responses, training mode")
    yield Drawing("activations", words, words + OF_RESPONSES, draw)
