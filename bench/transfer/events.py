"""`python -m bench export NAME --tensorboard DIR`: a run's curve, settings and result as TensorBoard reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

OURS = ".resnet-bench"  # how the names of our files end: others' in the folder stay
TAGS = {  # of a curve's columns; TensorBoard puts those with one word before the slash beside each other
    "error": "error/training",
    "test_error": "error/test",
    "loss": "loss/training",
    "test_loss": "loss/test",
    "rate": "learning rate",
}


def write_events(
    to: Path,
    curve: Iterable[Mapping[str, Any]],
    time: Callable[[int], float],
    settings: Mapping[str, Any],
    measured: Mapping[str, float],
) -> None:
    """Writes the files of a run into `to`, in place of those that an earlier call wrote there.

    time: by step. settings, measured: the run's line in the table of the HPARAMS tab.
    """
    before = list(to.glob(f"events.out.tfevents.*{OURS}"))
    with SummaryWriter(str(to), filename_suffix=OURS) as writer:
        step = 0
        for row in curve:
            step = row["step"]
            for column, value in row.items():
                if column != "step" and isinstance(value, int | float):
                    writer.add_scalar(_tag(column), value, step, time(step))
        for column, value in measured.items():
            writer.add_scalar(f"result/{column}", value, step, time(step))
        _, begin, end = hparams(dict(settings), {})  # what columns there are, the tab finds out from all runs
        for summary in (begin, end) if measured else (begin,):
            writer.file_writer.add_summary(summary, step, time(step))
    for old in before:
        old.unlink(missing_ok=True)


def _tag(column: str) -> str:
    part = column.removesuffix("_loss")  # of a detector's loss
    return TAGS.get(column) or (column if part == column else f"loss/{part}")
