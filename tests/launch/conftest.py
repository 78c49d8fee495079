"""A machine that is the same everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.launch.builders import machine


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two cores, 16 GiB, no GPU, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    machine(monkeypatch, cores=2, devices=())
