"""Which of timm's convolutional nets are backbones of detectors: `python -m tests.nets.timm_survey [FILTER]`.

A line for each that is no row of stages (form "fpn" alone) or is refused, and the counts. Each is made whole, with
weights that cost no time: random numbers that are the same for all tensors.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatch
from unittest import mock

import timm
import torch
from torch import Tensor

from bench.nets import timm_nets
from bench.nets.backbone import Whole
from bench.nets.weights import WeightsError
from tests.builders import timm_net
from tests.nets.builders import random_timm

# timm's files whose nets are convolutional, with channels or pixels weighed at most (SE, ECA, gates)
FILES = """
byobnet convmixer convnext cspnet cspnext densenet dla dpn efficientnet fasternet focalnet ghostnet hardcorenas hgnet
hrnet inception_next inception_resnet_v2 inception_v3 inception_v4 lcnetv2 mambaout mobilenetv3 nasnet nfnet pnasnet
rdnet regnet repghost repvit res2net resnest resnet resnetv2 rexnet selecsls senet sknet starnet tresnet vgg vovnet
xception xception_aligned
"""
# but these, which have attention between places
HYBRIDS = ("mobilenetv4_hybrid_*", "bat_*")


def convolutional() -> list[str]:
    """timm's names of them."""
    files = {name: timm.model_entrypoint(name).__module__.rpartition(".")[2] for name in timm.list_models()}
    return [
        name for name, file in files.items() if file in FILES.split() and not any(fnmatch(name, one) for one in HYBRIDS)
    ]


def form(name: str) -> str:
    """What a detector can make of the net: "both" forms, "fpn", or why it is refused."""
    try:
        return "fpn" if isinstance(timm_nets.backbone(timm_net(name)), Whole) else "both"
    except WeightsError as error:
        return str(error)


@contextmanager
def quickly() -> Iterator[None]:
    """Inside, tensors get random numbers by copies of one block."""
    block = torch.randn(2**20)

    def fill(tensor: Tensor, *_: object, **__: object) -> Tensor:
        flat = tensor.data.view(-1)
        for start in range(0, len(flat), len(block)):
            part = flat[start : start + len(block)]
            part.copy_(block[: len(part)])
        return tensor.data.mul_(0.02)

    with ExitStack() as stack:
        for name in ("normal_", "uniform_", "trunc_normal_"):
            if hasattr(torch.Tensor, name):
                stack.enter_context(mock.patch.object(torch.Tensor, name, fill))
        stack.enter_context(mock.patch.object(torch.Tensor, "erfinv_", lambda tensor: tensor))
        yield


def main(pattern: str = "*") -> None:
    """Prints what is no row, and the counts."""
    counts: Counter[str] = Counter()
    with random_timm(), quickly():
        for name in (name for name in convolutional() if fnmatch(name, pattern)):
            found = form(name)
            counts[found if found in ("both", "fpn") else "refused"] += 1
            if found != "both":
                print(f"{name}: {found}", flush=True)
    print(f"timm {timm.__version__}: {dict(counts)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
