"""Softmax over cosines with a margin: ArcFace (arXiv:1801.07698), CosFace (arXiv:1801.09414), and none.

Our own lines, where pytorch-metric-learning has losses: those give a loss, not logits, so that no training error can
be told; they build a mask of the batch by all people; and their gradient is finite at an angle of 0 or 180 degrees
only because some versions of torch let no gradient through the edge of a clamp. The tests hold ours to theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NARROWEST = 1e-6  # sin² of an angle, below which its slope, infinite at 0, is left out


def _off_the_cosine(cosine: Tensor, margin: float) -> Tensor:
    return cosine - margin


def _onto_the_angle(cosine: Tensor, margin: float) -> Tensor:
    sine = (1 - cosine * cosine).clamp(min=NARROWEST).sqrt()
    wider = cosine * math.cos(margin) - sine * math.sin(margin)
    # beyond pi the cosine would rise again: from there on it falls as CosFace's does, as ArcFace's authors have it
    past_pi = cosine - margin * math.sin(margin)
    return torch.where(cosine > -math.cos(margin), wider, past_pi)


class Margin(NamedTuple):
    """A kind of margin: the paper's, in radians for ArcFace; the largest; what it makes of the true person's cosine."""

    usual: float
    largest: float
    apply: Callable[[Tensor, float], Tensor]


MARGINS = {
    "softmax": Margin(0.0, 0.0, _off_the_cosine),
    "arcface": Margin(0.5, math.pi / 2, _onto_the_angle),
    "cosface": Margin(0.35, 1.0, _off_the_cosine),
}


class MarginSoftmax(nn.Module):
    """Logits of `classes` people: scale times the cosine with each person's direction, the true one's less a margin.

    kind: "arcface" adds `margin` to the angle, "cosface" takes it from the cosine, "softmax" has none (which is the
    normalised softmax). margin: None for the paper's. scale: s of both papers. Cosines are in fp32 under autocast.
    Raises ValueError naming what is allowed.
    """

    def __init__(self, kind: str, size: int, classes: int, *, margin: float | None = None, scale: float = 64.0) -> None:
        super().__init__()
        if kind not in MARGINS:
            raise ValueError(f"loss {kind!r} is not one of: {', '.join(MARGINS)}")
        self.kind, self.scale = MARGINS[kind], scale
        self.margin = self.kind.usual if margin is None else margin
        if not 0 <= self.margin <= self.kind.largest:
            raise ValueError(f"margin {margin} of {kind} must lie in [0, {self.kind.largest:.4g}]")
        if not scale > 0:
            raise ValueError(f"scale {scale} must be positive")
        self.weight = nn.Parameter(torch.empty(classes, size))
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, embeddings: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, size) embeddings of any length and labels (N,) to (N, classes) logits; without labels, without margin."""
        with torch.autocast(embeddings.device.type, enabled=False):
            cosine = F.linear(F.normalize(embeddings.float()), F.normalize(self.weight))
            if labels is not None and self.margin:
                true = labels[:, None]
                cosine = cosine.scatter(1, true, self.kind.apply(cosine.gather(1, true), self.margin))
            return self.scale * cosine
