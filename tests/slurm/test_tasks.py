"""One run on two nodes of a real Slurm: the curve of one process, every test image once, whatever happens to a task."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bench.cli.sweep import main
from bench.store import RunFolder, folders
from bench.train import checkpoint
from tests.slurm.shell import Shell, hurrying, wait_for
from tests.slurm.storm import LOW, Storm
from tests.tasks.classification.imagenet import little

SWEEP_FILE = """
from bench.spec import Net, Recipe, Resources, Scale, Sweep

recipe = Recipe(steps={steps}, drops=(), batch={batch}, bn_group={group}, curve_every=5, test_every={steps})
cells = ((Net("cifar", {depth}, "A"), recipe),)
SWEEP = Sweep("Two nodes", "Is it one run?", "It is.", {{"quick": Scale(cells, (0,))}},
              resources=Resources(cpus=1, gpus=0, memory_gib=1.5, checkpoint_seconds=1.0, nodes=2))
"""
DATA = os.environ.get("BENCH_DATA")  # before the fixture hides it
APART = ("--out", "in")
TOLERANCE = 1e-5  # of each loss: rounding alone; two groups by two processes add up to the same bits in any order


def only_run(shell: Shell, runs: str = "runs") -> RunFolder:
    (folder,) = folders(shell.project / runs, "tiny").values()
    return folder


def difference(one: RunFolder, other: RunFolder) -> float:
    """The largest relative difference of a loss between two curves of the same steps."""
    rows = list(zip(one.curve_rows(), other.curve_rows(), strict=True))
    assert rows
    assert all(a["step"] == b["step"] for a, b in rows)
    losses = [(a[name], b[name]) for a, b in rows for name in ("loss", "test_loss") if name in a]
    return max(float(abs(a - b) / abs(b)) for a, b in losses)


def ended(folder: RunFolder) -> tuple[dict[str, Any], dict[str, Any]]:
    result, env = folder.result(), folder.env()
    assert result is not None
    assert env is not None
    return result, env


def test_a_run_on_two_nodes_is_the_run_of_one_process(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    """ResNet-20 on all test images; on the real CIFAR-10 where $BENCH_DATA has it."""
    (shell.project / "sweeps" / "tiny.py").write_text(SWEEP_FILE.format(steps=20, batch=32, group=16, depth=20))
    data = ("--data", DATA) if DATA else ()
    assert main(["tiny", "--scale", "quick", "--cluster", "inline", *APART, *data]) == 0
    assert "1 run of several processes: on --cluster inline each trains in one" in capsys.readouterr().out

    done = shell.sweep(*data, profile="memory_gib = 2.5")  # Slurm counts what a job's processes share in each of them

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 run of 2 nodes x 1 task = 2 processes each, one run a job" in done.stdout
    together, alone = only_run(shell), only_run(shell, "in")
    (result, env), (single, _) = ended(together), ended(alone)
    assert (env["processes"], env["sessions"]) == (2, 1)
    assert result["test_images"] == single["test_images"] == (10_000 if DATA else 2_000)
    assert len(result["correct"]) == result["test_images"] // 4
    changed = int(result["correct"], 16) ^ int(single["correct"], 16)
    with capsys.disabled():
        words = f"losses differ by {difference(together, alone):.1e}"
        print(f"\n{words}, {changed.bit_count()} of {result['test_images']:,} images are judged otherwise")
    assert difference(together, alone) < TOLERANCE
    assert changed.bit_count() <= 2


PICTURES = """
from bench.spec import Net, Recipe, Resources, Scale, Sweep, Views

recipe = Recipe(steps=6, drops=(), batch=8, bn_group=4, lr=0.01, test_images=6, curve_every=2, test_every=6,
                views=Views(side=32, shorter=(36, 60), test_shorter=40, scales=(32, 48)))
SWEEP = Sweep("Two nodes", "Is it one run?", "It is.",
              {"quick": Scale(((Net("imagenet", 18, "A"), recipe),), (0,), classes=3)}, data="imagenet",
              resources=Resources(cpus=1, gpus=0, memory_gib=1.5, nodes=2))
"""


def test_images_are_shared_by_two_nodes_in_training_and_in_every_test(
    shell: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shell.project / "sweeps" / "tiny.py").write_text(PICTURES)
    little.folders(tmp_path / "pictures")
    data = ("--data", str(tmp_path / "pictures"))
    assert main(["tiny", "--scale", "quick", "--cluster", "inline", *APART, *data]) == 0
    capsys.readouterr()

    done = shell.sweep(*data)

    assert done.returncode == 0, done.stdout + done.stderr
    together, alone = only_run(shell), only_run(shell, "in")
    (result, env), (single, _) = ended(together), ended(alone)
    assert env["processes"] == 2
    assert difference(together, alone) < 1e-3
    assert result["test_images"] == 6
    for metric in ("ten_crop_error", "multi_scale_error"):
        assert abs(result[metric] - single[metric]) <= 100 / 6 + 1e-9
    assert len(bytes.fromhex(result["correct_by"]["ten_crop_error"])) == 1


def test_processes_that_cannot_share_the_groups_are_refused_before_anything_is_submitted(shell: Shell) -> None:
    (shell.project / "sweeps" / "tiny.py").write_text(SWEEP_FILE.format(steps=20, batch=32, group=16, depth=20))

    done = shell.here("--no-wait", profile="tasks = 2")

    assert done.returncode == 2
    assert "2 nodes x 2 tasks = 4 processes, which cannot share its 2 batch-norm groups" in done.stderr
    assert "their product is one of: 1, 2" in done.stderr
    assert not shell.jobs()


def test_a_run_on_two_nodes_survives_what_happens_to_either(shell: Shell) -> None:
    """kill -9 of a training and of a task; the warning of a time limit to both tasks; an administrator's requeue.

    The run waits at step 10; whenever it has started again it makes one more.
    """
    (shell.project / "sweeps" / "tiny.py").write_text(SWEEP_FILE.format(steps=60, batch=8, group=4, depth=8))
    assert main(["tiny", "--scale", "quick", "--cluster", "inline", *APART]) == 0
    shell.pause.at(10)
    storm = Storm(shell, random.Random(0), shell.start_sweep(profile=LOW), (), LOW)
    with hurrying(shell.cluster):
        wait_for(lambda: saved_step(shell) == 10)
        for fault in (storm.kill_a_training, storm.warn_of_the_time_limit, storm.kill_a_pack, storm.requeue):
            before = saved_step(shell)
            assert fault()
            wait_for(lambda before=before: saved_step(shell) == before + 1)  # type: ignore[misc]  # mypy does not see the default
        shell.pause.lift()

        said = storm.settle()

    together = only_run(shell)
    _, env = ended(together)
    assert difference(together, only_run(shell, "in")) < TOLERANCE, said
    assert env["processes"] == 2
    assert env["sessions"] == 5
    assert (together.path / "log").exists()


def saved_step(shell: Shell) -> int:
    """The step of the run's last checkpoint, 0 before there is one."""
    with suppress(FileNotFoundError, ValueError):  # no checkpoint, no folder
        return int(checkpoint.loads(only_run(shell).checkpoint.read_bytes())["step"])
    return 0
