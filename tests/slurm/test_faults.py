"""Whatever happens to its jobs, a sweep ends with every run done once and in the bits of the undisturbed sweep."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from tests.builders import results_of
from tests.slurm.shell import Shell, hurrying
from tests.slurm.storm import LOW, Storm

SWEEP_FILE = """
from bench.spec import Net, Recipe, Resources, Scale, Sweep

recipe = Recipe(steps={steps}, drops=(6, 9), batch=8, bn_group=4, test_images=40, curve_every=10, test_every=50)
cells = ((Net("cifar", 8, "none"), recipe), (Net("cifar", 8, "A"), recipe))
SWEEP = Sweep("Tiny", "Does it survive?", "It does.", {{"quick": Scale(cells, (0,))}},
              resources=Resources(cpus=1, gpus=0, memory_gib=1.5, checkpoint_seconds=1.0))
"""


def weather(shell: Shell, *, steps: int, seeds: str, profile: str) -> Storm:
    """The undisturbed sweep on this machine, then the same one on Slurm, under way and without an end."""
    (shell.project / "sweeps" / "tiny.py").write_text(SWEEP_FILE.format(steps=steps))
    apart = ("--out", "calm")
    calm = shell.start("tiny", "--scale", "quick", "--seeds", seeds, "--cluster", "local", *apart)
    out, err = calm.communicate(timeout=1_200)
    assert calm.returncode == 0, out + err
    options = ("--seeds", seeds)
    shell.pause.at(1)
    return Storm(shell, random.Random(1), shell.start_sweep(*options, profile=profile), options, profile)


def check(storm: Storm, said: str) -> None:
    project = storm.shell.project
    assert results_of(project) == results_of(project, "calm"), said
    logs = "".join(path.read_text() for path in (project / "runs/tiny/slurm").glob("*/*_log.out"))
    ended = Counter(line.split(":")[1].strip() for line in logs.splitlines() if line.endswith(": done"))
    assert max(ended.values()) == 1, ended


def test_ten_faults_change_no_bit(shell: Shell) -> None:
    storm = weather(shell, steps=150, seeds="0", profile=LOW)
    with hurrying(storm.cluster):
        kinds = [storm.kill_a_training, storm.requeue, storm.warn_of_the_time_limit, storm.restart_slurmd,
                 storm.kill_a_pack, storm.cancel_a_job_and_start_again, storm.preempt]  # fmt: skip

        storm.blow(kinds, 10, (0.2, 1.0), steps=150)

        check(storm, storm.settle())


@pytest.mark.long
@pytest.mark.timeout(3_000)
def test_a_hundred_faults_change_no_bit(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    """Jobs of one minute on top: Slurm's own time limit requeues each of them."""
    storm = weather(shell, steps=1_000, seeds="0-1", profile=LOW + 'pack = 2\ntime = "1m"\nwarn = "20s"')
    with hurrying(storm.cluster):
        kinds = [storm.kill_a_training, storm.requeue, storm.warn_of_the_time_limit, storm.restart_slurmd,
                 storm.kill_a_pack, storm.cancel_a_job_and_start_again, storm.preempt, storm.kill_the_follower,
                 storm.restart_slurmctld, storm.lose_a_node]  # fmt: skip
        begun = time.monotonic()

        storm.blow([*kinds, *kinds[:5]], 100, (0.2, 1.5), steps=1_000)

        said = storm.settle()
    with capsys.disabled():
        print(f"\n{storm.happened.total()} faults in {time.monotonic() - begun:.0f} s: {dict(storm.happened)}")
    check(storm, said)
