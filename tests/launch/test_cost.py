"""What jobs cost is said before there are any, and a budget is held."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.sweep import main
from bench.launch.cost import (
    OTHER_BYTES,
    describe_jobs,
    hours,
    kept_bytes,
    refuse_above,
    refuse_unequal,
    room,
    size_words,
    training_bytes,
)
from bench.launch.plan import Item, make_plan
from bench.launch.slurm.packing import flags, shapes
from bench.launch.slurm.profile import Profile
from bench.launch.worker import work
from bench.nets.counts import multiply_adds
from bench.spec import Net, Recipe, Resources, Run, SpecError
from bench.store import RunFolder
from tests.builders import make, tiny_run

GPU, CORES = Resources(cpus=2, gpus=1, memory_gib=2.0), Resources(cpus=4, gpus=0, memory_gib=1.0)


def item(seed: int, seconds: float | None, resources: Resources = GPU) -> Item:
    run = Run("paper", Net("cifar", 20, "A"), "cifar10", Recipe(), seed, resources=resources)
    return Item(run, RunFolder(Path(run.id)), "pending", seconds)


def test_hours_are_of_gpus_where_runs_have_one_else_of_cores() -> None:
    assert hours([item(0, 3600), item(1, 1800)], Profile()) == (1.5, "GPU-hours")
    assert hours([item(0, 3600, CORES)], Profile()) == (4, "core-hours")
    assert hours([item(0, 3600)], Profile(gpus=0)) == (2, "core-hours")
    assert hours([item(0, 3600), item(1, None)], Profile()) == (None, "GPU-hours")


def test_runs_that_share_a_gpu_have_their_part_of_its_hours() -> None:
    """Four runs of 2 h each, all at once on one GPU."""
    assert hours([item(seed, 7200, replace(GPU, share=4)) for seed in range(4)], Profile()) == (2, "GPU-hours")


def test_a_budget_refuses_what_is_above_it_and_what_nobody_knows() -> None:
    refuse_above(1.5, [item(0, 3600), item(1, 1800)], Profile(), "measured")
    with pytest.raises(SpecError, match=r"predicted 1.5 GPU-hours \(measured\) are above --budget 1.4h; nothing"):
        refuse_above(1.4, [item(0, 3600), item(1, 1800)], Profile(), "measured")
    with pytest.raises(SpecError, match="checked: the cost of 1 of 2 runs is not known. Let one"):
        refuse_above(1.4, [item(0, 3600), item(1, None)], Profile(), "measured")


def test_the_plan_says_jobs_arrays_requeues_and_disk() -> None:
    """Ten runs of 3 h, packed by 4 and 2 side by side: 6 h, 6 h and 3 h in turns of 2 h less 5 min."""
    profile = Profile(time=7200, warn=300, pack=4, at_once=2, jobs=2)

    text = describe_jobs([item(seed, 3 * 3600) for seed in range(10)], profile, array_size=2)

    assert text.splitlines() == [
        "slurm: 10 runs in 3 jobs of up to 4 (2 side by side), 2 arrays, at most 2 at once; 2.0 h a job",
        "slurm: 30 GPU-hours, 7 requeues by the time limit",
        "slurm: up to 67 MB of disk while the runs train, 13 MB when they are done",
    ]


def test_the_disk_is_that_of_a_real_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The most at a sync of a checkpoint, when it is there beside the last one and the one before."""
    folder, real, most = make(tmp_path, run := tiny_run(checkpoint_seconds=0)), os.fsync, list[int]()

    def fsync(handle: int) -> None:
        real(handle)
        most.append(size_of(folder.path))

    monkeypatch.setattr(os, "fsync", fsync)
    work(folder.path, tmp_path)

    assert max(most) == pytest.approx(training_bytes(run) - OTHER_BYTES, rel=0.15)
    assert size_of(folder.path) == pytest.approx(kept_bytes(run) - OTHER_BYTES, rel=0.15)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


ONE = training_bytes(item(0, None).run)  # ResNet-20: three checkpoints with momentum, and the rest
KEPT = kept_bytes(item(0, None).run)
TEN = 9 * KEPT + ONE


@pytest.mark.parametrize(
    ("free", "at_once", "words"),
    [
        (TEN, 1, ""),
        (TEN - 1, 1, "disk: 10 runs to do take about 18 MB, and {} has 18 MB free: make room"),
        (TEN, 2, "disk: 10 runs to do take about 24 MB, and {} has 18 MB free: make room"),
        (ONE, 1, "disk: 10 runs to do take about 18 MB, and {} has 6.7 MB free: make room"),
    ],
)
def test_a_disk_that_will_be_full_is_said(
    free: int, at_once: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = disk_of(monkeypatch, free)

    said = room([item(seed, None) for seed in range(10)], tmp_path / "runs" / "tiny", at_once)

    assert said.startswith(words.format(tmp_path))
    assert bool(said) == bool(words)
    assert not words or "`python -m bench clean tiny --dry-run`" in said
    assert asked == [tmp_path], "the folder is not there yet"


def disk_of(monkeypatch: pytest.MonkeyPatch, free: int) -> list[Path]:
    asked = list[Path]()

    def usage(path: Path) -> shutil._ntuple_diskusage:
        asked.append(path)
        return shutil._ntuple_diskusage(2 * free, free, free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    return asked


@pytest.mark.parametrize(("at_once", "first"), [(1, "the first run takes about 6.7 MB"), (3, "the first 3 runs take")])
def test_where_not_even_the_first_runs_have_room_nothing_starts(
    at_once: int, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_of(monkeypatch, at_once * ONE - 1)

    with pytest.raises(SpecError, match=f"disk: {first}.* while training, and .* free; nothing was started: make"):
        room([item(seed, None) for seed in range(10)], tmp_path, at_once)


def test_what_a_run_has_on_the_disk_already_is_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = replace(item(0, None), folder=make(tmp_path, item(0, None).run))
    begun.folder.checkpoint.write_bytes(bytes(2_000_000))
    disk_of(monkeypatch, ONE - 2_000_000)

    assert room([begun], tmp_path, 1) == ""


@pytest.mark.parametrize(("free", "code", "said"), [(10**4, 2, "disk: the first"), (21 * 10**5, 0, "disk: 2 runs")])
def test_a_start_says_it_with_the_plan(
    free: int,
    code: int,
    said: str,
    tiny_sweep: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    disk_of(monkeypatch, free)

    assert main([str(tiny_sweep), "--dry-run", "--scale", "quick", "--cluster", "inline"]) == code

    assert said in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (910, "910 B"), (999.6, "1.0 kB"), (9_949, "9.9 kB"), (34.2e6, "34 MB"), (5.6e9, "5.6 GB")],
)
def test_sizes_have_two_or_three_digits(size: float, words: str) -> None:
    assert size_words(size) == words


def test_runs_that_ask_for_different_things_are_in_different_jobs() -> None:
    items = [item(0, 1), item(1, 1, CORES), item(2, 1), item(3, 1)]
    runs = [(one.run, one.folder) for one in items]

    assert [(shape.asked.gpus, [len(pack) for pack in shape.packs]) for shape in shapes(runs, Profile(pack=2))] == [
        (1, [2, 1]),
        (0, [1]),
    ]


def test_a_job_asks_for_the_cores_and_memory_of_the_runs_side_by_side_and_shares_its_gpus() -> None:
    profile = Profile(partition="gpu", pack=5, at_once=3, time=100, warn=10, extra={"exclusive": True})

    assert flags(profile, replace(GPU, memory_gib=1.5)) == {
        "partition": "gpu", "time": 2, "nodes": 1, "ntasks-per-node": 1, "cpus-per-task": 6, "mem": "5376M",
        "gpus-per-node": 1, "requeue": True, "export": "ALL", "exclusive": True,
    }  # fmt: skip


TWO = replace(GPU, nodes=2)


def test_a_run_of_several_processes_has_its_job_to_itself_with_all_it_asks_for_a_task() -> None:
    profile = Profile(pack=5, at_once=3, time=100, warn=10)
    runs = [(one.run, one.folder) for one in (item(0, 1, TWO), item(1, 1, TWO), item(2, 1), item(3, 1))]

    assert [[len(pack) for pack in shape.packs] for shape in shapes(runs, profile)] == [[1, 1], [2]]
    assert flags(profile, replace(GPU, nodes=2, tasks=4, memory_gib=1.25)) == {
        "time": 2, "nodes": 2, "ntasks-per-node": 4, "cpus-per-task": 2, "mem": "8192M", "gpus-per-node": 4,
        "requeue": True, "export": "ALL",
    }  # fmt: skip


def test_all_processes_of_a_run_are_counted_and_said() -> None:
    items = [item(0, 3600, TWO), item(1, 3600)]

    assert hours(items, Profile()) == (3, "GPU-hours")
    assert hours(items, Profile(nodes=1)) == (2, "GPU-hours")
    assert describe_jobs(items, Profile(time=3600, warn=60), 10).splitlines()[1:3] == [
        "slurm: 1 run of 2 nodes x 1 task = 2 processes each, one run a job",
        "slurm: 3 GPU-hours, 2 requeues by the time limit",
    ]


@pytest.mark.parametrize(("profile", "asked"), [(Profile(nodes=3), GPU), (Profile(), replace(GPU, tasks=4))])
def test_processes_that_cannot_share_the_groups_equally_are_refused(profile: Profile, asked: Resources) -> None:
    """128 images in the paper's groups of 64."""
    refuse_unequal([item(0, 1), item(1, 1, TWO)], Profile())

    words = r"x \d tasks? = \d processes, which cannot share its 2 .* \(128 images by 64\) .* nothing .* one of: 1, 2"
    with pytest.raises(SpecError, match=words):
        refuse_unequal([item(0, 1), item(1, 1, asked)], profile)


def test_a_speed_measured_in_two_processes_is_that_of_two(tmp_path: Path) -> None:
    """80 images/s by two are 40 by one; their speeds are taken to add up."""
    run = Run("paper", Net("cifar", 20, "A"), "cifar10", Recipe(test_images=1), 0)
    header = "id,state,net,multiply_adds,batch,precision,images_per_s,hardware,processes"
    for processes, seconds in (("2", 128 * 64_000 / 40), ("", 128 * 64_000 / 80), ("2; 1", 128 * 64_000 / 80)):
        (tmp_path / "published").mkdir(exist_ok=True)
        (tmp_path / "published" / "runs.csv").write_text(
            f"{header}\na run,done,resnet-20-A,{multiply_adds(run.net)},128,fp32,80,a chip,{processes}\n"
        )

        alone = make_plan([run], tmp_path / "runs", tmp_path).items[0]
        both = make_plan([run], tmp_path / "runs", tmp_path, processes=lambda _: 2).items[0]

        assert alone.seconds == pytest.approx(seconds, rel=1e-4)
        assert both.seconds == pytest.approx(seconds / 2, rel=1e-4)
