"""Slurm's commands are called in one way: nothing of the user's shell changes what they do."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from bench.launch.slurm import commands
from bench.launch.slurm.commands import AnswerError, SlurmError, ask, number_in, patiently, submit
from tests.launch.slurm.fakes import HOSTILE, commands_on_path

NEEDED = {"SLURM_CONF": "/etc/slurm.conf", "SLURM_CONF_SERVER": "ctl:6817", "SLURM_JWT": "token", "BENCH_DATA": "/data",
          "VIRTUAL_ENV": "/venv", "LC_ALL": "de_DE.UTF-8"}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_variable_of_the_shell_does_not_reach_slurm_and_what_jobs_need_does(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in {**NEEDED, name: HOSTILE[name]}.items():
        monkeypatch.setenv(variable, value)

    given = dict(line.split("=", 1) for line in ask("env").splitlines() if "=" in line)

    assert name not in given
    assert {variable: given.get(variable) for variable in NEEDED} == NEEDED
    assert given["PATH"] == os.environ["PATH"]
    assert commands.unread() == [name] * name.startswith("SBATCH_")


ANSWERS = {
    "Slurm's": ("Submitted batch job 77\n", "77"),
    "a banner with a job of another number": ("--> job 24 of 5000...OK\nSubmitted batch job 77\n", "77"),
    "a banner after it": ("Submitted batch job 77\nsee job 24 on https://site\n", "77"),
    "colours": ("\x1b[32mSubmitted batch job 77\x1b[0m\n", "77"),
    "another cluster": ("Submitted batch job 77 on cluster gpu\n", "77"),
    "a wrapper that repeats itself": ("Submitted batch job 24\nSubmitted batch job 77\n", "77"),
    "the bare number": ("77\n", "77"),
    "parsable": ("77;gpu\r\n", "77"),
    "a banner before the bare number": ("job 24 of 5000\n\n77\n", "77"),
    "a count in a line of its own": ("5000\nSubmitted batch job 77\n", "77"),
    "nothing": ("", None),
    "two bare numbers": ("24\n77\n", None),
    "a banner alone": ("--> job 24 of 5000...OK\n", None),
    "a name": ("Submitted batch job tiny-77\n", None),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_the_number_is_read_from_whatever_a_wrapper_prints_around_it(case: str) -> None:
    answer, number = ANSWERS[case]
    if number is not None:
        assert number_in(answer) == number
        return
    with pytest.raises(AnswerError, match="is .* a wrapper") as error:
        number_in(answer)
    assert "\n" not in str(error.value)


def scripts(monkeypatch: pytest.MonkeyPatch, folder: Path, sbatch: str) -> Path:
    """Slurm's commands, first on PATH; returns the file in which they write down what they were asked."""
    monkeypatch.setattr(commands, "PAUSES", ())
    monkeypatch.setenv("PATH", commands_on_path(folder / "bin", sbatch=sbatch, scancel=""))
    return folder / "bin" / "asked"


def test_a_script_is_submitted_under_its_folders_name_with_all_options_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = scripts(monkeypatch, tmp_path, "echo note: job 24 >&2; echo Submitted batch job 77")

    assert submit(tmp_path, "#!/bin/sh\n", ["--time=240", "--requeue"]) == "77"

    words = f"sbatch --job-name={tmp_path.name} --time=240 --requeue {tmp_path}/submission.sh\n"
    assert asked.read_text() == words
    assert (tmp_path / "77_submission.sh").read_text() == "#!/bin/sh\n"


@pytest.mark.parametrize("sbatch", ["echo done", "exit 0", "echo 7; echo 8", "echo Submitted batch job 7; exit 1"])
def test_what_a_failed_try_may_have_left_in_the_queue_is_cancelled_by_its_name(
    sbatch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = scripts(monkeypatch, tmp_path, sbatch)

    with pytest.raises(SlurmError):
        submit(tmp_path, "#!/bin/sh\n", [])

    assert asked.read_text().splitlines()[-1] == f"scancel --me --name={tmp_path.name}"


def test_a_busy_controller_is_asked_again_and_a_refusal_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "PAUSES", (0.0, 0.0))
    errors = [SlurmError("sbatch: Socket timed out"), SlurmError("sbatch: Slurm temporarily unable to accept job")]

    def work() -> str:
        if errors:
            raise errors.pop()
        return "77"

    assert patiently(work) == "77"
    errors.append(SlurmError("sbatch: invalid partition specified: mian"))
    with pytest.raises(SlurmError, match="mian"):
        patiently(work)


def test_one_module_alone_calls_slurms_commands() -> None:
    """Another would forget the environment."""
    room = Path(commands.__file__).parent
    calls = re.compile(r"subprocess\.|os\.system|\.batch\(\)|executor\.submit\(|\bcheck_call")

    assert [path.name for path in sorted(room.glob("*.py")) if calls.search(path.read_text())] == ["commands.py"]
