"""What jobs cost is said before there are any, and a budget is held."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.launch.cost import describe_jobs, disk, hours, refuse_above
from bench.launch.packing import flags, shapes
from bench.launch.plan import Item
from bench.launch.profile import Profile
from bench.launch.worker import work
from bench.spec import Net, Recipe, Resources, Run, SpecError
from bench.store import RunFolder
from tests.conftest import tiny_run

GPU, CORES = Resources(cpus=2, gpus=1, memory_gib=2.0), Resources(cpus=4, gpus=0, memory_gib=1.0)


def item(seed: int, seconds: float | None, resources: Resources = GPU) -> Item:
    run = Run("paper", Net("cifar", 20, "A"), "cifar10", Recipe(), seed, resources=resources)
    return Item(run, RunFolder(Path(run.id)), "pending", seconds)


def test_hours_are_of_gpus_where_runs_have_one_else_of_cores() -> None:
    assert hours([item(0, 3600), item(1, 1800)], Profile()) == (1.5, "GPU-hours")
    assert hours([item(0, 3600, CORES)], Profile()) == (4, "core-hours")
    assert hours([item(0, 3600)], Profile(gpus=0)) == (2, "core-hours")
    assert hours([item(0, 3600), item(1, None)], Profile()) == (None, "GPU-hours")


def test_a_budget_refuses_what_is_above_it_and_what_nobody_knows() -> None:
    refuse_above(1.5, [item(0, 3600), item(1, 1800)], Profile(), "measured")
    with pytest.raises(SpecError, match=r"predicted 1.5 GPU-hours \(measured\) are above --budget 1.4h; nothing"):
        refuse_above(1.4, [item(0, 3600), item(1, 1800)], Profile(), "measured")
    with pytest.raises(SpecError, match="cannot be held: the cost is not known yet"):
        refuse_above(1.4, [item(0, None)], Profile(), "not known yet")


def test_the_plan_says_jobs_arrays_requeues_and_disk() -> None:
    """Ten runs of 3 h, packed by 4 and 2 side by side: 6 h, 6 h and 3 h in turns of 2 h less 5 min."""
    profile = Profile(time=7200, warn=300, pack=4, at_once=2, jobs=2)

    text = describe_jobs([item(seed, 3 * 3600) for seed in range(10)], profile, array_size=2)

    assert text.splitlines() == [
        "slurm: 10 runs in 3 jobs of up to 4 (2 side by side), 2 arrays, at most 2 at once; 2.0 h a job",
        "slurm: 30 GPU-hours, 7 requeues by the time limit",
        "slurm: about 22 MB of disk for checkpoints",
    ]


def test_the_disk_is_that_of_a_real_checkpoint(tmp_path: Path) -> None:
    run = tiny_run()
    folder = RunFolder(tmp_path / run.id)
    folder.create(run)
    work(folder.path, tmp_path)

    assert folder.checkpoint.stat().st_size == pytest.approx(disk([Item(run, folder, "pending", 1)]), rel=0.15)


def test_runs_that_ask_for_different_things_are_in_different_jobs() -> None:
    items = [item(0, 1), item(1, 1, CORES), item(2, 1), item(3, 1)]
    runs = [(one.run, one.folder) for one in items]

    assert [(shape.asked.gpus, [len(pack) for pack in shape.packs]) for shape in shapes(runs, Profile(pack=2))] == [
        (1, [2, 1]),
        (0, [1]),
    ]


def test_a_job_asks_for_the_cores_and_memory_of_the_runs_side_by_side_and_shares_its_gpus() -> None:
    profile = Profile(partition="gpu", pack=5, at_once=3, time=100, extra={"exclusive": True})

    assert flags(profile, replace(GPU, memory_gib=1.5)) == {
        "partition": "gpu", "time": 2, "nodes": 1, "ntasks-per-node": 1, "cpus-per-task": 6, "mem": "5376M",
        "gpus-per-node": 1, "requeue": True, "exclusive": True,
    }  # fmt: skip
