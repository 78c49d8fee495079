"""What further tests found of a run that is done: `test-NAME.json` in its folder. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.store.contents import TESTS
from bench.store.files import write_json
from bench.store.records import TEST, record
from bench.store.run_folder import RunFolder


def keep_test(folder: RunFolder, test: Mapping[str, Any]) -> None:
    """Keeps what a test found. Raises StoreError."""
    write_json(_path(folder, test["test"]), test)


def kept_test(folder: RunFolder, name: str, weights_sha256: str) -> dict[str, Any] | None:
    """What the test of that name found of these weights, None where there is none."""
    return _read(_path(folder, name), folder, weights_sha256)


def kept_tests(folder: RunFolder, weights_sha256: str) -> list[dict[str, Any]]:
    """All that tests found of these weights."""
    return [one for path in sorted(folder.path.glob(TESTS)) if (one := _read(path, folder, weights_sha256))]


def _read(path: Path, folder: RunFolder, weights_sha256: str) -> dict[str, Any] | None:
    found = record(path, TEST)
    if found is None or path != _path(folder, found["test"]):
        return None
    return found if (found["id"], found["weights_sha256"]) == (folder.path.name, weights_sha256) else None


def _path(folder: RunFolder, name: str) -> Path:
    return folder.path / TESTS.replace("*", name.replace(":", "."))  # some systems' names have no colon
