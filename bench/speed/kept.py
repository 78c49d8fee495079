"""The file that `--json` names: figures, and of which command, day, machine, versions and commit they are."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from bench import __version__
from bench.machine import commit, hardware
from bench.store import make_folder, write_json


@dataclass(frozen=True, slots=True)
class Kept:
    """command: the words after `python -m bench speed`. Raises StoreError where the folder cannot be written."""

    path: Path
    command: Sequence[str]

    def __post_init__(self) -> None:
        make_folder(self.path.parent)  # before minutes of measuring

    def write(self, figures: Mapping[str, Any]) -> None:
        """Writes the file anew."""
        about = {
            "command": shlex.join(("python", "-m", "bench", "speed", *self.command)),
            "date": datetime.now(UTC).date().isoformat(),
            "machine": hardware(),
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "bench": __version__,
            **commit(),
        }
        write_json(self.path, {**about, **figures})
