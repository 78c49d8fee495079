"""A small history, taken for the suite's own; made-up results with all their witnesses, published once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.report.verify import claims_dated, commits, older
from tests.report.verify.builders import copied, publish, trained
from tests.report.verify.histories import History

Suite = Callable[[History], History]


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Suite:
    """Takes a repository for the suite's checkout."""

    def take(history: History) -> History:
        for module in (commits, claims_dated, older):
            monkeypatch.setattr(module, "SOURCE", history.root)
        monkeypatch.setattr(commits, "FIRST", history.code)
        return history

    return take


@pytest.fixture
def history(tmp_path: Path, suite: Suite) -> History:
    """A repository with one commit: the code of the first of January."""
    return suite(History(tmp_path / "suite"))


@pytest.fixture(scope="session")
def witnessed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a sweep at two scales, each run with its lines in the register and its manifest."""
    root = tmp_path_factory.mktemp("witnessed")
    return publish(root, trained(root))


@pytest.fixture
def results(witnessed: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return copied(witnessed, tmp_path)
