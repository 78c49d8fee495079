"""What was seen of the layers as data frames: their gradients on the way back, and Fig. 7's responses."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.report.frame import PLAIN, RESIDUAL, Set, own_recipes
from bench.spec.net import own_word
from bench.store.manifest import LAYER_COLUMNS

ABOUT = ("id", "net", "depth", "shortcut", "norm", "seed", "steps")
ADDED = ("unit", "kind", "last")
BASIC = "residual"
# what nets are grouped by, in the order of tables and figures: the unit that their name begins with, and their norm
_WORDS = {word: kind.title.replace("ResNet", BASIC) for word, kind in RESIDUAL.items()}
UNITS = (PLAIN, *_WORDS.values())
NORMS = {"bn": "with BN", "none": "without BN"}


def kind(unit: str, norm: str) -> str:
    """`plain nets with BN`, `bottleneck residual nets with BN`."""
    return f"{unit} nets {NORMS[norm]}"


def units_of(frame: pd.DataFrame) -> tuple[str, ...]:
    """UNITS, then those of the user's nets in a frame."""
    return tuple(dict.fromkeys((*UNITS, *frame["unit"])))


def observed(results: Set) -> pd.DataFrame:
    """Every row of the layers with its run's net, depth, shortcut, norm, seed and steps, the net's unit and kind.

    `last` marks a run's end. Of a net's own recipe alone.
    """
    if results.layers.empty:
        return pd.DataFrame(columns=[*LAYER_COLUMNS, *ABOUT[1:], *ADDED]).astype({"last": bool})
    runs = own_recipes(results.runs).loc[:, list(ABOUT)]
    runs = runs.assign(norm=runs["norm"].replace("", "bn"))  # of before nets had a norm
    units = [_WORDS.get(str(net).partition("-")[0]) or own_word(str(net)) or PLAIN for net in runs["net"]]
    runs = runs.assign(unit=units)
    kinds = [kind(unit, norm) for unit, norm in zip(runs["unit"], runs["norm"], strict=True)]
    known = tuple(kind(unit, norm) for norm in NORMS for unit in units_of(runs))
    frame = results.layers.merge(runs.assign(kind=pd.Categorical(kinds, known)), on="id")
    frame = frame.assign(last=frame["step"] == frame["steps"])
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
    keys = ["kind", "unit", "norm", "depth", "net", "seed", "step", "last"]
    ends = frame.groupby(keys, sort=False, observed=True)[column].agg(lambda c: c.iloc[0] / c.iloc[-1])
    return ends.replace([0, np.inf], np.nan).dropna().rename("change").reset_index()


def geometric(values: pd.Series[float]) -> float:
    """The geometric mean: factors have no other."""
    return float(np.exp(np.log(values).mean()))
