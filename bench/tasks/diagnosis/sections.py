"""What was seen of the layers, in words and tables: the gradients on their way back, and Fig. 7's responses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.report.collect import LAYER_COLUMNS
from bench.report.evidence import Evidence
from bench.report.frame import Set, display_name, own_recipes
from bench.report.tables import Table, anchor
from bench.spec import HEALTHY

ABOUT = ("id", "net", "depth", "shortcut", "norm", "seed", "steps")
KINDS = {  # (norm, plain): the four families, in the order of tables and figures
    ("bn", True): "plain nets with BN",
    ("bn", False): "residual nets with BN",
    ("none", True): "plain nets without BN",
    ("none", False): "residual nets without BN",
}
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
VANISHES, HEALTHY_NORM, EXPLODES = "vanishes", "is healthy", "explodes"
GRADIENTS = (
    "The change of the gradient is its norm at the first layer over its norm at the last, the gradient being that of "
    "the mean cross-entropy of one fixed batch of training images with respect to the responses of a layer, or to its "
    "kernel. Geometric means over the seeds (n), with the lowest and the highest where there are several. A gradient "
    "that changes by less than a factor of {healthy:g} is called healthy, else it vanishes or explodes; the sweep's "
    "file had this bound before its runs. What is seen at initialisation depends on the batch and on no schedule. "
    "Nets without BN have the same kernels at initialisation as those with it."
)
FIGURE_7 = (
    "The standard deviation of each layer's responses in the manner of the paper's Fig. 7: outputs of each 3x3 layer "
    "after BN, before ReLU and addition. Top: layers in their order; bottom: sorted by size. Plain nets dashed, "
    "residual nets solid; mean over the seeds, and a band from the lowest to the highest where there are several. "
    "Over test images, positions and channels, in evaluation mode, after the last step. Evaluation mode normalises by "
    "running averages; after few steps they are behind the weights, which adds up from layer to layer in a deep net."
)
ONE_BATCH = " In training mode: the same over the one batch of training images that the gradients are taken on."

FIGURES = {  # by file: what it shows, and how to read it
    "gradients": (
        "Norm of the gradient with respect to each layer's responses",
        ": dashed at initialisation, solid after the last step; geometric mean over the seeds, and a band from the "
        "lowest to the highest where there are several. Nets that diverged have no solid line.",
    ),
    "gradient-steps": (
        "Change of the gradient from the last layer to the first, against iterations",
        ": the norm at the first layer over that at the last. The grey band is what this sweep calls healthy; a point "
        "alone is a net that diverged before its first test.",
    ),
    "kernel-gradients": (
        "Norm of the gradient with respect to each layer's kernel",
        ", drawn as above. The gradient of a kernel has the forward signal in it as well as the backward one.",
    ),
    "activations": (
        "Standard deviation of each layer's responses in training mode",
        ", on the same batch, drawn as above: after BN it is 1 at initialisation by construction.",
    ),
}


def observed(results: Set) -> pd.DataFrame:
    """Every row of the layers with its run's net, depth, shortcut, norm, seed and steps; `last` marks a run's end.

    Of a net's own recipe alone.
    """
    if results.layers.empty:
        return pd.DataFrame(columns=[*LAYER_COLUMNS, *ABOUT[1:], "kind", "last"]).astype({"last": bool})
    runs = own_recipes(results.runs).loc[:, list(ABOUT)]
    runs = runs.assign(norm=runs["norm"].replace("", "bn"))  # of before nets had a norm
    frame = results.layers.merge(runs, on="id")
    pairs = zip(frame["norm"], frame["shortcut"] == "none", strict=True)
    kinds = pd.Categorical([KINDS[pair] for pair in pairs], list(KINDS.values()))
    frame = frame.assign(kind=kinds, last=frame["step"] == frame["steps"])
    return frame.sort_values(["kind", "depth", "net", "seed", "step", "layer"], ignore_index=True)


def responses(results: Set) -> pd.DataFrame:
    """Fig. 7's rows: nets with BN after their last step."""
    frame = observed(results)
    return frame[frame["last"] & (frame["norm"] == "bn")].dropna(subset=["response_std"])


def gradients(results: Set) -> pd.DataFrame:
    """What a diagnosis adds: all layers of the runs and steps at which any layer had a gradient."""
    frame = observed(results)
    return frame[frame.groupby(["id", "step"])["response_grad_norm"].transform("count") > 0]


def changes(frame: pd.DataFrame, column: str = "response_grad_norm") -> pd.DataFrame:
    """A row a run and step with the `change` of `column` from the last layer to the first; of finite values alone."""
    keys = ["kind", "depth", "net", "seed", "step", "last"]
    ends = frame.groupby(keys, sort=False, observed=True)[column].agg(lambda c: c.iloc[0] / c.iloc[-1])
    return ends.replace([0, np.inf], np.nan).dropna().rename("change").reset_index()


def word(change: float) -> str:
    """`vanishes`, `is healthy` or `explodes`."""
    return VANISHES if change <= 1 / HEALTHY else EXPLODES if change >= HEALTHY else HEALTHY_NORM


def geometric(values: pd.Series[float]) -> float:
    """The geometric mean: factors have no other."""
    return float(np.exp(np.log(values).mean()))


def _factor(values: pd.Series[float]) -> str:
    """`24 [21 to 27] (2)`: geometric mean, lowest, highest, n."""
    if values.empty:
        return "–"
    within = f" [{two_digits(values.min())} to {two_digits(values.max())}]" if len(values) > 1 else ""
    return f"{two_digits(geometric(values))}{within} ({len(values)})"


def two_digits(value: float) -> str:
    """`0.43`, `24`, `1.2 × 10⁴`."""
    mantissa, _, exponent = f"{value:.2g}".partition("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(RAISED)}" if exponent else mantissa


def _word(values: pd.Series[float]) -> str:
    """The word for the mean, with the number of seeds that have it where they do not agree."""
    if values.empty:
        return "–"
    said = word(geometric(values))
    same = sum(word(value) == said for value in values)
    return said if same == len(values) else f"{said}, in {same} of {len(values)} seeds"


def gradient_findings(results: Set) -> list[str]:
    """The paper's statement held against the numbers, then each family's change by depth, then what diverged."""
    seen = changes(gradients(results))
    if seen.empty:
        return []
    start, end, after = seen[seen["step"] == 0], seen[seen["last"]], _after(results)
    lines = [*_statement(start, "At initialisation"), *_statement(end, f"A{after[1:]}")]
    for when, part in (("at initialisation", start), (after, end)):
        lines += [_by_depth(str(kind), of_kind, when) for kind, of_kind in part.groupby("kind", observed=True)]
    return lines + diverged(results)


def _after(results: Set) -> str:
    steps = results.runs["steps"].unique()
    return f"after {steps[0]:,} steps" if len(steps) == 1 else "after the last step"


def _statement(seen: pd.DataFrame, when: str) -> Iterator[str]:
    """Whether gradients of plain nets with BN vanish, and whether their norms are healthy, by the mean over seeds."""
    plain = seen[seen["kind"] == KINDS["bn", True]]
    if plain.empty:
        return
    words = {int(str(depth)): word(geometric(part["change"])) for depth, part in plain.groupby("depth")}
    vanish = [depth for depth, said in words.items() if said == VANISHES]
    healthy = [depth for depth, said in words.items() if said == HEALTHY_NORM]
    yield (
        f"{when}, the gradient of plain nets with BN vanishes at {_depths(vanish)} (measured at {_and(list(words))}), "
        f"{'against what' if vanish else 'as'} the paper says; its norm is healthy, in the sense of this sweep, at "
        f"{_depths(healthy)}."
    )


def _depths(depths: Sequence[int]) -> str:
    return f"{_and(depths)} layers" if depths else "no depth"


def _and(numbers: Sequence[int]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last


def _by_depth(kind: str, seen: pd.DataFrame, when: str) -> str:
    parts = {str(depth): part["change"] for depth, part in seen.groupby("depth")}
    steps = (f"{two_digits(geometric(part))} at {depth} layers ({_word(part)})" for depth, part in parts.items())
    first, rest = kind[0].upper(), kind[1:]
    return f"{first}{rest}, {when}: from the last layer to the first the gradient changes by {'; '.join(steps)}."


def diverged(results: Set) -> list[str]:
    """A line a net of which runs failed, with what they died of and where."""
    failed = results.runs[results.runs["state"] == "failed"]
    lines = []
    for net, part in failed.groupby("net", sort=False):
        seeds = part.groupby("error_message", sort=False)["seed"].agg(list)
        causes = (f"{cause} (seed{'s' * (len(its) > 1)} {_and(its)})" for cause, its in seeds.items())
        runs = (results.runs["net"] == net).sum()
        lines.append(f"{display_name(str(net))} failed in {len(part)} of {runs} runs: {'; '.join(causes)}.")
    return lines


@dataclass(frozen=True, slots=True)
class Metric:
    """A number of a net's layers in words. factor: whether it is one, whose mean over seeds is geometric."""

    words: str
    factor: bool


METRICS = {
    "gradient_at_start": Metric("gradient at the first layer over that at the last, at initialisation", True),
    "gradient_at_end": Metric("gradient at the first layer over that at the last, after the last step", True),
    "response_std": Metric("std of responses, mean over the layers", False),
}


def measured(results: Set) -> Iterator[tuple[str, str, pd.Series[float]]]:
    """Net, key of METRICS and the values by seed, of all nets with BN or without that have any."""
    seen = changes(gradients(results))
    for metric, at in (("gradient_at_start", seen["step"] == 0), ("gradient_at_end", seen["last"])):
        for net, part in seen[at].groupby("net", sort=False):
            yield str(net), metric, part.set_index("seed")["change"]
    for net, part in responses(results).groupby("net", sort=False):
        yield str(net), "response_std", part.groupby("seed")["response_std"].mean()


def gradient_table(evidence: Evidence) -> Table:
    """A row a net: by how much its gradient changes over the layers, and how large its responses are at the start."""
    frame = gradients(evidence.results)
    backward, kernels = changes(frame), changes(frame, "grad_norm")
    top = frame[frame["step"] == 0].groupby(["net", "seed"], sort=False, as_index=False)["batch_std"].last()
    header = (
        "net", "layers", "gradient, first / last layer, at initialisation", "so it", "after the last step", "so it",
        "gradient of kernels, first / last, at initialisation", "std of the last layer's responses, at initialisation",
    )  # fmt: skip
    rows = []
    for net, depth in frame.groupby("net", sort=False)["depth"].first().items():
        of_net, of_kernels = backward[backward["net"] == net], kernels[kernels["net"] == net]
        start, end = (of_net.loc[at, "change"] for at in (of_net["step"] == 0, of_net["last"]))
        kernel, last = of_kernels.loc[of_kernels["step"] == 0, "change"], top[top["net"] == net]
        at_start, at_end = (anchor(evidence.id(str(net), m)) for m in ("gradient_at_start", "gradient_at_end"))
        named = (at_start + _factor(start), _word(start), (at_end if len(end) else "") + _factor(end), _word(end))
        rows.append((display_name(str(net)), f"{depth}", *named, _factor(kernel), _factor(last["batch_std"].dropna())))
    return Table(header, rows, note=GRADIENTS.format(healthy=HEALTHY))


def has_gradients(results: Set) -> bool:
    """Whether a diagnosis was made."""
    return not changes(gradients(results)).empty


def gradient_sections(results: Set, table: Table | None) -> list[str]:
    """Table and figures of a diagnosis; nothing where none was made."""
    if table is None:
        return []
    shown = [f"![{words}]({name}-{results.label}.svg)\n\n{words}{how}" for name, (words, how) in FIGURES.items()]
    return ["## Gradients, layer by layer", table.markdown(), table.note, *shown]


def response_findings(results: Set) -> list[str]:
    """Fig. 7's two statements held against the numbers: residual against plain, and residual nets with depth."""
    frame = responses(results)
    plain, residual = (_by_depth_and_layer(frame, shortcut) for shortcut in ("none", "A"))
    both = sorted(set(plain.index) & set(residual.index))
    lines = [_residual_against_plain(plain.loc[depth].dropna(), residual.loc[depth].dropna(), depth) for depth in both]
    return lines + _residual_with_depth(residual.mean(axis=1))


def _by_depth_and_layer(frame: pd.DataFrame, shortcut: str) -> pd.DataFrame:
    """Depths x layers: the std averaged over seeds, NaN beyond a net's last layer."""
    part = frame[frame["shortcut"] == shortcut]
    return part.pivot_table(values="response_std", index="depth", columns="layer", aggfunc="mean")


def _residual_against_plain(plain: pd.Series[float], residual: pd.Series[float], depth: int) -> str:
    ours, theirs = residual.mean(), plain.mean()
    return (
        f"At {depth} layers the responses of the residual net are {'smaller' if ours < theirs else 'not smaller'} than "
        f"the plain net's on average (mean std over the layers {_std(ours)} against {_std(theirs)}), and smaller in "
        f"{(residual < plain).sum()} of {len(plain)} layers; in the paper they are generally smaller."
    )


def _residual_with_depth(means: pd.Series[float]) -> list[str]:
    if len(means) < 2:
        return []
    falls, rises = means.is_monotonic_decreasing, means.is_monotonic_increasing
    how = "falls" if falls else "rises" if rises else "neither falls nor rises throughout"
    steps = ", ".join(f"{_std(value)} at {depth} layers" for depth, value in means.items())
    return [f"With depth the mean response of residual nets {how} ({steps}); in the paper it falls."]


def _std(value: float) -> str:
    """Three decimals; two digits of what is far from any response of a trained net."""
    return "–" if math.isnan(value) else f"{value:.3f}" if value < 1_000 else two_digits(value)


OWN = " Variants of a net's recipe are left out."


def response_table(evidence: Evidence) -> Table:
    """A row a net with BN: the mean, the smallest and the largest std over its layers, each averaged over seeds."""
    rows, seen = [], responses(evidence.results)
    for net, part in seen.groupby("net", sort=False):
        by_seed = part.groupby("seed").agg(
            mean=("response_std", "mean"),
            low=("response_std", "min"),
            high=("response_std", "max"),
            batch=("batch_std", "mean"),
        )
        mean, *numbers = map(_std, by_seed.mean())
        mean = anchor(evidence.id(str(net), "response_std")) + mean
        rows.append((display_name(str(net)), f"{part['depth'].iloc[0]}", mean, *numbers, f"{len(by_seed)}"))
    header = ("net", "layers", "std, mean over layers", "smallest", "largest", "mean, in training mode", "seeds")
    how = FIGURE_7 + (ONE_BATCH if seen["batch_std"].notna().any() else "")
    how += OWN if (evidence.results.runs["variant"] != "").any() else ""
    return Table(header, rows, note=how)


def has_responses(results: Set) -> bool:
    """Whether responses were measured."""
    return not responses(results).empty


def response_sections(results: Set, table: Table | None) -> list[str]:
    """Fig. 7 with its table and its statements; nothing where no responses were measured."""
    if table is None:
        return []
    found = "\n".join(f"- {line}" for line in response_findings(results))
    picture = f"![Standard deviations of layer responses](responses-{results.label}.svg)"
    return [part for part in ("## Figure 7", found, table.markdown(), picture, table.note) if part]
