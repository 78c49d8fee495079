"""Embeddings of pictures, and how alike those of a pair are."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.train.metrics import autocast


@torch.inference_mode()
def embed(
    net: nn.Module,
    prepare: Callable[[Tensor], Tensor],
    pictures: Tensor,
    *,
    mirrored: bool = True,
    batch: int = 200,
    precision: str = "fp32",
) -> Tensor:
    """Embeddings (N, D) float32 of length 1, on the CPU, of `pictures` (N, 3, H, W) uint8; net in evaluation mode.

    mirrored: adds the embedding of each picture's mirror image before its length is made 1, as insightface tests.
    `prepare` makes net inputs of pictures. `batch` bounds memory only. Leaves the net's mode as it was.
    """
    was_training = net.training
    net.eval()
    parts = []
    for x in pictures.split(batch):
        with autocast(x.device, precision):
            inputs = prepare(x)
            both = net(inputs).float()
            if mirrored:
                both = both + net(inputs.flip(3)).float()
        parts.append(F.normalize(both).cpu())
    net.train(was_training)
    return torch.cat(parts)


def cosines(embeddings: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """The cosine (P,) float64 of each pair, of `embeddings` (N, D) at the indices `left` and `right` (P,)."""
    e = F.normalize(embeddings.double())
    return (e[left.cpu()] * e[right.cpu()]).sum(1)


class Pixels(nn.Module):
    """The baseline without a net: the picture averaged down to `side` x `side`, minus the training pictures' mean.

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
