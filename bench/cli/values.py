"""Values of options, as they are typed: a mistake in one is argparse's error, of one line."""

from __future__ import annotations

import argparse
import re

from bench.launch.worker import UNITS
from bench.spec import Way


def parse_seeds(text: str) -> tuple[int, ...]:
    """`0-4`, `0,2,7` or a mix of both as seeds."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not match:
            raise argparse.ArgumentTypeError(f"invalid seeds {text!r}; write 0-4 or 0,2,7")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first >= 10_000:
            raise argparse.ArgumentTypeError(f"invalid range of seeds {part!r}; write the smaller one first, as in 0-4")
        seeds += range(first, last + 1)
    return tuple(dict.fromkeys(seeds))


def parse_duration(text: str) -> float:
    """`50m`, `2h`, `90s` or `1d`, in seconds; a number without a unit could mean any of them."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text, re.ASCII)
    if not match or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"invalid duration {text!r}; write it with its unit: 90s, 50m, 2h or 1d")
    return float(match[1]) * UNITS[match[2]]


def parse_count(text: str) -> int:
    """A whole number from 1 on."""
    if not re.fullmatch(r"[1-9]\d{0,4}", text):
        raise argparse.ArgumentTypeError(f"invalid count {text!r}; write a whole number from 1 on")
    return int(text)


def parse_kernels(text: str) -> Way:
    """Words such as `graph,fused` as a Way."""
    words = {word.strip() for word in text.split(",")}
    grouped = words & {"grouped", "fused"}
    if words - {"eager", "graph", "compiled", *grouped} or len(grouped) > 1 or ("eager" in words and len(words) > 1):
        raise argparse.ArgumentTypeError(
            f"invalid kernels {text!r}; write eager, or some of graph, compiled, and one of grouped and fused"
        )
    return Way("graph" in words, "compiled" in words, next(iter(grouped), "passes"))
