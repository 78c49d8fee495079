"""Nets of the user's own: built by their code, and refused where their numbers would mean nothing.

build(depth=…, classes=…, **options) returns an nn.Module from (N, 3, H, W) to (N, classes) logits, whose weights come
from torch's random numbers. As a backbone it is cut into stages by its method `stages()`, which returns modules that
follow each other, else by bench.nets.traced where its maps become smaller.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from bench.nets.backbone import Backbone, Features, Stage, require_maps
from bench.nets.traced import cut
from bench.nets.weights import load, read_weights
from bench.spec import Net
from bench.spec.advice import shown
from bench.spec.own import OwnCodeError, guarded
from bench.spec.own import load as load_code

OTHER_CLASSES = 7  # a number of classes that no data set here has: whether a build honours it


def build(net: Net, classes: int, file: Path | None = None, without: tuple[str, ...] = ()) -> nn.Module:
    """The net with a classifier of so many classes, from torch's seed as it stands, with the weights of a file.

    without: how the names of what is not loaded begin. Raises OwnCodeError, WeightsError.
    """
    arguments = {"depth": net.depth, "classes": classes or 10, **(net.arguments or {})}
    made = load_code(net.build, net.build_sha256)
    built = guarded(_file(net), lambda: made(**arguments))
    if not isinstance(built, nn.Module):
        raise _wrong(net, f"returned {shown(built)}, where an nn.Module belongs")
    if file is not None:
        load(built, read_weights(file), f"{net.name} ({file})", without)
    return built


def backbone(net: Net, file: Path | None = None) -> Backbone:
    """The net in stages without its classifier, with the weights of a file. Raises OwnCodeError, WeightsError."""
    built = build(net, 0, file, classifier(net) if file else ())
    parts = _stages(net, built)
    cut_up = Backbone([Stage(part, *size) for part, size in zip(parts, _sizes(net, parts), strict=True)])
    require_maps(cut_up, net.name)
    return cut_up


def features(net: Net, file: Path | None = None, _side: int = 0) -> Features:
    """The net up to its last map, with the weights of a file. Raises OwnCodeError, WeightsError."""
    built = build(net, 0, file, classifier(net) if file else ())
    if hasattr(built, "forward_features"):
        return Features(built)
    whole = nn.Module()
    whole.stages = nn.Sequential(*_stages(net, built))  # its parameters alone: a classifier has no part in it
    whole.forward_features = whole.stages.forward  # type: ignore[assignment]  # a method in place of a module
    return Features(whole)


def classifier(net: Net) -> tuple[str, ...]:
    """The names of its parameters and buffers whose shapes follow the number of classes."""
    with aside():
        one, other = (build(net, classes).state_dict() for classes in (10, OTHER_CLASSES))
    return tuple(name for name, value in one.items() if name not in other or other[name].shape != value.shape)


def check(net: Net, side: int) -> None:
    """Raises OwnCodeError where the net cannot be trained on (side, side) images to a number that can be trusted.

    Refused are: logits of another shape than (N, classes), whatever `classes` is; weights that do not follow torch's
    seed, or a seed of the code's own; random numbers of others than torch, or while the net is tested; passes that
    differ though everything is the same, or that depend on what is in no state_dict(), so that a resumed training would
    be another one; a test of an image that depends on the images beside it; images that are changed in place; batch
    norm that `norm` does not declare; values that are not finite.
    """
    with aside():
        for classes in (10, OTHER_CLASSES):
            torch.manual_seed(0)
            built = build(net, classes)
            weights = copy.deepcopy(built.state_dict())
            _check_parameters(net, built)
            _check_logits(net, built, side, classes)
        torch.manual_seed(0)
        again = build(net, OTHER_CLASSES)
        if not _same(weights, again.state_dict()):
            raise _wrong(net, "makes other weights from the same torch.manual_seed: draw them with torch alone")
        _check_seeds(net)
        _check_norm(net, built)
        _check_drawing(net, built, side)
        _check_state(net, built, again, side)
        _check_images(net, built.eval(), side)


def _check_parameters(net: Net, built: nn.Module) -> None:
    lazy = [name for name, value in built.named_parameters() if is_lazy(value)]
    if lazy:
        raise _wrong(net, f"{lazy[0]} has no shape yet: give lazy layers their sizes")
    if not any(value.requires_grad for value in built.parameters()):
        raise _wrong(net, "has no parameters to train")
    tensors = {**dict(built.named_parameters()), **dict(built.named_buffers())}
    odd = [name for name, value in tensors.items() if value.is_floating_point() and value.dtype != torch.float32]
    if odd:
        raise _wrong(
            net, f"{odd[0]} is {tensors[odd[0]].dtype}, where float32 belongs: the recipe's precision rounds it"
        )
    moved = [name for name, value in tensors.items() if value.device.type != "cpu"]
    if moved:
        raise _wrong(net, f"{moved[0]} is on {tensors[moved[0]].device}: build on the CPU, the suite moves it")
    bad = [name for name, value in tensors.items() if not value.isfinite().all()]
    if bad:
        raise _wrong(net, f"{bad[0]} is not finite")


def _check_logits(net: Net, built: nn.Module, side: int, classes: int) -> None:
    for mode in (True, False):
        out = _passed(net, built.train(mode), _images(side))
        right = isinstance(out, Tensor) and tuple(out.shape) == (4, classes) and out.is_floating_point()
        if not right:
            what = f"a tensor of {tuple(out.shape)}, {out.dtype}" if isinstance(out, Tensor) else shown(out)
            ignored = f": build must honour classes={classes}" if isinstance(out, Tensor) and out.ndim == 2 else ""
            raise _wrong(
                net, f"makes {what} of 4 images (3, {side}, {side}), where (4, {classes}) logits belong{ignored}"
            )
        if not out.isfinite().all():
            raise _wrong(net, f"makes logits that are not finite of images of {side}x{side}, before any training")


def _check_seeds(net: Net) -> None:
    """Two seeds must leave torch's generator in two states: else all seeds would begin with the same weights."""
    states = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        build(net, OTHER_CLASSES)
        states.append(torch.get_rng_state())
    if torch.equal(*states):
        raise _wrong(net, "sets torch's seed itself, so that all seeds would be one: leave out torch.manual_seed")


def _check_norm(net: Net, built: nn.Module) -> None:
    has = any(isinstance(layer, _BatchNorm) for layer in built.modules())
    if has and net.norm != "bn":
        raise _wrong(net, "has batch norm, and norm='none' says that it has none: leave norm out")
    if not has and net.norm == "bn":
        raise _wrong(net, "has no batch norm: write Net.own(…, norm='none')")


def _check_drawing(net: Net, built: nn.Module, side: int) -> None:
    for mode in (True, False):
        before, others = torch.get_rng_state(), _other_random_numbers()
        _passed(net, built.train(mode), _images(side))
        if others != _other_random_numbers():
            raise _wrong(
                net, "draws numpy's or Python's random numbers in forward, which no checkpoint keeps: use torch's"
            )
        if not mode and not torch.equal(before, torch.get_rng_state()):
            raise _wrong(net, "draws random numbers in forward after eval(): a test would differ each time")


def _other_random_numbers() -> tuple[object, ...]:
    """The states of the generators that no checkpoint keeps."""
    of_numpy: Any = np.random.get_state()
    return random.getstate(), of_numpy[1].tobytes(), of_numpy[2:]


def _check_state(net: Net, built: nn.Module, fresh: nn.Module, side: int) -> None:
    """Two passes of one net must be as if a checkpoint had been between them."""
    for mode in (True, False):
        _seeded_pass(net, built.train(mode), side)
        guarded(_file(net), lambda: fresh.load_state_dict(copy.deepcopy(built.state_dict())))
        one, other = (_seeded_pass(net, some.train(mode), side) for some in (built, fresh))
        if not torch.equal(one, other):
            raise _wrong(
                net,
                f"does something else in {'training' if mode else 'evaluation'} once its state_dict() was loaded: keep "
                "what forward depends on in parameters and buffers, and draw from torch's global generator",
            )


def _check_images(net: Net, built: nn.Module, side: int) -> None:
    """The logits of an image must be the same whatever other images are tested with it; the images stay as given."""
    images = _images(side)
    together = _passed(net, built, images)
    if not torch.equal(images, _images(side)):
        raise _wrong(net, "changes the images that it is given, in place: work on a copy, x = x.clone()")
    alone = torch.cat([_passed(net, built, images[k : k + 2]) for k in (0, 2)])
    if not torch.allclose(alone, together, rtol=1e-3, atol=1e-3 * float(together.abs().max())):
        raise _wrong(
            net,
            "gives an image other logits after eval() when other images are beside it, so that an error depends on the "
            "batches of the test: use statistics of the training there, as nn.BatchNorm2d does",
        )


def _seeded_pass(net: Net, built: nn.Module, side: int) -> Tensor:
    torch.manual_seed(1)
    return _passed(net, built, _images(side))


def _passed(net: Net, built: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        out: Tensor = guarded(_file(net), lambda: built(images))
    return out


def _images(side: int) -> Tensor:
    return torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(2))


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def _stages(net: Net, built: nn.Module) -> list[nn.Module]:
    own: Callable[[], Any] | None = getattr(built, "stages", None)
    if not callable(own):
        return cut(built, net.name)
    parts = list(guarded(_file(net), own))
    if not parts or not all(isinstance(part, nn.Module) for part in parts):
        raise _wrong(net, f"its stages() are {shown(parts)}, where modules that follow each other belong")
    return parts


@torch.no_grad()
def _sizes(net: Net, parts: list[nn.Module]) -> Iterator[tuple[int, int]]:
    """Channels and reduction of each stage's map, found by making them of one image."""
    side = 128
    x = torch.zeros(1, 3, side, side)
    for number, part in enumerate(parts):
        part.eval()
        x = guarded(_file(net), lambda part=part, x=x: part(x))  # type: ignore[misc]  # bound now
        part.train()
        if not isinstance(x, Tensor) or x.ndim != 4 or not x.shape[2]:
            raise _wrong(net, f"stage {number} gives no map (N, C, H, W): let stages() end before the pooling")
        yield x.shape[1], 2 ** round(math.log2(side / x.shape[2]))


@contextmanager
def aside() -> Iterator[None]:
    """Inside, whatever is drawn leaves all random numbers as they were."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def _file(net: Net) -> str:
    return net.build.rpartition(":")[0]


def _wrong(net: Net, words: str) -> OwnCodeError:
    return OwnCodeError(f"{net.build} for {net.name}: {words}")
