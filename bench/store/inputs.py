"""What a run was begun with, beside the Run itself. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a number depends on beside the Run, by SHA-256: the data, and the weights that the net starts from.

    start_sha256: "" for random weights, None where nobody kept it: in runs of earlier versions, and of what timm
    downloads.
    """

    data_sha256: str
    start_sha256: str | None

    def unlike(self, others: Inputs) -> str:
        """In words what of these is not that of `others`, "" where all is."""
        pairs = {
            "data": (self.data_sha256, others.data_sha256),
            "start weights": (self.start_sha256, others.start_sha256),
        }
        return " and ".join(
            f"other {what} (SHA-256 {mine[:12] or 'of none'}, here {here[:12] or 'of none'})"
            for what, (mine, here) in pairs.items()
            if mine is not None and here is not None and mine != here
        )
