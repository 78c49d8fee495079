"""A job loads its pickle unless another user may have written it."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from bench.launch.slurm import start
from bench.store import make_private


@pytest.mark.parametrize("pickle_is_there", [False, True])
def test_a_foreign_pickle_is_not_loaded_and_one_line_says_why(
    tmp_path: Path, pickle_is_there: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it is to come yet, into a folder that is not private."""
    started: list[str] = []
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.setattr(runpy, "run_module", lambda module, **_: started.append(module))
    monkeypatch.setattr("sys.argv", ["start"])
    folder = make_private(tmp_path / "tiny-1")
    if pickle_is_there:
        (folder / "77_submitted.pkl").touch(0o664)
    words = ["-u", "-m", "submitit.core._submit", str(folder)]
    assert start.main(words) == 0
    assert capsys.readouterr().err == ""

    folder.chmod(0o777)

    assert start.main(words) == 1
    assert started == ["submitit.core._submit"]
    said = capsys.readouterr().err
    assert said.startswith(f"bench: other users may write to {folder} (mode 0777), and jobs execute what lies there")
    assert said.count("\n") == 1
