"""What was seen of the layers, in words and tables: the gradients on their way back, and Fig. 7's responses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pandas as pd

from bench.report.evidence import Evidence
from bench.report.frame import PLAIN, Set, display_name, nets_of, own_recipes, with_bn
from bench.report.numbers import Cell, Number, listed
from bench.report.render.figures import not_run
from bench.report.sections import Drawing, Findings, Section, bullets, diverged
from bench.report.stats import sample
from bench.report.tables import Table
from bench.spec import FAMILIES, HEALTHY
from bench.tasks.diagnosis import figures, layers

CHANGE = "gradient at the first layer over that at the last"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
VANISHING, WITHIN, EXPLODING = "vanishing", "healthy", "exploding"
GRADIENTS = (
    "The gradient-norm ratio is that of the norm at the first layer to the norm at the last: of the gradient of the "
    "mean cross-entropy over one fixed batch of training images with respect to a layer's responses, or to its kernel. "
    "Geometric means over the seeds (n), with the lowest and the highest where there are several. A ratio between "
    "1/{healthy:g} and {healthy:g} is called healthy, else vanishing or exploding; these bounds were declared before "
    "the runs. At initialisation the ratio depends on the batch and on no schedule. Nets without BN start from the "
    "same kernels as those with it."
)
FIGURE_7 = (
    "The standard deviation of each layer's responses in the manner of the paper's Fig. 7: outputs of each 3x3 layer "
    "after BN, before ReLU and addition. Top: layers in their order; bottom: sorted by size. Plain nets dashed, "
    "residual nets solid; mean over the seeds, and a band from the lowest to the highest where there are several. "
    "Over test images, positions and channels, in evaluation mode, after the last step. Evaluation mode normalises by "
    "running averages; after few steps they are behind the weights, which adds up from layer to layer in a deep net."
)
OWN = " Variants of a net's recipe are left out."
OTHERS = " Nets of other units dash-dotted or dotted."
OWN_OUTPUT = " Of {} nets, whose BN comes before a convolution: the convolution's own outputs."
ONE_BATCH = " In training mode: the same over the one batch of training images that the gradients are taken on."
BY_LAYER = (
    ": dashed at initialisation, solid after the last step; geometric mean over the seeds, and a band from the "
    "lowest to the highest where there are several. Nets that diverged have no solid line."
)
OVER_STEPS = (
    ": the norm at the first layer over that at the last. The grey band is what this sweep calls healthy; a point "
    "alone is a net that diverged before its first test."
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


def _word(values: pd.Series[float]) -> str:
    """The word for the mean, with the number of seeds that have it where they do not agree."""
    if values.empty:
        return "–"
    verdict = word(layers.geometric(values))
    same = sum(word(value) == verdict for value in values)
    return verdict if same == len(values) else f"{verdict}, in {same} of {len(values)} seeds"


def gradient_findings(results: Set) -> tuple[list[str], list[str]]:
    """The paper's statement against the numbers; then each family's ratio by depth, plain nets without BN first."""
    seen = layers.changes(layers.gradients(results))
    if seen.empty:
        return [], []
    start, end, after = seen[seen["step"] == 0], seen[seen["last"]], _after(results)
    short = results.scale == "quick"  # a few steps of other settings than the paper's are no test of what it says
    answer = [*_statement(start, "At initialisation"), *_statement(end, f"A{after[1:]}", beside=not short)]
    by_depth = {
        (str(kind), when): _by_depth(str(kind), of_kind, when)
        for when, part in (("at initialisation", start), (after, end))
        for kind, of_kind in part.groupby("kind", observed=True)
    }
    without_bn = by_depth.pop((layers.kind(PLAIN, "none"), "at initialisation"), "")
    return answer, [*filter(None, [without_bn]), *by_depth.values()]


def _after(results: Set) -> str:
    steps = results.runs["steps"].unique()
    return f"after {steps[0]:,} steps" if len(steps) == 1 else "after the last step"


def _statement(seen: pd.DataFrame, when: str, *, beside: bool = True) -> Iterator[str]:
    """Whether gradients of plain nets with BN vanish, and whether their norms are healthy, by the mean over seeds.

    beside: what the paper says is said, too.
    """
    plain = seen[seen["kind"] == layers.kind(PLAIN, "bn")]
    if plain.empty:
        return
    words = {int(str(depth)): word(layers.geometric(part["change"])) for depth, part in plain.groupby("depth")}
    vanish = [depth for depth, verdict in words.items() if verdict == VANISHING]
    healthy = [depth for depth, verdict in words.items() if verdict == WITHIN]
    bounds = f"our bounds (1/{HEALTHY:g}, {HEALTHY:g})"
    where = "every depth" if len(healthy) in (0, len(words)) else _depths(healthy)
    paper = f", {'contrary to what' if vanish else 'as'} the paper says" * beside
    norms = "; the paper speaks of healthy norms" * (beside and len(healthy) < len(words))
    yield (
        f"{when}, the gradient of plain networks with BN vanishes at {_depths(vanish)} (measured at "
        f"{listed(list(words))}){paper}; its first-to-last ratio is {'within' if healthy else 'outside'} {bounds} at "
        f"{where}{norms}."
    )


def _depths(depths: Sequence[int]) -> str:
    return f"{listed(depths)} layers" if depths else "no depth"


def _by_depth(kind: str, seen: pd.DataFrame, when: str) -> str:
    by_depth = seen.groupby("depth")["change"]
    steps = (f"{two_digits(layers.geometric(part))} at {depth} layers ({_word(part)})" for depth, part in by_depth)
    start = f"{kind[0].upper()}{kind[1:]}, {when}"
    return f"{start}: the first-to-last gradient-norm ratio is {'; '.join(steps)}."


def gradient_table(evidence: Evidence) -> Table:
    """A row a net: by how much its gradient changes over the layers, and how large its responses are at the start."""
    frame = layers.gradients(evidence.results)
    backward, kernels = layers.changes(frame), layers.changes(frame, "grad_norm")
    top = frame[frame["step"] == 0].groupby(["net", "seed"], sort=False, as_index=False)["batch_std"].last()
    header = (
        "net", "layers", "gradient, first / last layer, at initialisation", "verdict", "after the last step", "verdict",
        "gradient of kernels, first / last, at initialisation", "std of the last layer's responses, at initialisation",
    )  # fmt: skip
    rows = []
    for net, depth in frame.groupby("net", sort=False)["depth"].first().items():
        of_net, of_kernels = backward[backward["net"] == net], kernels[kernels["net"] == net]
        start, end = (of_net[at].set_index("seed")["change"] for at in (of_net["step"] == 0, of_net["last"]))
        kernel, last = of_kernels.loc[of_kernels["step"] == 0, "change"], top[top["net"] == net]
        at_start = _change(evidence, str(net), "gradient_at_start", "at initialisation", start)
        at_end = _change(evidence, str(net), "gradient_at_end", "after the last step", end)
        named = (at_start, _word(start), at_end, _word(end))
        rows.append((display_name(str(net)), f"{depth}", *named, *map(_factor, (kernel, last["batch_std"].dropna()))))
    return Table(header, rows, note=GRADIENTS.format(healthy=HEALTHY), name="gradients")


def _change(evidence: Evidence, net: str, metric: str, when: str, values: pd.Series[float]) -> Cell:
    """The change of a net's gradient by seed: a factor, whose mean is geometric; the lowest and the highest."""
    if values.empty:
        return "–"
    what = f"{CHANGE}, {when}, geometric mean over seeds"
    mean = _number(evidence, net, metric, what, values, value=layers.geometric(values), write=two_digits)
    return (mean, spread) if (spread := _spread(values)) else mean


def _number(evidence: Evidence, net: str, metric: str, what: str, by_seed: pd.Series[float], **values: Any) -> Number:
    ids = evidence.results.runs[evidence.results.runs["net"] == net].set_index("seed")["id"]
    return Number(
        id=evidence.id(net, metric),
        what=f"{display_name(net)}, {what}",
        n=len(by_seed),
        unit="",
        runs=tuple(map(str, ids[by_seed.index])),
        **values,
    )


def findings(evidence: Evidence) -> Findings:
    """What the gradients do from layer to layer, with the figure and the table of it; Fig. 7."""
    results = evidence.results
    answer, said = gradient_findings(results)
    seen = layers.gradients(results)
    drawings = [*_drawings(results, seen)] if len(layers.changes(seen)) else []
    first, others = next(iter(drawings), None), drawings[1:]
    return Findings(
        answer or ["No layer has been measured yet."],
        first,
        Section("Gradient norms, first layer to last", (gradient_table(evidence),)) if first else None,
        [*said, *diverged(results)],
        [
            *([Section("Gradients during training and of kernels; responses", tuple(others))] if others else []),
            *response_sections(evidence),
        ],
    )


def _drawings(results: Set, seen: pd.DataFrame) -> Iterator[Drawing]:
    note = not_run(results, own_recipes(results.nets).index)
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


def response_findings(results: Set) -> list[str]:
    """Fig. 7's two statements against the numbers: residual against plain, and residual nets with depth."""
    frame = layers.responses(results)
    basic = frame[(frame["unit"] == layers.BASIC) & (frame["shortcut"] == "A")]  # the paper has no other units in it
    plain, residual = _by_depth_and_layer(frame[frame["unit"] == PLAIN]), _by_depth_and_layer(basic)
    both = sorted(set(plain.index) & set(residual.index))
    against = [
        _residual_against_plain(plain.loc[depth].dropna(), residual.loc[depth].dropna(), depth) for depth in both
    ]
    paper = (*["in the paper they are generally smaller"] * len(against), "in the paper it falls")
    lines = zip([*against, *_residual_with_depth(residual.mean(axis=1))], paper, strict=False)
    # after a few steps of scale quick the running averages are behind the weights, which the caption says
    return [f"{line}." if results.scale == "quick" else f"{line}; {theirs}." for line, theirs in lines]


def _by_depth_and_layer(frame: pd.DataFrame) -> pd.DataFrame:
    """Depths x layers: the std averaged over seeds, NaN beyond a net's last layer."""
    return frame.pivot_table(values="response_std", index="depth", columns="layer", aggfunc="mean")


def _residual_against_plain(plain: pd.Series[float], residual: pd.Series[float], depth: int) -> str:
    ours, theirs = residual.mean(), plain.mean()
    return (
        f"At {depth} layers the responses of the residual net are {'smaller' if ours < theirs else 'not smaller'} than "
        f"the plain net's on average (mean std over the layers {_std(ours)} against {_std(theirs)}), and smaller in "
        f"{(residual < plain).sum()} of {len(plain)} layers"
    )


def _residual_with_depth(means: pd.Series[float]) -> list[str]:
    if len(means) < 2:
        return []
    falls, rises = means.is_monotonic_decreasing, means.is_monotonic_increasing
    how = "falls" if falls else "rises" if rises else "neither falls nor rises throughout"
    steps = ", ".join(f"{_std(value)} at {depth} layers" for depth, value in means.items())
    return [f"With depth the mean response of residual nets {how} ({steps})"]


def _std(value: float) -> str:
    """Three decimals; two digits of what is far from any response of a trained net."""
    return "–" if math.isnan(value) else f"{value:.3f}" if value < 1_000 else two_digits(value)


def response_table(evidence: Evidence) -> Table:
    """A row a net with BN: the mean, the smallest and the largest std over its layers, each averaged over seeds."""
    rows: list[tuple[Cell, ...]] = []
    seen = layers.responses(evidence.results)
    for net, part in seen.groupby("net", sort=False):
        by_seed = part.groupby("seed").agg(
            mean=("response_std", "mean"),
            low=("response_std", "min"),
            high=("response_std", "max"),
            batch=("batch_std", "mean"),
        )
        means = by_seed.pop("mean")
        ours, what = sample(means), "std of responses, mean over the layers"
        values = {"value": ours.mean, "std": ours.std, "write": _std}
        mean = _number(evidence, str(net), "response_std", what, means, **values)
        others = map(_std, by_seed.mean())
        rows.append((display_name(str(net)), f"{part['depth'].iloc[0]}", mean, *others, f"{len(by_seed)}"))
    header = ("net", "layers", "std, mean over layers", "smallest", "largest", "mean, in training mode", "seeds")
    how = FIGURE_7 + (ONE_BATCH if seen["batch_std"].notna().any() else "")
    how += OTHERS if set(seen["unit"]) - {PLAIN, layers.BASIC} else ""
    bn_first = {row.residual.nets: None for row in FAMILIES.values() if row.norm_first}
    how += "".join(OWN_OUTPUT.format(nets) for nets in bn_first if nets in set(nets_of(seen)))
    how += OWN if (evidence.results.runs["variant"] != "").any() else ""
    return Table(header, rows, note=how, name="responses")


def response_sections(evidence: Evidence) -> list[Section]:
    """Fig. 7 with its table and its statements; nothing where no responses were measured."""
    seen = layers.responses(evidence.results)
    if seen.empty:
        return []
    table = response_table(evidence)
    alt, found = "Standard deviations of layer responses", bullets(response_findings(evidence.results))
    note = not_run(evidence.results, with_bn(own_recipes(evidence.results.nets)).index)
    drawing = Drawing("responses", alt, "", partial(figures.figure_7, seen, note))
    return [Section(evidence.named("Layer responses", "Fig. 7"), (*[found] * bool(found), table, drawing))]
