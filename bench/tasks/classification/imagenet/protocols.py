"""The ways in which the paper tests a net on ImageNet (Sections 3.4 and 4.1): centre crop, 10 crops, many scales.

A net's score of an image is its softmax, averaged over the views that the protocol takes of it; the paper does not say
whether it averaged before or after the softmax.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.train.metrics import Evaluation, autocast
from bench.train.process_group import ALONE, ProcessGroup

BATCH = 100  # views a forward pass: bounds memory only


class Protocol(NamedTuple):
    """A test: each image's shorter side, how it is cut into views, and logits other than the net's own.

    views: of an image, as many as cost as much: so many images are tested between two looks at whether to stop.
    """

    shorter: int
    cut: Callable[[Tensor], Tensor]
    logits: Callable[[Tensor], Tensor] | None = None
    views: int = 1


def centre_crop(image: Tensor, side: int) -> Tensor:
    """The central (1, 3, side, side) of an image (3, h, w); an odd margin has its extra pixel at the end."""
    top, left = ((size - side) // 2 for size in image.shape[1:])
    return image[None, :, top : top + side, left : left + side]


def ten_crops(image: Tensor, side: int) -> Tensor:
    """The paper's [21]: four corners and the centre of an image (3, h, w), then their mirrors: (10, 3, side, side)."""
    first, last = slice(0, side), slice(-side, None)
    corners = [image[:, rows, columns] for rows in (first, last) for columns in (first, last)]
    five = torch.stack([*corners, centre_crop(image, side)[0]])
    return torch.cat((five, five.flip(3)))


def with_mirror(image: Tensor) -> Tensor:
    """An image (3, h, w) and its mirror image: (2, 3, h, w)."""
    return torch.stack((image, image.flip(2)))


def dense_logits(net: Any, x: Tensor, window: int) -> Tensor:
    """Logits (N, classes) of a net made fully convolutional, averaged over all positions.

    net: in two parts, as timm's are: forward_features to the last map, forward_head pools and classifies it.
    The training's global pooling of a map of `window` x `window` becomes one that slides over a larger map by steps of
    1, as in the paper's [41] and [13]; the classifier is linear, so that its mean is that of the pooled features.
    timm's VGG has its fully connected layers before the pooling, as convolutions that slide over a map of any size.
    """
    last = net.forward_features(x)
    if not hasattr(net, "pre_logits"):
        last = F.avg_pool2d(last, window, 1).mean((2, 3), keepdim=True)
    logits: Tensor = net.forward_head(last)
    return logits


@torch.inference_mode()
def scores(
    net: nn.Module,
    views: Iterable[Tensor],
    logits: Callable[[Tensor], Tensor] | None = None,
    *,
    batch: int = BATCH,
    precision: str = "fp32",
    places: Sequence[int] = (),
) -> Tensor:
    """Scores (images, classes) float64 on the CPU, the net in evaluation mode, which is left as it was.

    views: of each image (views, 3, h, w); images that follow each other with views of one size share a forward pass of
    about `batch` views. logits: other than the net's own. places: the outputs that compete, () for all.
    """
    was_training = net.training
    net.eval()
    found = []
    for parts in _batched(views, batch):
        x = torch.cat(parts).contiguous(memory_format=torch.channels_last)
        with autocast(x.device, precision):
            out = (logits or net)(x)
        out = out[:, list(places)] if places else out
        soft = out.double().softmax(1).split([len(part) for part in parts])
        found.append(torch.stack([one.mean(0) for one in soft]).cpu())
    net.train(was_training)
    return torch.cat(found) if found else torch.empty(0, 0, dtype=torch.float64)


def _batched(views: Iterable[Tensor], batch: int) -> Iterator[list[Tensor]]:
    """Images in order, as many together as make `batch` views, all of one size."""
    parts: list[Tensor] = []
    for one in views:
        if parts and (one.shape[1:] != parts[0].shape[1:] or (len(parts) + 1) * len(one) > batch):
            yield parts
            parts = []
        parts.append(one)
    if parts:
        yield parts


def judge(found: Tensor, labels: Tensor, seconds: float) -> Evaluation:
    """Top-1, top-5 and mean cross-entropy of scores (N, classes) against labels (N,)."""
    best = found.topk(min(5, found.shape[1]), dim=1).indices == labels[:, None]
    loss = F.nll_loss(found.clamp_min(1e-300).log(), labels)
    return Evaluation(best[:, 0], float(loss), seconds, best.any(1))


def evaluated(
    score: Callable[[slice], Tensor], labels: Tensor, processes: ProcessGroup = ALONE
) -> tuple[Evaluation, Tensor]:
    """A protocol on images with `labels` (N,) on the CPU: its Evaluation, and all scores (N, classes).

    score: of a slice of the images. Each process of `processes` scores a slice of its own and gets the whole.
    """
    start = time.perf_counter()
    parts = processes.each(score(processes.slice_of(len(labels))))
    found = torch.cat([part for part in parts if len(part)])
    return judge(found, labels, time.perf_counter() - start), found
