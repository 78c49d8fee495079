"""Which of timm's convolutional nets are backbones of detectors: `python -m tests.nets.timm_survey`.

Each is made on the meta device, where maps have shapes and no values; then the smallest of each of timm's files with
random weights, which tells whether the row of its stages makes the maps that timm makes. Prints the nets that are no
row of stages (form "fpn" alone) or are refused, and the counts.
"""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatch
from unittest import mock

import timm
import torch
from torch import Tensor

from bench.nets import timm_nets
from bench.nets.backbone import Backbone, Whole
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


def convolutional() -> dict[str, str]:
    """timm's names of them, and their files."""
    files = {name: timm.model_entrypoint(name).__module__.rpartition(".")[2] for name in timm.list_models()}
    chosen = {name: file for name, file in files.items() if file in FILES.split()}
    return {name: file for name, file in chosen.items() if not any(fnmatch(name, one) for one in HYBRIDS)}


def form(name: str) -> tuple[str, int]:
    """What a detector can make of the net, "both" forms, "fpn" or why it is refused; and its parameters."""
    try:
        backbone = timm_nets.backbone(timm_net(name))
    except WeightsError as error:
        return str(error), 0
    return "fpn" if isinstance(backbone, Whole) else "both", sum(p.numel() for p in backbone.parameters())


@torch.no_grad()
def shaped_alike(row: Backbone, whole: Backbone) -> bool:
    """timm_nets._alike on the meta device."""
    try:
        ours, theirs = (net.eval()(torch.zeros(1, 3, 128, 192)).values() for net in (row, whole))
        return [_shape(y) for y in ours] == [_shape(y) for y in theirs]
    except (RuntimeError, TypeError, ValueError, AttributeError):
        return False


def _shape(y: Tensor) -> tuple[int, ...]:
    return tuple(y.shape)


def main() -> None:
    """Prints what is no row, and the counts."""
    files = convolutional()
    with random_timm(), torch.device("meta"), mock.patch.object(timm_nets, "_alike", shaped_alike):
        found = {name: form(name) for name in files}
    smallest = {file: name for name, file in sorted(files.items(), key=lambda one: -found[one[0]][1])}
    with random_timm():
        made = {name: form(name)[0] for name in smallest.values()}
    for name, (what, _) in found.items():
        if (what := made.get(smallest[files[name]], what) if what == "both" else what) != "both":
            print(f"{name}: {what}")
            found[name] = what, 0
    counts = Counter(what if what in ("both", "fpn") else "refused" for what, _ in found.values())
    print(f"timm {timm.__version__}: {len(files)} nets, {dict(counts)}; with values {len(made)} of them")


if __name__ == "__main__":
    main()
