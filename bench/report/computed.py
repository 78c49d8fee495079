"""The numbers of the paper that arithmetic answers: FLOPs of Table 1, what the text counts, parameters of Table 6."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from bench.nets.counts import convolutions, multiply_adds, parameters, vgg_convolutions, vgg_multiply_adds
from bench.paper import paper_numbers
from bench.spec import Net

SAME, CUT_OFF, DIFFERENT = "the same", "the same, cut off instead of rounded", "different"


def imagenet(depth: int, shortcut: str) -> Net:
    """A net of Table 1."""
    return Net("imagenet", depth, shortcut)


def _flops(depth: int, shortcut: str) -> Callable[[], float]:
    return lambda: multiply_adds(imagenet(depth, shortcut)) / 1e9


def _blocks_a_stage(depth: int) -> Callable[[], float]:
    """n of Section 4.2 from the built net: two convolutions a block, three stages, one convolution before them."""
    return lambda: (len(convolutions(Net("cifar", depth, "none"))[0]) - 1) / 6


def _projections() -> float:
    c, b = (len(convolutions(imagenet(34, option))[0]) for option in ("C", "B"))
    return c - b


def _before_conv5() -> float:
    """Convolutions of ResNet-101 down to stride 16, projections left out: all but the nine of conv5_x."""
    return sum(conv.side > 7 for conv in convolutions(imagenet(101, "none"))[0])


def _baseline_share() -> float:
    return 100 * multiply_adds(imagenet(34, "none")) / vgg_multiply_adds(19, classifier=True)


COMPUTED: Mapping[str, Callable[[], float]] = {
    "t1.18-layer.flops": _flops(18, "A"),
    "t1.34-layer.flops": _flops(34, "A"),
    "t1.50-layer.flops": _flops(50, "B"),
    "t1.101-layer.flops": _flops(101, "B"),
    "t1.152-layer.flops": _flops(152, "B"),
    "txt.vgg19.flops": lambda: vgg_multiply_adds(19, classifier=True) / 1e9,
    "txt.vgg16.flops": lambda: vgg_multiply_adds(16, classifier=False) / 1e9,
    "txt.plain34.flops": _flops(34, "none"),
    "txt.plain34.ratio": _baseline_share,
    "txt.option-C.projections": _projections,
    "txt.resnet-1202.n": _blocks_a_stage(1202),
    "txt.resnet-110.n": _blocks_a_stage(110),
    "txt.resnet-101.shared-convs": _before_conv5,
    "txt.vgg-16.shared-convs": lambda: float(len(vgg_convolutions(16))),
}


def agreement(computed: float, printed: str) -> str:
    """Whether a computed number is the printed one, to as many digits as are printed."""
    scale = 10 ** len(printed.partition(".")[2])
    there = round(float(printed) * scale)
    if round(computed * scale) == there:
        return SAME
    return CUT_OFF if math.floor(computed * scale) == there else DIFFERENT


def table6_parameters() -> list[tuple[dict[str, Any], int]]:
    """The residual nets of Table 6 with the number of parameters that they have."""
    rows = [n for n in paper_numbers().values() if n["table"] == "Table 6" and n["whose"] == "ours"]
    return [(row, parameters(Net("cifar", row["layers"], "A"))) for row in rows]
