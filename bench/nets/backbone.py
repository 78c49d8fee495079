"""What is built on nets: a detector on their stages (Appendix A), an embedder on their last map of features."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.optim.swa_utils import update_bn


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
