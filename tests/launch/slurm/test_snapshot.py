"""Jobs run the code as it was at submission, and say which that was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.launch.slurm.snapshot import SnapshotError, copy_sweep_file, take_snapshot
from bench.machine import FROZEN, commit
from bench.store import StoreError
from tests.builders import git


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "bench").mkdir(parents=True)
    (folder / "bench" / "a.py").write_text("A = 1\n")
    (folder / ".gitignore").write_text("*.log\n")
    (folder / "pyproject.toml").write_text("[project]\n")
    git(tmp_path, "init", "--quiet", str(folder))
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    return folder


def test_a_clean_checkout_is_frozen_once_a_commit(source: Path, tmp_path: Path) -> None:
    head = git(source, "rev-parse", "HEAD")

    code = take_snapshot(tmp_path / "code", allow_dirty=False, source=source)

    assert code == tmp_path / "code" / head
    assert (code / "bench" / "a.py").read_text() == "A = 1\n"
    assert (code / "pyproject.toml").read_text() == "[project]\n", "for the packages that a run had"
    assert commit(code) == {"commit": head, "tree": git(source, "rev-parse", "HEAD^{tree}"), "dirty": False}
    assert take_snapshot(tmp_path / "code", allow_dirty=True, source=source) == code
    assert [path.name for path in (tmp_path / "code").iterdir()] == [head]
    assert (tmp_path / "code").stat().st_mode & 0o777 == 0o700, "jobs execute what lies there"


def test_code_that_another_user_put_there_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = take_snapshot(tmp_path / "code", allow_dirty=False, source=source)
    own = Path.stat

    def stat(path: Path, **options: bool) -> os.stat_result:
        found = own(path, **options)
        return os.stat_result((*found[:4], found.st_uid + 1, *found[5:])) if path == code else found

    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises(StoreError, match=f"{code} belongs to user .* would execute what lies there"):
        take_snapshot(tmp_path / "code", allow_dirty=False, source=source)


def test_a_later_commit_leaves_the_frozen_code_alone(source: Path, tmp_path: Path) -> None:
    first = take_snapshot(tmp_path / "code", allow_dirty=False, source=source)
    (source / "bench" / "a.py").write_text("A = 2\n")
    git(source, "commit", "--quiet", "-am", "two")

    second = take_snapshot(tmp_path / "code", allow_dirty=False, source=source)

    assert (first / "bench" / "a.py").read_text() == "A = 1\n"
    assert (second / "bench" / "a.py").read_text() == "A = 2\n"


@pytest.mark.parametrize("name", ["a.py", "new.py"])
def test_uncommitted_code_is_refused_unless_allowed_and_then_said(source: Path, tmp_path: Path, name: str) -> None:
    (source / "bench" / name).write_text("A = 3\n")
    (source / "bench" / "not.log").write_text("ignored")
    with pytest.raises(SnapshotError, match=r"changes in bench or sweeps .* --allow-dirty"):
        take_snapshot(tmp_path / "code", allow_dirty=False, source=source)

    code = take_snapshot(tmp_path / "code", allow_dirty=True, source=source)

    assert (code / "bench" / name).read_text() == "A = 3\n"
    assert not (code / "bench" / "not.log").exists()
    assert commit(code) == {**commit(source), "dirty": True}
    (source / "bench" / name).write_text("A = 4\n")
    assert take_snapshot(tmp_path / "code", allow_dirty=True, source=source) != code


def test_changes_beside_the_code_do_not_count(source: Path, tmp_path: Path) -> None:
    (source / "notes.txt").write_text("x")

    assert commit(take_snapshot(tmp_path / "code", allow_dirty=False, source=source))["dirty"] is False


def test_outside_a_checkout_there_is_nothing_to_freeze(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="no git checkout"):
        take_snapshot(tmp_path / "code", allow_dirty=True, source=tmp_path)


def test_a_job_that_submits_hands_on_its_own_frozen_code(source: Path, tmp_path: Path) -> None:
    code = take_snapshot(tmp_path / "code", allow_dirty=False, source=source)

    assert take_snapshot(tmp_path / "other", allow_dirty=False, source=code) == code


def test_a_sweep_file_is_kept_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("SWEEP = 1\n")
    first = copy_sweep_file(tmp_path / "code", path, "mine")
    path.write_text("SWEEP = 2\n")

    assert copy_sweep_file(tmp_path / "code", path, "mine").name == first.name == "mine.py"
    assert first.read_text() == "SWEEP = 1\n"


def test_the_history_of_a_checkout_says_more_than_a_frozen_file(source: Path, tmp_path: Path) -> None:
    head = git(source, "rev-parse", "HEAD")
    (source / FROZEN).write_text('{"commit": "another", "dirty": true}')
    assert commit(source) == {"commit": head, "tree": git(source, "rev-parse", "HEAD^{tree}"), "dirty": False}

    copy = tmp_path / "copy"
    (copy / "bench").mkdir(parents=True)
    assert commit(copy) == {"commit": None, "tree": None, "dirty": None}
    (copy / FROZEN).write_text('{"commit": "another", "dirty": true}')
    assert commit(copy) == {"commit": "another", "tree": None, "dirty": True}, "older than the word on its tree"


def test_a_frozen_copy_within_another_checkout_is_of_its_own_commit(source: Path) -> None:
    copy = source / "runs" / "code"
    (copy / "bench").mkdir(parents=True)
    (copy / "bench" / "a.py").write_text("A = 0\n")
    assert commit(copy) == {"commit": None, "tree": None, "dirty": None}
    (copy / FROZEN).write_text('{"commit": "another", "tree": "t", "dirty": false}')

    assert commit(copy) == {"commit": "another", "tree": "t", "dirty": False}
