"""What is built on nets: a detector on their stages (Appendix A), an embedder on their last map of features."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from bench.nets.torch_files import reason
from bench.nets.weights import WeightsError


class Stage(NamedTuple):
    """Layers in a row: from the stage before to (N, channels, H/reduction, W/reduction) of an image (N, 3, H, W)."""

    layers: nn.Module
    channels: int
    reduction: int


class Backbone(nn.Module):
    """Stages in a row. `channels` and `reductions`: of each stage's output.

    top: what works on each region in place of a last stage, with its output's size: VGG's fc6 and fc7; else None.
    """

    def __init__(self, stages: Sequence[Stage], top: tuple[nn.Module, int] | None = None) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stage.layers for stage in stages)
        self.channels = tuple(stage.channels for stage in stages)
        self.reductions = tuple(stage.reduction for stage in stages)
        self.top: nn.Module | None = top[0] if top else None
        self.top_channels = top[1] if top else 0

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """(N, 3, H, W) to each stage's (N, channels, H/reduction, W/reduction), by its number from "0"."""
        outputs: OrderedDict[str, Tensor] = OrderedDict()
        for number, stage in enumerate(self.stages):
            x = stage(x)
            outputs[str(number)] = x
        return outputs


class Whole(Backbone):
    """A net that gives all of its maps at once and is no row of stages, so that none of them can work on a region.

    net: makes a list of maps (N, C, H, W), or (N, H, W, C) where `channels_last`, of images (N, 3, H, W).
    """

    def __init__(
        self, net: nn.Module, channels: Sequence[int], reductions: Sequence[int], *, channels_last: bool = False
    ) -> None:
        super().__init__(())
        self.net, self.channels_last = net, channels_last
        self.channels, self.reductions = tuple(channels), tuple(reductions)

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """See Backbone."""
        maps = (y.permute(0, 3, 1, 2) if self.channels_last else y for y in self.net(x))
        return OrderedDict((str(number), y) for number, y in enumerate(maps))


class ChannelsLast(nn.Module):
    """Layers that work on (N, H, W, C), as a stage from and to (N, C, H, W). first: they take images as they are."""

    def __init__(self, layers: nn.Module, *, first: bool) -> None:
        super().__init__()
        self.layers, self.first = layers, first

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the stage's map."""
        y: Tensor = self.layers(x if self.first else x.permute(0, 2, 3, 1))
        return y.permute(0, 3, 1, 2)


LOST = 4  # pixels of a map's side, to convolutions without padding: Inception's maps are so much smaller


@torch.no_grad()
def require_maps(backbone: Backbone, name: str, height: int = 128, width: int = 192) -> None:
    """Raises WeightsError unless each stage gives the (N, C, H, W) that it says, found by making them of one image."""
    was_training, device = backbone.training, next(backbone.parameters()).device
    backbone.eval()  # nothing is drawn, and no statistics move
    try:
        maps = [tuple(y.shape) for y in backbone(torch.zeros(1, 3, height, width, device=device)).values()]
    except Exception as error:  # of nets for one size of images, or for other values than maps: of any kind
        raise WeightsError(
            f"{name} cannot take images of {height}x{width} in stages, as a detector has them of any size: "
            f"{reason(error)}. Give a convolutional net such as resnet50"
        ) from None
    finally:
        backbone.train(was_training)
    for number, (found, c, r) in enumerate(zip(maps, backbone.channels, backbone.reductions, strict=True)):
        right = (1, c, height // r, width // r)
        if (
            len(found) != 4
            or found[:2] != right[:2]
            or max(abs(a - b) for a, b in zip(found, right, strict=True)) > LOST
        ):
            raise WeightsError(
                f"stage {number} of {name} gives {found} where (N, C, H, W) is {right}: give a convolutional net such "
                "as resnet50"
            )


class Features(nn.Module):
    """A net, ours or timm's, to its last map (N, C, H, W), before any pooling: its `forward_features`.

    Of a transformer that keeps no map, its L patches (N, C, L, 1).
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self._channels_last = str(getattr(net, "output_fmt", "NCHW")).endswith("NHWC")
        self._prefix = int(getattr(net, "num_prefix_tokens", 0))  # class token and the like

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, side, side) to the map."""
        net: Any = self.net
        y: Tensor = net.forward_features(x)
        if y.ndim == 3:
            return y[:, self._prefix :].transpose(1, 2).unsqueeze(3)
        return y.permute(0, 3, 1, 2) if self._channels_last else y


def fix_batch_norm(net: nn.Module, batches: Iterable[Tensor] | None = None) -> nn.Module:
    """`net` with every batch norm as the constant affine map that it is in evaluation: no training changes a bit.

    Its statistics and its affine terms are constants of the detector ("the BN layers become linear activations").
    batches: of (N, 3, H, W) inputs, over which the statistics are first computed anew, as true averages (Appendix A:
    "for each pre-trained model, on the ImageNet training set"). Without weights and without batches the map is the
    identity, and a deep net's values double with each block: then give batches.
    """
    from timm.layers import freeze_batch_norm_2d

    if batches is not None:
        update_bn(batches, net)
    fixed: nn.Module = freeze_batch_norm_2d(net)
    return fixed
