"""What is recorded of the sessions that trained a run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from bench.launch.worker import work
from bench.tasks.provenance import merged
from tests.builders import make, tiny_run


def test_provenance_is_of_the_sessions_that_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path, tiny_run())
    work(folder.path, tmp_path, deadline=time.time() - 1)
    monkeypatch.setattr("bench.tasks.provenance.cpu_name", lambda: "another machine")
    work(folder.path, tmp_path)

    env = folder.env()
    assert env is not None
    assert env["sessions"] == 2
    assert env["hardware"].endswith("; another machine")
    assert env["started"] < env["ended"]


def test_a_session_of_an_older_version_lacks_what_was_added_later() -> None:
    old = {"dirty": False, "kernels": "eager", "started": 1.0, "ended": 2.0}
    new = {**old, "allocator": "tuned", "started": 3.0, "ended": 4.0}

    both: dict[str, Any] = {"dirty": False, "kernels": "eager", "allocator": "tuned", "claims_sha256": ""}
    both |= {"started": 1.0, "ended": 4.0, "sessions": 2}
    assert merged([old, new]) == both
    assert merged([new, {**old, "ended": 4.0}]) == {**both, "started": 3.0}
    assert "allocator" not in merged([old])


def test_a_run_has_the_claims_that_stood_when_it_began() -> None:
    """None where it began before they were declared: what is declared later has numbers in sight."""
    before: dict[str, Any] = {"dirty": False, "started": 1.0, "ended": 2.0}
    early, late, none = ({**before, "claims_sha256": digest} for digest in ("early", "late", ""))
    starts = ([early, late, early], [late], [before, late], [none, late])

    assert [merged(sessions)["claims_sha256"] for sessions in starts] == ["early", "late", "", ""]


def test_the_digest_of_the_claims_is_in_a_runs_provenance_as_it_stood_at_its_start(tmp_path: Path) -> None:
    undeclared, folder = make(tmp_path, tiny_run(), "undeclared"), make(tmp_path, tiny_run())
    folder.declare("first")
    assert work(folder.path, tmp_path, deadline=time.time() - 1) == "stopped"
    folder.declare("second")

    assert work(folder.path, tmp_path) == work(undeclared.path, tmp_path) == "done"

    env, without = folder.env(), undeclared.env()
    assert env is not None
    assert without is not None
    assert (env["claims_sha256"], env["sessions"], folder.claims_digest()) == ("first", 2, "second")
    assert without["claims_sha256"] == undeclared.claims_digest() == ""
