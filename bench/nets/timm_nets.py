"""Nets of timm: whole, in stages, or up to the last map; with the weights of a file, else those that timm publishes."""

from __future__ import annotations

import difflib
from itertools import pairwise
from pathlib import Path
from typing import Any

import timm
from timm.models import FeatureListNet, PretrainedCfg
from torch import nn

from bench.nets.backbone import Backbone, Features, Stage
from bench.nets.weights import Pixels, WeightsError, load_weights
from bench.spec import Net


def imagenet_wnids() -> list[str]:
    """ImageNet's 1,000 wnids in the order of published weights' outputs, which is their own."""
    wnids: list[str] = timm.data.ImageNetInfo().label_names()
    return wnids


def build(net: Net, _classes: int, file: Path | None = None) -> nn.Module:
    """The whole net; its weights say how many classes it has. Raises WeightsError."""
    built: nn.Module = _create(net, file)
    load_weights(built, file, net.start.name, without=())  # timm would load what fits, and say nothing of the rest
    return built


def backbone(net: Net, file: Path | None = None) -> Backbone:
    """The net in timm's stages, with timm's channels and strides.

    Raises WeightsError, also where timm cannot cut it into stages.
    """
    built = _create(net, file, features_only=True)
    if not isinstance(built, FeatureListNet):
        raise WeightsError(f"timm's {net.start.name} is no row of stages: give a convolutional net such as resnet50")
    load_weights(built, file, net.start.name)
    info = built.feature_info
    ends = [list(built).index(module.replace(".", "_")) + 1 for module in info.module_name()]
    layers = list(built.values())
    parts = [nn.Sequential(*layers[start:end]) for start, end in pairwise((0, *ends))]
    return Backbone([Stage(*one) for one in zip(parts, info.channels(), info.reduction(), strict=True)])


def features(net: Net, file: Path | None = None, side: int = 112) -> Features:
    """The net up to its last map, of images of (side, side) pixels. Raises WeightsError."""
    config = _config(net.start.name)
    sized = {"img_size": side} if config.fixed_input_size else {}
    classifier = config.classifier or ()  # one name, or several
    names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    built = _create(net, file, num_classes=0, **sized)
    load_weights(built, file, net.start.name, without=tuple(f"{name}." for name in names))
    return Features(built)


def pixels_of(name: str) -> Pixels:
    """What the weights that timm publishes under `name` expect. Raises WeightsError."""
    config = _config(name)
    return Pixels(tuple(config.mean), tuple(config.std))


def _config(name: str) -> Any:
    """What timm knows of `name`. Refuses what timm would refuse in words of its own, or only after a while."""
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), 3)
        near_words = f": did you mean {', '.join(near)}?" if near else ": see timm.list_models()"
        raise WeightsError(f"timm {timm.__version__} has no net {name!r}{near_words}")
    try:
        return timm.get_pretrained_cfg(name) or PretrainedCfg()
    except RuntimeError as error:
        raise WeightsError(f"timm {timm.__version__} has no weights {name!r}: {error}") from None


def _create(net: Net, file: Path | None, **options: Any) -> Any:
    """With the weights that timm publishes, where there is no file."""
    name = net.start.name
    _config(name)
    try:
        return timm.create_model(name, pretrained=file is None, **options)
    except Exception as error:  # timm, huggingface_hub, torch and the network all raise their own kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"timm cannot make {name} ({reason}). Where its weights cannot be had, save them as {name}.safetensors in "
            "the folder weights of the data, or see timm.list_pretrained() for its names"
        ) from None
