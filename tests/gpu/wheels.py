"""Packages that the machine may lack and without which nothing of this suite can be imported. Standard library only."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

NEEDED, FOLDER = "pydantic", "packages"


def unpack_wheels(words: Sequence[str]) -> None:
    """Unpacks the wheels among the parts of this call (the command's words say where); later calls find them."""
    if find_spec(NEEDED):
        return
    given = dict(pairwise(words))
    packages = Path(given.get("--work", "/tmp/stretch")).absolute() / FOLDER
    for wheel in sorted(Path(given.get("--share", packages)).glob("*.whl")):
        zipfile.ZipFile(wheel).extractall(packages)
    sys.path.insert(0, str(packages))
