"""What sbatch is given for packs, and what their jobs find."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from bench.launch.slurm import commands
from bench.launch.slurm.batch import submit_packs
from bench.launch.slurm.executor import Slurm
from bench.launch.slurm.job import Pack
from bench.launch.slurm.profile import Profile
from bench.launch.worker import Stop
from bench.spec import Resources
from bench.store import Submission
from tests.builders import needs
from tests.launch.slurm.fakes import commands_on_path

pytestmark = needs("submitit")


@pytest.mark.parametrize(
    ("count", "array", "log", "found"),
    [
        (1, None, "%j_0_log.out", ["77_submitted.pkl"]),
        (3, "0-2%3", "%A_%a_0_log.out", ["77_0_submitted.pkl", "77_1_submitted.pkl", "77_2_submitted.pkl"]),
    ],
)
def test_all_that_matters_is_on_the_command_line(
    count: int, array: str | None, log: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it wins over the SBATCH_* that a site's wrapper may set again."""
    monkeypatch.setattr(commands, "PAUSES", ())
    bin_ = tmp_path / "bin"
    answer = f"printf '%s\\n' \"$@\" >{tmp_path}/words; echo job 24; echo Submitted batch job 77"
    monkeypatch.setenv("PATH", commands_on_path(bin_, sbatch=answer, scancel="", srun=""))
    profile = Profile("gpu", "vision", time=5400, cpus=4, extra={"mail-type": "FAIL"})
    slurm = Slurm(tmp_path / "my 'runs'", tmp_path, profile, tmp_path, Stop(), print)
    names = tuple((f"run{k}",) for k in range(count))
    submission = Submission(slurm.sweep / "slurm" / "tiny-1")
    submission.create(names)
    asked = Resources(cpus=4, gpus=1, memory_gib=2.0)

    work = [Pack(slurm.sweep, one, tmp_path) for one in names]
    assert submit_packs(slurm._submitit(submission, asked, None), submission.path, work) == "77"

    *words, script = (tmp_path / "words").read_text().splitlines()
    assert script == f"{submission.path}/submission.sh"
    options = dict(word.removeprefix("--").partition("=")[::2] for word in words)
    expected = {
        "job-name": "tiny-1", "time": "90", "partition": "gpu", "account": "vision", "requeue": "", "export": "ALL",
        "open-mode": "append", "signal": "USR2@120", "mail-type": "FAIL", "cpus-per-task": "4", "gpus-per-node": "1",
        "nodes": "1", "output": f"{submission.path}/{log}", "array": array,
    }  # fmt: skip
    assert {name: options.get(name) for name in expected} == expected
    assert sorted(path.name for path in submission.path.glob("*.pkl")) == found
    command = shlex.split((submission.path / "77_submission.sh").read_text().splitlines()[-1])
    assert command[:2] == ["srun", "--unbuffered"]
    assert {"--cpus-per-task=4", str(submission.path)} < set(command)
    assert submission.number == "77"
