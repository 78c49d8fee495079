"""Which commit the code is of, whatever git's settings, the environment and the checkout's owner are."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli.sweep import main as sweep
from bench.launch.slurm.snapshot import SnapshotError, take_snapshot
from bench.machine import FROZEN, commit, commit_unknown
from bench.store import write_json
from tests.builders import git

UNKNOWN = {"commit": None, "tree": None, "dirty": None}


def checkout(folder: Path) -> Path:
    (folder / "bench").mkdir(parents=True)
    (folder / "bench" / "a.py").write_text("A = 1\n")
    git(folder.parent, "init", "--quiet", str(folder))
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return checkout(tmp_path / "source")


def of_another_owner(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")


def not_installed(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(source))


def damaged_head(source: Path, _: pytest.MonkeyPatch) -> None:
    (source / ".git" / "HEAD").write_text("")


def damaged_index(source: Path, _: pytest.MonkeyPatch) -> None:
    (source / ".git" / "index").write_bytes(b"DIRC")


def lost_objects(source: Path, _: pytest.MonkeyPatch) -> None:
    """`git status` alone needs the tree of the commit."""
    tree = git(source, "rev-parse", "HEAD^{tree}")
    (source / ".git" / "objects" / tree[:2] / tree[2:]).unlink()


def no_commit(source: Path, _: pytest.MonkeyPatch) -> None:
    git(source, "update-ref", "-d", "HEAD")


def moved_worktree(source: Path, _: pytest.MonkeyPatch) -> None:
    (source / ".git").rename(source.parent / "moved")
    (source / ".git").write_text("gitdir: /nowhere/.git/worktrees/source\n")


REFUSALS: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], None], str]] = {
    "another owner": (of_another_owner, "git ls-files .* git config --global --add safe.directory"),
    "not installed": (not_installed, "git cannot be started: No such file or directory; install it"),
    "damaged HEAD": (damaged_head, "git ls-files .*not a git repository"),
    "damaged index": (damaged_index, "git ls-files .*index file smaller than expected"),
    "lost objects": (lost_objects, "git status in .*tree"),
    "no commit": (no_commit, "git rev-parse in .*: fatal: "),
    "moved worktree": (moved_worktree, "git ls-files .*not a git repository: /nowhere"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_where_git_refuses_a_checkout_its_words_say_why_the_commit_is_unknown(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    damage, words = REFUSALS[case]
    damage(source, monkeypatch)

    assert commit(source) == UNKNOWN
    assert "\n" not in commit_unknown(source)
    with pytest.raises(SnapshotError, match=f"^jobs run the code of a commit, and {words}"):
        take_snapshot(tmp_path / "code", allow_dirty=True, source=source)


def test_inline_it_is_a_warning_that_names_the_remedy(
    tiny_sweep: Path, source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setattr("bench.cli.sweep.commit_unknown", lambda: commit_unknown(source))

    assert sweep([str(tiny_sweep), "--dry-run", "--cluster", "inline", "--data", "data"]) == 0

    (line,) = [line for line in capsys.readouterr().out.splitlines() if "commit of the code" in line]
    assert line.startswith("the results will not name the commit of the code: git ls-files")
    assert f"git config --global --add safe.directory {source}" in line


def test_outside_a_checkout_there_is_nothing_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (commit(tmp_path), commit_unknown(tmp_path)) == (UNKNOWN, "")
    monkeypatch.setenv("PATH", "")
    assert (commit(tmp_path), commit_unknown(tmp_path)) == (UNKNOWN, "")


def test_code_in_a_repository_that_does_not_track_it_has_no_commit(source: Path) -> None:
    """Such as an installed copy in a project's own environment."""
    copy = source / "venv" / "lib"
    (copy / "bench").mkdir(parents=True)
    (copy / "bench" / "a.py").write_text("A = 1\n")

    assert (commit(copy), commit_unknown(copy)) == (UNKNOWN, "")


def test_frozen_code_knows_its_commit_where_git_refuses(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"commit": "a" * 40, "tree": "b" * 40, "dirty": False}
    write_json(source / FROZEN, known)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")

    assert (commit(source), commit_unknown(source)) == (known, "")


OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")


@pytest.mark.parametrize("names", [(name,) for name in OF_A_HOOK] + [("GIT_DIR", "GIT_WORK_TREE")], ids=" ".join)
def test_another_repository_of_the_environment_is_not_taken_for_ours(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    own = commit(source)
    other = checkout(tmp_path / "other")
    (other / "bench" / "a.py").write_text("A = 2\n")
    git(other, "commit", "--quiet", "-am", "two")
    parts = {"GIT_WORK_TREE": "", "GIT_INDEX_FILE": ".git/index", "GIT_OBJECT_DIRECTORY": ".git/objects"}
    for name in names:
        monkeypatch.setenv(name, str(other / parts.get(name, ".git")))

    assert own["dirty"] is False
    assert commit(source) == own
    assert take_snapshot(tmp_path / "code", allow_dirty=False, source=source).name == own["commit"]


def test_a_setting_of_the_environment_that_trusts_the_checkout_counts(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = commit(source)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    for name, value in {"COUNT": "1", "KEY_0": "safe.directory", "VALUE_0": str(source)}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)

    assert commit(source) == own


@pytest.mark.parametrize("setting", ["status.showUntrackedFiles=no", "core.quotePath=false", "status.branch=true"])
def test_settings_of_the_user_do_not_hide_changes_or_make_them_up(source: Path, setting: str) -> None:
    subprocess.run(["git", "-C", str(source), "config", *setting.split("=")], check=True)
    assert commit(source)["dirty"] is False

    (source / "bench" / "neü.py").write_text("A = 3\n")

    assert commit(source)["dirty"] is True


def test_a_worktree_and_a_submodule_have_commits(source: Path, tmp_path: Path) -> None:
    git(source, "worktree", "add", "--quiet", str(tmp_path / "tree"))
    outer = checkout(tmp_path / "outer")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(source), "inner")

    assert commit(tmp_path / "tree") == commit(outer / "inner") == commit(source)
    assert commit(source)["commit"] is not None
