"""Tables as markdown: every number with its n, nothing typed by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from bench.report.frame import by_net, paper_error, with_bn
from bench.report.stats import Interval, sample, wilson


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1) -> str:
    """A table; the first `text` columns are text, the others are numbers."""
    rule = [*["---"] * text, *["--:"] * (len(header) - text)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def mean_std(mean: float, std: float, n: int, digits: int = 2) -> str:
    """`8.61 ± 0.16 (5)`; with one seed there is no deviation, with none no number."""
    if n == 0 or math.isnan(mean):
        return "–"
    spread = "" if n == 1 or math.isnan(std) else f" ± {std:.{digits}f}"
    return f"{mean:.{digits}f}{spread} ({n})"


def low_to_high(interval: Interval | None, digits: int = 2) -> str:
    """`6.41 to 6.81`; there is no interval below two seeds."""
    text = f"{interval.low:.{digits}f} to {interval.high:.{digits}f}" if interval else "–"
    return text.replace("-", "−")


def of_percent(interval: Interval | None) -> Interval | None:
    """The interval of an error: the part of it that an error can be, 0 to 100 %."""
    return interval and replace(interval, low=max(0.0, interval.low), high=min(100.0, interval.high))


def signed(number: float) -> str:
    """`+0.12`, `−1.33`."""
    return f"{number:+.2f}".replace("-", "−")


def p_words(p: float) -> str:
    """`0.017`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def display_name(net: str) -> str:
    """The paper's name of a CIFAR net: `ResNet-20`, `plain-20`; other options than A, and no BN, are named."""
    kind, depth, *option = net.removesuffix("-nobn").split("-")
    name = f"plain-{depth}" if kind == "plain" else f"ResNet-{depth}"
    name += "" if option in ([], ["A"]) else f" ({option[0]})"
    return f"{name} without BN" if net.endswith("-nobn") else name


def printed(net: str) -> str:
    """What the paper prints for a net in Table 6."""
    number = paper_error(net)
    if number is None:
        return "–"
    if "mean" in number:
        return f"{number['value']:.2f} ({number['mean']:.2f} ± {number['std']:.2f}, n = {number['n']})"
    return f"{number['value']:.2f}"


def table6(runs: pd.DataFrame) -> str:
    """Table 6's ResNets in its order, then the plain nets, which the paper shows in Fig. 6 only."""
    frame = by_net(runs)
    ordered = pd.concat([frame[frame["shortcut"] != "none"], frame[frame["shortcut"] == "none"]])
    header = (
        "net",
        "layers",
        "params",
        "paper: test error %",
        "test error %",
        "95 %, seeds",
        "95 %, test images",
        "training error %",
        "training loss",
    )
    return markdown(header, [_table6_row(str(net), row, runs) for net, row in ordered.iterrows()])


def _table6_row(net: str, row: pd.Series[Any], runs: pd.DataFrame) -> tuple[str, ...]:
    errors = sample(runs.loc[(runs["net"] == net) & (runs["state"] == "done"), "test_error"])
    return (
        display_name(net) + _missing(int(row["declared"]), int(row["n"]), int(row["failed"])),
        f"{row['depth']}",
        f"{row['params'] / 1e6:.2f}M",
        printed(net),
        mean_std(row["test_error_mean"], row["test_error_std"], row["n"]),
        low_to_high(of_percent(errors.interval)),
        low_to_high(wilson(errors.mean, int(row["test_images"])) if errors.n else None),
        mean_std(row["train_error_mean"], row["train_error_std"], row["n"]),
        mean_std(row["train_loss_mean"], row["train_loss_std"], row["n"], 3),
    )


def _missing(declared: int, n: int, failed: int) -> str:
    """What a row has to say of seeds without a number."""
    parts = [f"{failed} failed"] if failed else []
    if declared - n - failed:
        parts.append(f"{declared - n - failed} of {declared} not run")
    return f" ({', '.join(parts)})" if parts else ""


def differences(runs: pd.DataFrame) -> list[str]:
    """For each depth that has both, what the residual net changes, in words; with BN."""
    frame = by_net(with_bn(runs))
    frame = frame[frame["n"] > 0]
    lines = []
    for depth in sorted(frame["depth"].unique()):
        pair = frame[frame["depth"] == depth]
        plain, residual = pair[pair["shortcut"] == "none"], pair[pair["shortcut"] == "A"]
        if plain.empty or residual.empty:
            continue
        p, r = plain.iloc[0], residual.iloc[0]
        lines.append(
            f"At {depth} layers the residual net's training loss is "
            f"{_change(r['train_loss_mean'] - p['train_loss_mean'], 3)} "
            f"({r['train_loss_mean']:.3f} against {p['train_loss_mean']:.3f}) and its test error "
            f"{_change(r['test_error_mean'] - p['test_error_mean'], 2, ' points')} "
            f"({r['test_error_mean']:.2f} % against {p['test_error_mean']:.2f} %); n = {r['n']} and {p['n']}."
        )
    return lines


def _change(difference: float, digits: int, unit: str = "") -> str:
    size = f"{abs(difference):.{digits}f}"
    if float(size) == 0:
        return "the same"
    return f"{size}{unit} {'lower' if difference < 0 else 'higher'}"


def with_depth(runs: pd.DataFrame) -> list[str]:
    """How the training error goes with depth, for plain and for residual nets; with BN."""
    frame = by_net(with_bn(runs))
    frame = frame[frame["n"] > 0]
    lines = []
    for name, part in (
        ("plain", frame[frame["shortcut"] == "none"]),
        ("residual", frame[frame["shortcut"] == "A"]),
    ):
        if len(part) < 2:
            continue
        steps = ", ".join(f"{row['depth']} layers {row['train_error_mean']:.2f} %" for _, row in part.iterrows())
        change = part["train_error_mean"].iloc[-1] - part["train_error_mean"].iloc[0]
        lines.append(
            f"Training error of {name} nets by depth: {steps}; the deepest is "
            f"{_change(change, 2, ' points')}{' than' if round(abs(change), 2) else ' as'} the shallowest."
        )
    return lines
