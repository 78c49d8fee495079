"""The made-up people of these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.verification.builders import LISTED, write_people


@pytest.fixture
def lfw(tmp_path: Path) -> Path:
    return write_people(tmp_path / "lfw", LISTED)
