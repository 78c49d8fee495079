"""How many runs share the machine, as was measured or as there is room for, and what each gets."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bench.launch import concurrency
from bench.launch.concurrency import best, gains, keep, measured, measured_way, part_of, refuse_crowd, shared, slots
from bench.launch.local import Local
from bench.spec import Net, Resources, SpecError, Way
from bench.store import RunFolder
from tests.launch.builders import ALONE, BOTH, FAST, RUNS, machine

pytestmark = pytest.mark.usefixtures("two_cores")


def test_what_was_measured_is_kept_by_hardware_and_the_best_of_it_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured() == ()
    keep([ALONE, BOTH], torch="2")
    assert measured() == (ALONE, BOTH)
    assert gains(measured()) == {1: 1.0, 2: 1.15}
    assert best(measured()) == 2
    assert best([ALONE, replace(BOTH, images_per_s=204.0)]) == 1, "2 % more is within the noise"

    died = replace(ALONE, net="resnet-110-A", images_per_s=40.0)
    assert best([ALONE, BOTH, died]) == 1, "a count at which one net died is none to choose"
    machine(monkeypatch, cores=1, devices=())
    assert measured() == (), "a process that may use one core only has not been measured"
    machine(monkeypatch, cores=2, devices=("a GPU",))
    assert measured() == ()
    keep([ALONE])
    machine(monkeypatch, cores=2, devices=())
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
    machine(monkeypatch, cores=2, devices=("a GPU",))
    keep([ALONE])
    assert measured_way() is None, "measured without a word about the way"
    keep([ALONE], way=asdict(FAST))
    assert measured_way() == FAST
    keep([ALONE], way={"graph": True})
    assert measured_way() == Way(graph=True), "of an older version: the rest is as it was then"
    machine(monkeypatch, cores=2, devices=("another GPU",))
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
    machine(monkeypatch, cores=cores, devices=())
    runs = [replace(RUNS[0], resources=Resources(memory_gib=memory)), *RUNS[1:]]

    given, count, why = shared(runs, waiting, None)

    assert (count, {run.resources.cpus for run in given}) == (at_once, {threads})
    assert given[0].resources.memory_gib == memory
    each = f"{at_once} runs at once with {threads} {'thread' if threads == 1 else 'threads'} each"
    assert why == (f"{each}, {ROOM}" if at_once > 1 else "")


def test_a_sweeps_few_threads_and_a_gpu_change_nothing_of_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cores=8, devices=())
    narrow = tuple(replace(run, resources=Resources(cpus=1)) for run in RUNS)
    assert shared(narrow, 4, None) == (narrow, 8, "")
    assert shared(RUNS, 4, 2)[2] == "2 runs at once with 4 threads each, as asked for"
    machine(monkeypatch, cores=8, devices=("a GPU",))
    assert shared(RUNS, 4, None) == (RUNS, 1, "")


def test_a_gpu_is_shared_by_as_many_as_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cores=16, devices=("a GPU", "a GPU"))

    assert slots(Resources()) == 2
    assert slots(Resources(share=3)) == 6
    assert slots(Resources(share=30)) == 60, "runs that share a device are one process: main memory bounds none"
    runs, at_once, why = shared(RUNS, 4, 4)
    assert (at_once, {run.resources.share for run in runs}, {run.resources.cpus for run in runs}) == (4, {2}, {2})
    assert why == "4 runs at once on 2 CUDA devices, as asked for"
    keep([ALONE, replace(ALONE, at_once=2, images_per_s=390.0)])
    assert shared(RUNS, 4, None)[1] == 4, "two on each, as measured on one"


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
    machine(monkeypatch, cores=2, devices=("a GPU",))
    refuse_crowd(99, RUNS)
    on_cpu = [replace(RUNS[0], resources=Resources(gpus=0))]
    with pytest.raises(SpecError, match=r"need 18 GiB, and this machine has 16: at most 8"):
        refuse_crowd(9, on_cpu)


def test_the_part_of_the_machine_is_the_measured_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [part_of(Resources(cpus=n), ()) for n in (1, 2, 3)] == [0.5, 1, 1]
    assert part_of(Resources(cpus=1), (ALONE, BOTH)) == pytest.approx(1.15 / 2)
    machine(monkeypatch, cores=2, devices=("a GPU",))
    assert part_of(Resources(share=4), ()) == 0.25
    measured = (ALONE, replace(ALONE, at_once=2, images_per_s=390.0))
    assert part_of(Resources(share=2), measured) == pytest.approx(0.975)
    assert part_of(Resources(share=3), measured) == pytest.approx(1.95 / 3), "three give what two do, at least"
    assert part_of(Resources(cpus=1, gpus=0), measured) == 0.5, "a run on the processor has nothing of the GPU's"
