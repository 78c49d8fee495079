"""Forgeries of published results: each is made in a copy of the project, and `bench verify` is asked what it finds.

python -m pytest tests/forgeries -m forgery -n 2 -rA | grep ^forged   # class, name, consistent, caught by, why
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.report.verify.commits import is_commit
from tests.forgeries.all import ALL
from tests.forgeries.base import PINNED, PROJECT, Forged, Forgery, clone, fingerprint, published_then
from tests.forgeries.table import caught

SWEEPS = published_then()
Said = Mapping[str, set[str]]

pytestmark = [
    pytest.mark.forgery,
    pytest.mark.skipif(not is_commit(PROJECT, PINNED), reason="no git history here to forge in"),
]


def _nothing(_: Forged) -> None:
    """Nothing is forged."""


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is committed, with its history, and three of the runs witnessed as those of today are."""
    root = clone(tmp_path_factory.mktemp("honest") / "project")
    for name in (*SWEEPS[::-1], "plain_vs_residual"):  # the pages as the code of today writes them, the index last
        copy = Forged(root, root, Forgery(_nothing, "honest", True, name, index=name == "plain_vs_residual"))
        if copy.index and not copy.runs.exists():
            copy.witness("plain-20-short-s0", "plain-20-short-s1", "resnet-20-A-short-s0")
        copy.renew("short")
    copy.commit("Three runs with their register and manifests")
    return copy.root


@pytest.fixture(scope="session")
def seen(honest: Path) -> str:
    """All that is published there."""
    return fingerprint(honest)


@pytest.fixture(scope="session")
def said(honest: Path) -> Said:
    """What verify says of each honest sweep that it could not check."""
    copies = {name: Forged(honest, honest, Forgery(_nothing, "honest", True, name)) for name in SWEEPS}
    return defaultdict(set, {name: copy.said() for name, copy in copies.items()})


@pytest.fixture
def copy(honest: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Forged:
    return Forged(honest, tmp_path / "forged", request.param)


CAUGHT = {row["forgery"]: row for row in caught()}
HONEST = [Forgery(_nothing, "honest", True, sweep, index=sweep == "plain_vs_residual") for sweep in SWEEPS]


@pytest.mark.parametrize("copy", HONEST, ids=SWEEPS, indirect=True)
def test_the_honest_copy_has_no_problem(copy: Forged) -> None:
    assert copy.verdict() == {}


@pytest.mark.parametrize("copy", HONEST, ids=SWEEPS, indirect=True)
def test_runs_unpacked_and_collected_again_are_the_published_ones(copy: Forged) -> None:
    before, arrays = copy.rows(), {name: copy.arrays(name) for name in ("correct.npz", "pairs.npz", "matches.npz")}
    ended = [row["id"] for row in before if row["state"] in ("done", "failed")]

    copy.put(*map(copy.left, ended))

    filled = ([{k: v for k, v in row.items() if v} for row in rows] for rows in (copy.rows(), before))
    assert next(filled) == next(filled)  # of what was collected before a column was there, that is empty
    for name, was in arrays.items():
        assert {k: v.tobytes() for k, v in copy.arrays(name).items()} == {k: v.tobytes() for k, v in was.items()}


@pytest.mark.parametrize(("copy", "forgery"), [(f, f) for f in ALL], ids=[f.name for f in ALL], indirect=["copy"])
def test_a_forgery_is_caught_by_what_the_table_says(copy: Forged, forgery: Forgery, seen: str, said: Said) -> None:
    forgery.forge(copy)
    copy.commit()

    assert fingerprint(copy.root) != seen
    found = copy.verdict(figures=forgery.kind == "figures")
    by = " ".join(sorted(found)) or ("said" if copy.said() - said[copy.name] else "nothing")
    print("forged", forgery.kind, forgery.name, forgery.consistent, by, next(iter(found.values()), ""), sep="\t")
    assert by == CAUGHT[forgery.name]["by"]
