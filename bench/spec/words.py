"""The words that declarations may use, and what is said where they use another."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable
from typing import Any

SCALES = ("paper", "short", "quick")
SHORTCUTS = ("none", "A", "B", "C")
OWN_SHORTCUT = "own"  # of the user's nets, which are neither plain nor residual by a field
NORMS = ("bn", "none")
# errors by ImageNet's protocols, beside test_error, which is top-1 on the centre crop
PROTOCOLS = (
    "top5_error", "ten_crop_error", "ten_crop_top5_error", "multi_scale_error", "multi_scale_top5_error",
)  # fmt: skip
# what a verification of faces has beside test_error, which is the share of pairs judged wrong
VERIFICATION = (
    "fixed_threshold_error", "pixels_error", "untrained_error", "auc", "eer", "tar_at_far_0.1", "tar_at_far_0.01",
    "tar_at_far_0.001",
)  # fmt: skip
# what a detector's test has beside test_error, which is 100 - ap50; percent
PRECISIONS_OF_BOXES = (
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "voc07_map", "voc12_map",
)  # fmt: skip
DETECTOR_LOSSES = ("class_loss", "box_loss", "objectness_loss", "proposal_loss")  # of Faster R-CNN, in its curve
OPTIONS = ("refined", "multi_scale")  # Table 9's at test time: the same columns with the option's name before them
METRICS = ("test_error", "train_error", *PROTOCOLS)
DIVERGED = re.compile(r"the (?:training|test) loss is (?:nan|-?inf) at step")  # what the training loop says of it
# over a whole net: a gradient that grows or shrinks by less is called healthy, else exploding or vanishing
HEALTHY = 10.0


class SpecError(ValueError):
    """A declaration that cannot be meant; says every mistake in it at once."""


def counted(count: int, thing: str) -> str:
    """`1 run`, `2 runs`, `1,000 runs`; `2 boxes`."""
    many = "es" if thing.endswith(("s", "x", "ch", "sh")) else "s"
    return f"{count:,} {thing}{'' if count == 1 else many}"


def require(what: str, *checks: tuple[bool, str]) -> None:
    """Raises SpecError with the words of every check that is not true."""
    mistakes = [message for fine, message in checks if not fine]
    if mistakes:
        raise SpecError(f"{what}: " + "; ".join(mistakes))


class Row:
    """A row of one of the tables, whose fields may name functions as "module:function"."""

    __slots__ = ()

    def resolve(self, field: str) -> Callable[..., Any]:
        """The function or class that `field` names, imported now."""
        found: Callable[..., Any] = pkgutil.resolve_name(getattr(self, field))
        return found
