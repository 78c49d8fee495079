"""How many runs share the machine, what each gets, and how long it takes then."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bench.launch import concurrency
from bench.launch.concurrency import (
    Measurement,
    best,
    gains,
    keep,
    measured,
    measured_way,
    part_of,
    refuse_crowd,
    shared,
    slots,
)
from bench.launch.local import Local
from bench.launch.plan import describe, make_plan
from bench.nets.counts import multiply_adds
from bench.nets.speeds import Speed, predicted_seconds, speed_of
from bench.spec import Net, Recipe, Resources, Run, SpecError, Way
from bench.speed import processes
from bench.speed.command import measure_at_once
from bench.speed.made_up import finish
from bench.store import RunFolder, StoreError

NET = Net("cifar", 20, "A")
WORK = multiply_adds(NET)
RUNS = tuple(Run("paper", NET, "cifar10", Recipe(), seed) for seed in range(4))
ALONE = Measurement("resnet-20-A", WORK, 128, "fp32", 1, 2, 2, 200.0)
FAST = Way(graph=True, batch_norm="fused")
BOTH = replace(ALONE, at_once=2, threads=1, images_per_s=230.0)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two cores, 16 GiB, no GPU, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _machine(monkeypatch, cores=2, devices=())


def _machine(monkeypatch: pytest.MonkeyPatch, *, cores: int, devices: tuple[str, ...]) -> None:
    monkeypatch.setattr(concurrency, "cores", lambda: cores)
    monkeypatch.setattr(concurrency, "cuda_devices", lambda: devices)
    for module in ("concurrency", "plan"):
        monkeypatch.setattr(f"bench.launch.{module}.hardware", lambda: devices[0] if devices else "a chip")
    monkeypatch.setattr(concurrency, "memory_gib", lambda: 16.0)


def test_what_was_measured_is_kept_by_hardware_and_the_best_of_it_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured() == ()
    keep([ALONE, BOTH], torch="2")
    assert measured() == (ALONE, BOTH)
    assert gains(measured()) == {1: 1.0, 2: 1.15}
    assert best(measured()) == 2
    assert best([ALONE, replace(BOTH, images_per_s=204.0)]) == 1, "2 % more is within the noise"

    died = replace(ALONE, net="resnet-110-A", images_per_s=40.0)
    assert best([ALONE, BOTH, died]) == 1, "a count at which one net died is none to choose"
    _machine(monkeypatch, cores=1, devices=())
    assert measured() == (), "a process that may use one core only has not been measured"
    _machine(monkeypatch, cores=2, devices=("a GPU",))
    assert measured() == ()
    keep([ALONE])
    _machine(monkeypatch, cores=2, devices=())
    assert measured() == (ALONE, BOTH), "another hardware's measurement leaves it alone"


ODD = {"at_once": "2", "threads": None, "images_per_s": 0, "work": -1, "net": 3, "cores": 2.5, "batch": "x"}


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"a chip": {"rows": [{"net": 1}]}}', '{"a chip": 3}', '{"a chip": {"rows": 3}}'),
        *(json.dumps({"a chip": {"rows": [{**asdict(ALONE), name: value}]}}) for name, value in ODD.items()),
        json.dumps({"a chip": {"rows": [{**asdict(ALONE), "images_per_s": "x"}]}}),
    ],
)
def test_a_damaged_measurement_is_as_good_as_none(text: str) -> None:
    keep([ALONE])
    concurrency.measurements().write_text(text)

    assert measured() == ()
    keep([ALONE])
    assert measured() == (ALONE,)


def test_runs_share_the_cores_as_measured_and_never_more_than_there_are_runs() -> None:
    keep([ALONE, BOTH])

    runs, at_once, why = shared(RUNS, 4, None)
    assert (at_once, {run.resources.cpus for run in runs}) == (2, {1})
    assert runs == RUNS, "what a run gets is no part of it"
    assert why == f"2 runs at once with 1 thread each, as measured on this machine ({concurrency.measurements()})"
    runs, at_once, why = shared(RUNS, 1, None)
    assert (at_once, {run.resources.cpus for run in runs}, why) == (1, {2}, "")
    special = tuple(replace(run, resources=Resources(cpus=2, memory_gib=3.0)) for run in RUNS)
    assert "as there is room for" in shared(special, 4, None)[2], "not what was measured"
    assert shared(RUNS, 4, 0) == (RUNS, 1, ""), "one after another"
    larger = (replace(RUNS[0], net=Net("cifar", 110, "A")), *RUNS)
    assert "as there is room for" in shared(larger, 5, None)[2], "nobody measured a net of 110 layers"
    compiled = [replace(run, resources=Resources(compile=True)) for run in RUNS]
    assert "as measured" in shared(compiled, 4, None)[2], "how its kernels are made is nothing special"
    keep([ALONE, replace(BOTH, images_per_s=190.0)])
    assert shared(RUNS, 4, None)[1] == 1, "where two at once were measured to be slower"


def test_the_way_that_was_measured_is_known_on_its_hardware_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured_way() is None
    _machine(monkeypatch, cores=2, devices=("a GPU",))
    keep([ALONE])
    assert measured_way() is None, "measured without a word about the way"
    keep([ALONE], way=asdict(FAST))
    assert measured_way() == FAST
    keep([ALONE], way={"graph": True})
    assert measured_way() == Way(graph=True), "of an older version: the rest is as it was then"
    _machine(monkeypatch, cores=2, devices=("another GPU",))
    assert measured_way() is None


@pytest.mark.parametrize(
    "way", [3, None, [], {"speed": 1}, {"graph": "yes"}, {"graph": 1}, {"compile": None}, {"batch_norm": "quick"}]
)
def test_a_damaged_way_is_as_good_as_none(way: Any) -> None:
    keep([ALONE], way=way)

    assert measured_way() is None
    assert measured() == (ALONE,)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a chip": 3}', '{"a chip": {"way": "graph"}}'])
def test_a_damaged_file_says_no_way(text: str) -> None:
    keep([ALONE], way=asdict(FAST))
    concurrency.measurements().write_text(text)

    assert measured_way() is None


ROOM = "as there is room for: runs side by side gain more than threads inside one (else say --at-once N)"


@pytest.mark.parametrize(
    ("cores", "waiting", "memory", "at_once", "threads"),
    [
        (2, 9, 2.0, 2, 1),
        (2, 1, 2.0, 1, 2),
        (16, 9, 2.0, 8, 2),
        (16, 3, 2.0, 3, 5),
        (16, 9, 6.0, 2, 8),
        (4, 9, 32.0, 1, 4),
    ],
)
def test_where_nothing_was_measured_runs_are_side_by_side_on_a_processor(
    cores: int, waiting: int, memory: float, at_once: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _machine(monkeypatch, cores=cores, devices=())
    runs = [replace(RUNS[0], resources=Resources(memory_gib=memory)), *RUNS[1:]]

    given, count, why = shared(runs, waiting, None)

    assert (count, {run.resources.cpus for run in given}) == (at_once, {threads})
    assert given[0].resources.memory_gib == memory
    each = f"{at_once} runs at once with {threads} {'thread' if threads == 1 else 'threads'} each"
    assert why == (f"{each}, {ROOM}" if at_once > 1 else "")


def test_a_sweeps_few_threads_and_a_gpu_change_nothing_of_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, cores=8, devices=())
    narrow = tuple(replace(run, resources=Resources(cpus=1)) for run in RUNS)
    assert shared(narrow, 4, None) == (narrow, 8, "")
    assert shared(RUNS, 4, 2)[2] == "2 runs at once with 4 threads each, as asked for"
    _machine(monkeypatch, cores=8, devices=("a GPU",))
    assert shared(RUNS, 4, None) == (RUNS, 1, "")


def test_a_gpu_is_shared_by_as_many_as_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, cores=16, devices=("a GPU", "a GPU"))

    assert slots(Resources()) == 2
    assert slots(Resources(share=3)) == 6
    assert slots(Resources(share=30)) == 60, "runs that share a device are one process: main memory bounds none"
    runs, at_once, why = shared(RUNS, 4, 4)
    assert (at_once, {run.resources.share for run in runs}, {run.resources.cpus for run in runs}) == (4, {2}, {2})
    assert why == "4 runs at once on 2 CUDA devices, as asked for"
    keep([ALONE, replace(ALONE, at_once=2, images_per_s=390.0)])
    assert shared(RUNS, 4, None)[1] == 4, "two on each, as measured on one"


def test_on_a_cluster_the_profile_says_who_shares(tmp_path: Path) -> None:
    runs = [replace(RUNS[0], resources=Resources(share=4))]

    assert make_plan(runs, tmp_path, tmp_path, here=False).items[0].run.resources == Resources()
    assert make_plan(runs, tmp_path, tmp_path).items[0].run.resources.share == 4


def test_runs_of_other_machines_are_as_fast_as_they_were(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever plans for a cluster sits on a machine that says nothing of its nodes."""
    _machine(monkeypatch, cores=64, devices=())
    finish(RunFolder(tmp_path / "sweep" / RUNS[0].id), RUNS[0], 10.0)  # 30 s, on hardware "made up"

    item = make_plan(RUNS[1:2], tmp_path / "sweep", tmp_path, here=False).items[0]

    assert item.seconds == pytest.approx(30)


def test_a_plan_takes_over_threads_and_nothing_else(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / RUNS[0].id)
    folder.create(replace(RUNS[0], resources=Resources(cpus=1, memory_gib=1.0)))
    folder.checkpoint.touch()

    assert make_plan(RUNS[:1], tmp_path, tmp_path).items[0].run.resources == Resources(cpus=1)
    assert make_plan(RUNS[:1], tmp_path, tmp_path, here=False).items[0].run.resources == Resources()
    folder.create(RUNS[0])
    assert folder.run().resources == Resources(cpus=1, memory_gib=1.0), "it is stopped: only its threads matter"
    folder.path.joinpath("run.json").write_text("{")
    assert make_plan(RUNS[:1], tmp_path, tmp_path).items[0].run == RUNS[0], "the start will say that it is damaged"
    folder.path.joinpath("run.json").unlink()
    folder.create(RUNS[1])
    folder.checkpoint.touch()
    with pytest.raises(StoreError, match="holds another run"):
        folder.create(make_plan(RUNS[:1], tmp_path, tmp_path).items[0].run)


def test_a_plan_takes_over_the_kernels_of_what_was_begun(tmp_path: Path) -> None:
    compiled = [replace(run, resources=Resources(compile=True)) for run in RUNS[:3]]
    for run, begun, kept in ((RUNS[0], RUNS[0], True), (RUNS[1], compiled[1], True), (RUNS[2], RUNS[2], False)):
        folder = RunFolder(tmp_path / run.id)
        folder.create(begun)
        if kept:
            folder.checkpoint.touch()

    plan = make_plan(compiled, tmp_path, tmp_path)

    assert [item.run.resources.compile for item in plan.items] == [False, True, True]
    assert [item.run.resources.compile for item in make_plan(RUNS[:3], tmp_path, tmp_path).items] == [
        False,
        True,
        False,
    ]
    RunFolder(tmp_path / RUNS[1].id).fail("it diverged", retry=False)
    assert make_plan(RUNS[1:2], tmp_path, tmp_path, retry=True).items[0].run.resources.compile
    assert [item.run.id for item in plan.items] == [run.id for run in RUNS[:3]]


@pytest.mark.parametrize("here", [True, False])
def test_a_plan_says_what_runs_keep_of_how_they_were_begun(here: bool, tmp_path: Path) -> None:
    graph, other = Resources(cpus=1, graph=True, batch_norm="fused"), Resources(cpus=1)
    begun = [replace(run, resources=own) for run, own in zip(RUNS, (graph, graph, other, graph), strict=True)]
    for run in begun:
        RunFolder(tmp_path / run.id).create(run)
        RunFolder(tmp_path / run.id).checkpoint.touch()
    RunFolder(tmp_path / begun[3].id).fail("no step", retry=False)

    def said(asked: Resources, *, retry: bool = False) -> list[str]:
        runs = [replace(run, resources=asked) for run in RUNS]
        text = describe(make_plan(runs, tmp_path, tmp_path, here=here, at_once=0, retry=retry))
        return [
            line for line in text.splitlines() if line.startswith("runs that have begun keep what they began with: ")
        ]

    assert said(Resources(cpus=1, compile=True))[0].endswith(
        "with: kernels graph, fused batch norm (2 runs); kernels eager (1 run)"
    )
    assert said(graph)[0].endswith("with: kernels eager (1 run)")
    assert said(replace(graph, cpus=2))[0].endswith("with: 1 thread (3 runs); kernels eager (1 run)")
    assert said(replace(graph, cpus=2), retry=True)[0].endswith("with: 1 thread (4 runs); kernels eager (1 run)")
    for run in begun:
        RunFolder(tmp_path / run.id).checkpoint.unlink()
    assert said(Resources(cpus=1, compile=True)) == [], "nothing of them was trained yet"


def test_runs_are_spread_over_the_devices_and_come_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bench.launch.local.device_tokens", lambda: ("0", "1"))
    local = Local(tmp_path, 4, None)

    taken = [local._take_devices(1) for _ in range(4)]
    assert taken == [("0",), ("1",), ("0",), ("1",)]

    class Over:
        def done(self) -> bool:
            return True

    local._jobs[tmp_path] = (RunFolder(tmp_path), Over(), ("1",))
    local.ended()
    assert local._take_devices(1) == ("1",), "the one with the fewest"
    assert set(local._take_devices(2)) == {"0", "1"}


def test_a_crowd_is_refused_with_what_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_crowd(2, RUNS)
    refuse_crowd(1, [replace(RUNS[0], resources=Resources(memory_gib=32.0))])
    with pytest.raises(SpecError, match="--at-once 3: this process may use 2 cores"):
        refuse_crowd(3, RUNS)
    _machine(monkeypatch, cores=2, devices=("a GPU",))
    refuse_crowd(99, RUNS)
    on_cpu = [replace(RUNS[0], resources=Resources(gpus=0))]
    with pytest.raises(SpecError, match=r"need 18 GiB, and this machine has 16: at most 8"):
        refuse_crowd(9, on_cpu)


def test_the_part_of_the_machine_is_the_measured_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [part_of(Resources(cpus=n), ()) for n in (1, 2, 3)] == [0.5, 1, 1]
    assert part_of(Resources(cpus=1), (ALONE, BOTH)) == pytest.approx(1.15 / 2)
    _machine(monkeypatch, cores=2, devices=("a GPU",))
    assert part_of(Resources(share=4), ()) == 0.25
    measured = (ALONE, replace(ALONE, at_once=2, images_per_s=390.0))
    assert part_of(Resources(share=2), measured) == pytest.approx(0.975)
    assert part_of(Resources(share=3), measured) == pytest.approx(1.95 / 3), "three give what two do, at least"
    assert part_of(Resources(cpus=1, gpus=0), measured) == 0.5, "a run on the processor has nothing of the GPU's"


def test_training_and_tests_are_predicted_apart() -> None:
    """200 images/s in training and 1,000 in testing: 64 tests of 10,000 images."""
    known = Speed("resnet-20-A", WORK, 128, "fp32", 200.0, "a chip", 10_000, 1_000.0)
    whole = 64_000 * 128 / 200 + 64 * 10

    assert predicted_seconds(RUNS[0], 0, [known]) == pytest.approx(whole)
    assert predicted_seconds(RUNS[0], 32_000, [known]) == pytest.approx(whole / 2)
    assert predicted_seconds(RUNS[0], 0, [known], part=0.5) == pytest.approx(2 * whole)
    assert predicted_seconds(RUNS[0], 0, [replace(known, part=0.5)]) == pytest.approx(whole / 2)
    assert predicted_seconds(RUNS[0], 0, [replace(known, part=None)], part=0.5) == pytest.approx(whole)
    deep = replace(RUNS[0], net=Net("cifar", 110, "A"))
    assert predicted_seconds(deep, 0, [known]) == pytest.approx(whole * multiply_adds(deep.net) / WORK)
    untested = replace(known, tested=0, tested_per_s=0.0)
    assert predicted_seconds(RUNS[0], 0, [untested]) == pytest.approx(64_000 * 128 / 200 + 64 * 10_000 / 600)
    assert predicted_seconds(RUNS[0], 0, []) is None


def test_its_own_batch_and_net_count_before_others() -> None:
    small = Speed("resnet-20-A", WORK, 32, "fp32", 100.0, "a chip")
    other = Speed("resnet-32-A", 2 * WORK, 128, "fp32", 150.0, "a chip")
    own = replace(small, batch=128, images_per_s=250.0)
    bare = replace(RUNS[0], recipe=replace(Recipe(), test_images=1))

    def rate(*known: Speed) -> float:
        return 64_000 * 128 / (predicted_seconds(bare, 0, known) or 0)

    assert rate(small) == pytest.approx(100, rel=1e-3)
    assert rate(small, other) == pytest.approx(300, rel=1e-3)
    assert rate(small, other, own) == pytest.approx(250, rel=1e-3)


def test_what_tests_took_is_taken_off_a_finished_run() -> None:
    """100 s, of which two tests of 1,000 images took 10 s each."""
    recipe = Recipe(steps=200, drops=(), batch=32, bn_group=32, test_images=1_000, curve_every=20, test_every=100)
    run = Run("quick", NET, "cifar10", recipe, 0)
    row: dict[str, Any] = {
        **{name: getattr(recipe, name) for name in ("steps", "batch", "test_every", "precision")},
        "seconds": 100.0, "images_per_s": 64.0, "test_images": 1_000, "test_images_per_s": 100.0,
    }  # fmt: skip

    speed = speed_of("resnet-20-A", WORK, row, "a chip", 1.0)

    assert speed.images_per_s == pytest.approx(80)
    assert predicted_seconds(run, 0, [speed]) == pytest.approx(100)
    slow = speed_of("resnet-20-A", WORK, {**row, "test_images_per_s": 1.0}, "a chip", 1.0)
    assert (slow.images_per_s, slow.tested) == (64, 0), "a last test on a busy machine says nothing of the others"
    assert predicted_seconds(run, 0, [slow]) == pytest.approx(100), "its speed has the tests in it"
    processes = speed_of("resnet-20-A", WORK, {**row, "processes": "2"}, "a chip", 1.0)
    assert predicted_seconds(run, 0, [processes]) == pytest.approx(200)
    tests = speed_of("resnet-20-A", WORK, {**row, "test_images_per_s": 2_000 / 80}, "a chip", 1.0)
    assert predicted_seconds(run, 0, [tests]) == pytest.approx(100), "mostly tests"


def test_a_plan_on_a_measured_machine_says_so_and_what_was_begun_keeps_its_threads(tmp_path: Path) -> None:
    keep([ALONE, BOTH])
    runs = [replace(run, recipe=replace(Recipe(), test_images=1)) for run in RUNS]

    plan = make_plan(runs, tmp_path / "runs", tmp_path)

    assert plan.slots == 2
    assert plan.items[0].seconds == pytest.approx(64_000 * 128 / 115, rel=1e-3)
    text = describe(plan)
    assert "2 runs at once with 1 thread each, as measured on this machine" in text
    assert "about 40 h here (2 at once), by `bench speed together` on this machine" in text

    begun = RunFolder(tmp_path / "runs" / runs[0].id)
    begun.create(runs[0])
    begun.create(plan.items[0].run)
    assert begun.run().resources.cpus == 1, "nothing of it was trained yet"
    begun.checkpoint.touch()
    begun.create(runs[0])
    assert begun.run().resources.cpus == 1
    again = make_plan(runs, tmp_path / "runs", tmp_path, at_once=1)
    assert [item.run.resources.cpus for item in again.items] == [1, 2, 2, 2]


@pytest.mark.team
def test_two_nets_train_at_once_and_a_death_is_no_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = measure_at_once(Net("cifar", 8, "A"), "fp32", (1, 2), tmp_path, seconds=0.3)

    assert [row.at_once for row, _, _ in found] == [1, 2]
    for row, rounds, peak in found:
        assert len(rounds) == 2
        assert min(rounds) <= row.images_per_s <= max(rounds)
        assert 0.1 < peak < 16
        assert asdict(row)["work"] == multiply_adds(Net("cifar", 8, "A"))

    monkeypatch.setattr(processes, "_train", _dies)
    assert measure_at_once(NET, "fp32", (1,), tmp_path, seconds=0.3) == []


def _dies(*_: object) -> None:
    raise SystemExit(1)
