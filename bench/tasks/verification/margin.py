"""Softmax over cosines with a margin: ArcFace (arXiv:1801.07698), CosFace (arXiv:1801.09414), and none.

Our own lines, where pytorch-metric-learning has losses: those give a loss, not logits, so that no training error can
be told; they build a mask of the batch by all people; and their gradient is finite at an angle of 0 or 180 degrees
only because some versions of torch let no gradient through the edge of a clamp. The tests hold ours to theirs.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MARGINS = {"softmax": 0.0, "arcface": 0.5, "cosface": 0.35}  # the papers'; radians for ArcFace
LARGEST = {"softmax": 0.0, "arcface": math.pi / 2, "cosface": 1.0}
NARROWEST = 1e-6  # sin² of an angle, below which its slope, infinite at 0, is left out


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
        self.kind, self.scale = kind, scale
        self.margin = MARGINS[kind] if margin is None else margin
        if not 0 <= self.margin <= LARGEST[kind]:
            raise ValueError(f"margin {margin} of {kind} must lie in [0, {LARGEST[kind]:.4g}]")
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
                cosine = cosine.scatter(1, true, self._harder(cosine.gather(1, true)))
            return self.scale * cosine

    def _harder(self, cosine: Tensor) -> Tensor:
        """The cosine of the true person, lowered by the margin."""
        if self.kind == "cosface":
            return cosine - self.margin
        sine = (1 - cosine * cosine).clamp(min=NARROWEST).sqrt()
        wider = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        # beyond pi the cosine would rise again: from there on it falls as CosFace's does, as ArcFace's authors have it
        past_pi = cosine - self.margin * math.sin(self.margin)
        return torch.where(cosine > -math.cos(self.margin), wider, past_pi)
