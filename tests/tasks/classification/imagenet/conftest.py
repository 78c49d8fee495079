"""A cache folder of a test's own, and the little ImageNet as it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.tasks.classification.imagenet.files import ImageSet, load
from tests.tasks.classification.imagenet import little


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def expected(tmp_path: Path) -> ImageSet:
    return load(little.folders(tmp_path / "expected"))
