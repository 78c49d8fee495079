"""What processes and jobs leave for each other: where they meet, and what was submitted. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.store.files import make_folder, read_json, write_json, write_text
from bench.store.records import RENDEZVOUS, record


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
    """

    path: Path

    def create(self, packs: Sequence[Sequence[str]]) -> None:
        """Writes what each job of the array is to run, before there is a job."""
        make_folder(self.path)
        write_json(self.path / "packs.json", [list(pack) for pack in packs])

    def packs(self) -> list[list[str]]:
        """The run ids of each job; none where the submission was broken off."""
        value = read_json(self.path / "packs.json")
        return value if isinstance(value, list) else []

    def cancel(self) -> None:
        """Leaves word that its jobs did not end by themselves."""
        write_text(self.path / "cancelled", "")

    @property
    def cancelled(self) -> bool:
        """Whether its jobs were cancelled."""
        return (self.path / "cancelled").exists()


def submissions(sweep: Path) -> dict[str, Submission]:
    """All that was submitted for the sweep in this folder, by job name."""
    return {path.name: Submission(path) for path in sorted((sweep / "slurm").glob("*")) if path.is_dir()}
