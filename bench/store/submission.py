"""What processes and jobs leave for each other: where they meet, and what was submitted. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.store.files import StoreError, make_folder, read_json, write_json, write_text
from bench.store.logs import forget_starts
from bench.store.private import make_private, refuse_foreign
from bench.store.records import RENDEZVOUS, record

KEPT_SUBMISSIONS = 50  # of a sweep, though no job of theirs is in the queue: their logs say how jobs ended


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """The file by which the first of a run's processes calls the others together."""

    path: Path

    def call(self, host: str, port: int, token: str) -> None:
        """Says where the first process waits; `token` tells this try from an earlier one at the same place."""
        make_folder(self.path.parent)
        write_json(self.path, {"host": host, "port": port, "token": token, "over": False})

    def end(self) -> None:
        """Says that the first process will not call again."""
        make_folder(self.path.parent)
        write_json(self.path, {"host": "", "port": 0, "token": "", "over": True})

    def read(self) -> dict[str, Any] | None:
        """host, port, token and over; None where nobody has called yet."""
        return record(self.path, RENDEZVOUS)


@dataclass(frozen=True, slots=True)
class Submission:
    """What went to a cluster's queue as one array: runs/<sweep>/slurm/<job name>/.

    The job's name is the folder's and comes never again, so that the queue's listing leads back to the runs without
    trusting job numbers. packs.json: the run ids of each job of the array. cancelled: there once it was cancelled.
    NUMBER_submission.sh: what sbatch was given, once it has said the job's number.
    """

    path: Path

    def create(self, packs: Sequence[Sequence[str]]) -> None:
        """Writes what each job of the array is to run, before there is a job. Raises StoreError."""
        for folder in (self.path.parent, self.path):
            refuse_foreign(make_private(folder))  # better now than by each job
        write_json(self.path / "packs.json", [list(pack) for pack in packs])

    def packs(self) -> list[list[str]]:
        """The run ids of each job; none where the submission was broken off, or its file is damaged."""
        try:
            value = read_json(self.path / "packs.json")
        except StoreError:
            return []
        fits = isinstance(value, list) and all(
            isinstance(pack, list) and all(isinstance(name, str) for name in pack) for pack in value
        )
        return value if fits else []

    @property
    def number(self) -> str:
        """The job's in the queue; "" where none is known."""
        return next((path.name.split("_")[0] for path in self.path.glob("[0-9]*_submission.sh")), "")

    def cancel(self) -> None:
        """Leaves word that its jobs did not end by themselves."""
        write_text(self.path / "cancelled", "")

    @property
    def cancelled(self) -> bool:
        """Whether its jobs were cancelled."""
        return (self.path / "cancelled").exists()


def forget_submissions(sweep: Path, living: Iterable[str]) -> None:
    """Deletes what earlier starts of the sweep submitted, but for the last ones and the jobs `living` in the queue."""
    forget_starts(sweep / "slurm", KEPT_SUBMISSIONS, {*living})


def submissions(sweep: Path) -> dict[str, Submission]:
    """All that was submitted for the sweep in this folder, by job name."""
    return {path.name: Submission(path) for path in sorted((sweep / "slurm").glob("*")) if path.is_dir()}
