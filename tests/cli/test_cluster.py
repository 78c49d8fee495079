"""Where runs go is never guessed on a login node; and nothing starts in a folder without locks."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli.sweep import main
from tests.builders import needs

NO_CLUSTER = "sinfo: fatal: Could not establish a configuration source"
DOWN = {
    "refused": "slurm_load_partitions: Unable to contact slurm controller (connect failure)",
    "late": "slurm_load_partitions: Socket timed out on send/recv operation",
    "another key": "slurm_load_partitions: Protocol authentication error",
    "a broken configuration": "fatal: Unable to process configuration file",
}
Put = Callable[[str, str], None]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Puts a command first on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def write(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return write


@pytest.mark.parametrize("case", DOWN)
@pytest.mark.usefixtures("tiny_sweep")
def test_where_slurm_does_not_answer_auto_names_both_ways_out(
    case: str, put: Put, capsys: pytest.CaptureFixture[str]
) -> None:
    put("sbatch", "exit 1")
    put("sinfo", f'echo "sinfo: error: {DOWN[case]}" >&2; exit 1')

    assert main(["tiny", "--scale", "quick"]) == 2

    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert DOWN[case].removeprefix("sinfo: ") in error
    assert "--cluster slurm" in error
    assert "--cluster local" in error
    assert not Path("runs").exists()


@pytest.mark.usefixtures("tiny_sweep")
def test_without_slurm_or_with_its_package_alone_auto_is_this_machine(
    put: Put, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's package brings the commands to machines that are of no cluster."""
    put("sbatch", "exit 1")
    put("sinfo", f'echo "{NO_CLUSTER}" >&2; exit 1')
    assert main(["tiny", "--scale", "quick", "--dry-run"]) == 0
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["tiny", "--scale", "quick", "--dry-run"]) == 0

    assert "slurm:" not in capsys.readouterr().out, "no word of jobs"


@pytest.mark.parametrize("number", [37, 38, 95, 524])  # ENOLCK, ENOSYS, EOPNOTSUPP, the kernel's ENOTSUPP
@pytest.mark.parametrize(
    "options",
    [
        ("--cluster", "inline"),
        ("--cluster", "inline", "--retry"),
        pytest.param(("--cluster", "local", "--no-wait"), marks=needs("submitit")),
    ],
)
@pytest.mark.usefixtures("tiny_sweep")
def test_a_runs_folder_without_locks_is_refused_before_a_run_starts(
    number: int, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)

    assert main(["tiny", "--scale", "quick", "--runs", "there", *options]) == 2

    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "there/tiny: this file system has no working locks" in said.err
    assert "starts" not in said.out
    assert not list(Path("there").rglob("run.json"))
