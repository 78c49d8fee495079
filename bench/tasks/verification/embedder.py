"""Nets that embed faces: a backbone's last map, then BN, dropout, fc, BN (ArcFace, arXiv:1801.07698, its option E).

With the baseline that needs none, and how alike two embeddings are.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.nets.torch_files import reason
from bench.tasks.verification.margin import MarginSoftmax
from bench.train.metrics import autocast

LARGEST = 7  # of the side of the map that the head sees: 112 / 16, as in ArcFace's nets


class Embedder(nn.Module):
    """The backbone's map, averaged down to 7x7 or a little more where it is larger; BN, dropout, fc, BN.

    backbone: takes (N, 3, side, side), gives a map (N, C, H, W). size: of the embedding. dropout: the share set to 0.
    The last BN has no weight of its own, as the embedding's length means nothing.
    Raises ValueError where the backbone cannot take images of `side`, or a number is out of its range.
    """

    def __init__(self, backbone: nn.Module, *, side: int = 112, size: int = 512, dropout: float = 0.4) -> None:
        super().__init__()
        if side < 1 or size < 1 or not 0 <= dropout < 1:
            raise ValueError(f"side {side} and size {size} must be positive, dropout {dropout} must lie in [0, 1)")
        channels, height, width = map_of(backbone, side)
        self.side = side
        self.backbone = backbone
        kernel = max(1, min(height, width) // LARGEST)
        self.pool = nn.AvgPool2d(kernel) if kernel > 1 else nn.Identity()
        self.bn1 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels * (height // kernel) * (width // kernel), size)
        self.bn2 = nn.BatchNorm1d(size)
        self.bn2.weight.requires_grad_(False)
        nn.init.kaiming_normal_(self.fc.weight, nonlinearity="linear")
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, side, side) to (N, size) embeddings, not of length 1. Raises ValueError at another side."""
        if x.shape[1:] != (3, self.side, self.side):
            raise ValueError(f"images {tuple(x.shape[1:])} where (3, {self.side}, {self.side}) belong")
        y = self.bn1(self.pool(self.backbone(x)))
        embeddings: Tensor = self.bn2(self.fc(self.dropout(y.flatten(1))))
        return embeddings


class Recogniser(nn.Module):
    """An embedder and its head with a margin, as one net to train; what is tested is `embedder` alone."""

    def __init__(self, embedder: Embedder, head: MarginSoftmax) -> None:
        super().__init__()
        self.embedder, self.head = embedder, head

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, 3, side, side) and labels (N,) to (N, classes) logits; without labels, without margin."""
        logits: Tensor = self.head(self.embedder(x), labels)
        return logits


@torch.no_grad()
def map_of(backbone: nn.Module, side: int) -> tuple[int, int, int]:
    """The shape (C, H, W) of the map that `backbone` makes of (side, side) images, found by making one.

    Raises ValueError where it makes none.
    """
    was_training, device = backbone.training, next((p.device for p in backbone.parameters()), None)
    backbone.eval()
    try:
        shape = backbone(torch.zeros(1, 3, side, side, device=device)).shape
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ValueError(f"{type(backbone).__name__} cannot take images of {side}x{side}: {reason(error)}") from None
    finally:
        backbone.train(was_training)
    if len(shape) != 4 or 0 in shape:
        raise ValueError(
            f"{type(backbone).__name__} makes {tuple(shape)} of an image of {side}x{side}, no map of features"
        )
    return shape[1], shape[2], shape[3]


@torch.inference_mode()
def embed(
    net: nn.Module,
    prepare: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    batch: int = 200,
    precision: str = "fp32",
) -> Tensor:
    """Embeddings (N, D) float32 of length 1, on the CPU, of `images` (N, 3, H, W) uint8; net in evaluation mode.

    The embedding of each image's mirror image is added before its length is made 1, as insightface tests.
    `prepare` makes net inputs of images. `batch` bounds memory only. Leaves the net's mode as it was.
    """
    was_training = net.training
    net.eval()
    parts = []
    for x in images.split(batch):
        with autocast(x.device, precision):
            inputs = prepare(x)
            both = net(inputs).float() + net(inputs.flip(3)).float()
        parts.append(F.normalize(both).cpu())
    net.train(was_training)
    return torch.cat(parts)


def cosines(embeddings: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """The cosine (P,) float64 of each pair, of `embeddings` (N, D) at the indices `left` and `right` (P,)."""
    e = F.normalize(embeddings.double())
    return (e[left.cpu()] * e[right.cpu()]).sum(1)


class Pixels(nn.Module):
    """The baseline without a net: the image averaged down to `side` x `side`, minus the training images' mean.

    Takes the inputs a net would; its embeddings are compared by their cosine as a net's are.
    """

    mean: Tensor

    def __init__(self, training_inputs: Tensor, side: int = 16) -> None:
        super().__init__()
        self.side = side
        self.register_buffer("mean", self._small(training_inputs).mean(0))

    def _small(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.side).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 3 side^2)."""
        return self._small(x) - self.mean
