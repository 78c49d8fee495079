"""Any net of timm as a backbone: its last map of features, before any pooling."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from bench.nets.weights import load_weights, read_weights
from bench.spec import Net


class TimmBackbone(nn.Module):
    """timm's `name` without its classifier: (N, 3, side, side) to its map (N, C, H, W).

    Of a transformer that keeps no map, its L patches (N, C, L, 1).
    pretrained: with the weights that timm publishes for it. weights: with those of a file of timm's layout instead.
    mean, std: the normalisation (R, G, B) its published weights want of pixels in [0, 1].
    Raises ValueError where there is no such net, it has no such weights, or they cannot be had.
    """

    def __init__(self, name: str, *, side: int = 112, pretrained: bool = False, weights: Path | None = None) -> None:
        super().__init__()
        _require(name, weights)
        net: Any = _create(name, side, pretrained, weights)
        self.net = net
        self.mean, self.std = (tuple(map(float, net.pretrained_cfg[key])) for key in ("mean", "std"))
        self._features: Callable[[Tensor], Tensor] = net.forward_features
        self._channels_last = str(getattr(net, "output_fmt", "NCHW")).endswith("NHWC")
        self._prefix = int(getattr(net, "num_prefix_tokens", 0))  # class token and the like

    def forward(self, x: Tensor) -> Tensor:
        """Inputs to the map."""
        y = self._features(x)
        if y.ndim == 3:
            return y[:, self._prefix :].transpose(1, 2).unsqueeze(3)
        return y.permute(0, 3, 1, 2) if self._channels_last else y


def _require(name: str, weights: Path | None) -> None:
    """Refuses what timm would refuse in words of its own, or only after a while."""
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), 3)
        near_words = f": did you mean {', '.join(near)}?" if near else ": see timm.list_models()"
        raise ValueError(f"timm {timm.__version__} has no net {name!r}{near_words}")
    if weights and not weights.is_file():
        raise ValueError(f"{weights}: no such file, where weights of {name} belong")


def _create(name: str, side: int, pretrained: bool, weights: Path | None) -> nn.Module:
    fixed: Any = timm.get_pretrained_cfg(name)
    options: dict[str, Any] = {"img_size": side} if fixed and fixed.fixed_input_size else {}
    try:
        net: Any = timm.create_model(name, pretrained=pretrained and not weights, num_classes=0, **options)
    except Exception as error:  # timm, huggingface_hub, torch and the network all raise their own kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        source = "published weights" if pretrained else f"{side}x{side} input"
        raise ValueError(f"{name} of timm {timm.__version__} cannot be had with {source}: {reason}") from None
    if weights:  # not by timm, which without a classifier loads what fits and says nothing of the rest
        classifier = net.pretrained_cfg.get("classifier") or ()  # one name, or several
        names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
        load_weights(net, read_weights(weights), f"{name} in {weights}", without=tuple(f"{one}." for one in names))
    built: nn.Module = net
    return built


def timm_features(net: Net, weights: Path | None, side: int) -> TimmBackbone:
    """What a row of bench.spec.families names as `features`."""
    return TimmBackbone(net.source[1], side=side, pretrained=True, weights=weights)
