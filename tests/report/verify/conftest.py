"""Made-up results with all their witnesses, published once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.verify.builders import copied, publish, trained


@pytest.fixture(scope="session")
def witnessed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a sweep at two scales, each run with its lines in the register and its manifest."""
    root = tmp_path_factory.mktemp("witnessed")
    return publish(root, trained(root))


@pytest.fixture
def results(witnessed: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return copied(witnessed, tmp_path)
