"""Nets of timm: whole, in stages, or up to the last map; with the weights of a file, else those that timm publishes."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import timm
import torch
from timm.models import FeatureHookNet, FeatureListNet, PretrainedCfg
from torch import Tensor, nn

from bench.nets.backbone import Backbone, ChannelsLast, Features, Stage, Whole, require_maps
from bench.nets.torch_files import reason
from bench.nets.weights import CLASSIFIERS, Pixels, WeightsError, load, read_weights
from bench.spec import Net


def imagenet_wnids() -> list[str]:
    """ImageNet's 1,000 wnids in the order of published weights' outputs, which is their own."""
    wnids: list[str] = timm.data.ImageNetInfo().label_names()
    return wnids


def build(net: Net, classes: int, file: Path | None = None) -> nn.Module:
    """The whole net, with the classifier of timm's own weights or one of a file's `classes`. Raises WeightsError.

    classes: 0 for as many as timm's own weights tell apart.
    """
    sized = {"num_classes": classes} if file is not None and classes else {}
    built: nn.Module = _create(net, file, **sized)
    _load(built, net, file, (), **sized)
    return built


def outputs_of(net: Net) -> int:
    """How many classes timm's own weights tell apart. Raises WeightsError."""
    return int(_config(net.start.name).num_classes)


def backbone(net: Net, file: Path | None = None) -> Backbone:
    """The net in timm's stages, with timm's channels and strides: a row of them, or a Whole where it is none.

    Raises WeightsError, also where timm gives no maps of it, or not of images of any size.
    """
    built = _create(net, file, features_only=True)
    inner = _within(built)
    _load(inner, net, file, (*CLASSIFIERS, *_behind(net.start.name, inner)), features_only=True)
    info, channels_last = built.feature_info, getattr(built, "output_fmt", "") == "NHWC"
    whole = Whole(built, info.channels(), info.reduction(), channels_last=channels_last)
    require_maps(whole, f"timm's {net.start.name}")
    row = _row(built, inner, channels_last=channels_last)
    if row and _alike(row, whole):
        return row
    if len(set(whole.reductions)) == 1:
        raise WeightsError(
            f"timm's {net.start.name} is no row of stages: all of its maps have the stride {whole.reductions[0]}, as a "
            "transformer's have. Give a convolutional net such as resnet50"
        )
    return whole


def _within(built: Any) -> Any:
    """The net in what timm has put around it: FeatureHookNet, or FeatureGetterNet, which it does not export."""
    return built["body"] if isinstance(built, FeatureHookNet) and "body" in built else getattr(built, "model", built)


def _row(built: Any, inner: Any, *, channels_last: bool) -> Backbone | None:
    """The layers of the net cut where its maps are; None where a map comes from within a layer.

    The cut is a guess: between two of the layers something else may happen.
    """
    info = built.feature_info
    ends = [name.replace(".", "_") for name in info.module_name()]
    layers = dict(built.items() if isinstance(built, FeatureListNet) else _layers(inner, info.module_name()))
    if not set(ends) <= set(layers):
        return None
    cuts = [0, *(list(layers).index(end) + 1 for end in ends)]
    parts: list[nn.Module] = [nn.Sequential(*list(layers.values())[start:end]) for start, end in pairwise(cuts)]
    if channels_last:
        parts = [ChannelsLast(part, first=number == 0) for number, part in enumerate(parts)]
    return Backbone([Stage(*one) for one in zip(parts, info.channels(), info.reduction(), strict=True)])


def _layers(net: nn.Module, ends: Sequence[str]) -> Iterator[tuple[str, nn.Module]]:
    """The layers of the net by timm's names for them, those in whose midst maps come out in their parts."""
    for name, layer in net.named_children():
        if any(end.startswith(f"{name}.") for end in ends):
            yield from ((f"{name}_{part}", within) for part, within in layer.named_children())
        else:
            yield name, layer


@torch.no_grad()
def _alike(row: Backbone, whole: Backbone) -> bool:
    """Whether both make the same maps of an image. No random number is drawn, and no statistics move."""
    training = whole.training
    x = torch.rand(1, 3, 128, 192, generator=torch.Generator().manual_seed(0))
    try:
        ours, theirs = (list(net.eval()(x).values()) for net in (row, whole))
        return all(a.shape == b.shape and torch.allclose(a, b) for a, b in zip(ours, theirs, strict=True))
    except (RuntimeError, TypeError, ValueError, AttributeError):  # layers that pass each other more than a map
        return False
    finally:
        for net in (row, whole):
            net.train(training)


def features(net: Net, file: Path | None = None, side: int = 112) -> Features:
    """The net up to its last map, of images of (side, side) pixels. Raises WeightsError."""
    config = _config(net.start.name)
    sized = {"img_size": side} if config.fixed_input_size else {}
    built = _create(net, file, num_classes=0, **sized)
    classifier = config.classifier or ()  # one name, or several
    names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    _load(built, net, file, tuple(f"{name}." for name in names), num_classes=0, **sized)
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
        raise WeightsError(
            f"timm cannot make {name} ({reason(error)}). Where its weights cannot be had, save them as "
            f"{name}.safetensors in the folder weights of the data, or see timm.list_pretrained() for its names"
        ) from None


def _behind(name: str, stages: nn.Module) -> tuple[str, ...]:
    """The names of what the whole net has beside its stages, such as a last norm."""
    try:
        with torch.device("meta"):
            whole = timm.create_model(name).state_dict()
    except NotImplementedError:  # RegNets of timm 1.0.22 compute with tensors while they are made
        with torch.random.fork_rng(devices=[]):
            whole = timm.create_model(name).state_dict()
    of_stages = {n.replace(".", "_") for n in stages.state_dict()}
    return tuple(n for n in whole if n.replace(".", "_") not in of_stages)


def _load(built: nn.Module, net: Net, file: Path | None, without: tuple[str, ...], **options: Any) -> None:
    """Loads the file's weights, if there is one, but for what `without` begins.

    timm would load what fits, and say nothing of the rest. What is in the layout of its publisher is first made timm's
    by timm's own filter of the net. options: that the net was made with. Raises WeightsError.
    """
    if file is None:
        return
    found, name = read_weights(file), net.start.name
    try:
        load(built, found, f"{name} ({file})", without)
    except WeightsError as error:
        sets = {place: _filtered(name, tensors, options) for place, tensors in found.sets.items()}
        try:
            load(built, found._replace(sets=sets), f"{name} ({file})", without)
        except WeightsError:
            raise error from None


def _filtered(name: str, tensors: Mapping[str, Tensor], options: Mapping[str, Any]) -> dict[str, Tensor]:
    """What timm would load of these tensors; nothing where it can make nothing of them.

    Its filters have no public name: what they have made is what comes to the net to be loaded.
    """
    taken: dict[str, Tensor] = {}

    def keep(_: nn.Module, state: Mapping[str, Tensor], **__: Any) -> Any:
        taken.update(state)
        return SimpleNamespace(missing_keys=[], unexpected_keys=[])

    overlay = {"state_dict": dict(tensors), "source": ""}
    with mock.patch.object(nn.Module, "load_state_dict", keep):
        try:
            timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)
        except Exception:  # of a filter that meets other names than it was written for: they are another net's
            return {}
    return taken
