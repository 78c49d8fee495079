"""What a job executes is its own user's: pickles and code that others own or may write are refused in one line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.store import StoreError, Submission, make_private, refuse_foreign, submissions


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture(autouse=True)
def a_groups_umask() -> Iterator[None]:
    """As on clusters whose users share a group: what is made without care, the group may write."""
    before = os.umask(0o002)
    yield
    os.umask(before)


@pytest.fixture
def submission(tmp_path: Path) -> Submission:
    one = Submission(tmp_path / "tiny" / "slurm" / "tiny-1")
    one.create([["a"]])
    (one.path / "77_submitted.pkl").write_bytes(b"")
    return one


def test_only_what_jobs_execute_is_private(submission: Submission) -> None:
    """Also where an earlier version left the folder open."""
    sweep = submission.path.parents[1]

    assert (mode(submission.path), mode(submission.path.parent), mode(sweep)) == (0o700, 0o700, 0o775)
    submission.path.parent.chmod(0o777)
    Submission(sweep / "slurm" / "tiny-2").create([["b"]])
    assert mode(submission.path.parent) == 0o700
    assert sorted(submissions(sweep)) == ["tiny-1", "tiny-2"]


def owned_by(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretends that another user owns the path."""
    right = os.stat

    def stat(at: object, **options: object) -> os.stat_result:
        found = right(at, **options)  # type: ignore[arg-type]
        return os.stat_result((*found[:4], found.st_uid + 1, *found[5:])) if at == path else found

    monkeypatch.setattr(os, "stat", stat)


DOORS: dict[str, Callable[[Path, Path, pytest.MonkeyPatch], object]] = {
    "the group may write to the folder": lambda folder, *_: folder.chmod(0o770),
    "everybody may write to the folder": lambda folder, *_: folder.chmod(0o707),
    "others may enter the folder and write to the file": lambda folder, *_: folder.chmod(0o710),
    "another user owns the folder": lambda folder, _, patch: owned_by(folder, patch),
    "another user owns the file": lambda _, file, patch: owned_by(file, patch),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_file_that_another_user_may_have_written_is_refused(
    submission: Submission, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pickle = submission.path / "77_submitted.pkl"
    assert mode(pickle) == 0o664
    refuse_foreign(submission.path, pickle)  # nobody else can reach it

    DOORS[door](submission.path, pickle, monkeypatch)

    with pytest.raises(StoreError, match=r"execute what lies there: (chmod go-w|start the sweep)") as error:
        refuse_foreign(submission.path, pickle)
    assert str(submission.path) in str(error.value)
    assert str(error.value).isprintable()


def test_colleagues_may_read_a_submission(submission: Submission) -> None:
    pickle = submission.path / "77_submitted.pkl"
    pickle.chmod(0o644)
    submission.path.chmod(0o755)

    refuse_foreign(submission.path, pickle)


def test_a_folder_that_cannot_be_made_private_is_refused_before_anything_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a mount without modes."""
    monkeypatch.setattr(Path, "chmod", lambda *_: None)
    with pytest.raises(StoreError, match=r"other users may write to .*/slurm \(mode 0775\).*chmod go-w"):
        Submission(tmp_path / "slurm" / "tiny-1").create([])
    assert not (tmp_path / "slurm" / "tiny-1").exists()
    assert make_private(tmp_path / "log") == tmp_path / "log", "where a job starts at once, as on this machine"
    with pytest.raises(StoreError, match="nowhere cannot be read: No such file"):
        refuse_foreign(tmp_path / "nowhere")
