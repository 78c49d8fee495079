"""One run of 12 steps, trained once for all tests here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.store import RunFolder
from tests.transfer.builders import RUN, trained


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """runs/ of a run at steps 4 and 8, and done."""
    place = tmp_path_factory.mktemp("trained")
    for steps in (4, 8, 12):
        trained(place / str(steps), steps)
    return place


@pytest.fixture
def at(trained_once: Path, tmp_path: Path) -> Callable[[int, str], RunFolder]:
    """A copy of the run after so many steps, below tmp_path / name."""

    def copy(steps: int, name: str) -> RunFolder:
        shutil.copytree(trained_once / str(steps), tmp_path / name)
        return RunFolder(tmp_path / name / "tiny" / RUN.id)

    return copy
