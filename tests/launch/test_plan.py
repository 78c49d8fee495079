"""What a plan takes over from runs that have begun, and what it says of time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.sweep_files import load_sweep
from bench.launch.concurrency import keep
from bench.launch.plan import describe, duration, make_plan
from bench.spec import Recipe, Resources
from bench.speed.made_up import finish
from bench.store import RunFolder, StoreError
from tests.launch.builders import ALONE, BOTH, RUNS, machine

pytestmark = pytest.mark.usefixtures("two_cores")


@pytest.mark.parametrize("scale", ["quick", "short", "paper"])
def test_a_plan_of_the_first_sweep_fits_80_columns(scale: str, tmp_path: Path) -> None:
    runs = load_sweep("plain_vs_residual")[1].runs(scale, None, "cifar10")

    text = describe(make_plan(runs, tmp_path / "runs", tmp_path), dict.fromkeys(runs, "warmup_steps=0"))

    lines = text.splitlines()[: len(runs)]
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines] == [run.id for run in runs], "ids are whole: one copies them"


def test_a_plan_says_how_long_a_done_run_took(tmp_path: Path) -> None:
    finish(RunFolder(tmp_path / RUNS[0].id), RUNS[0], 10.0)  # in 30 s

    first, second = describe(make_plan(RUNS[:2], tmp_path, tmp_path)).splitlines()[:2]

    assert first.endswith("done     took 30 s")
    assert "took" not in second


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ((None, None), "cost: not known before the first run here"),
        ((None, 360.0), "cost: not known of 1 of 2 runs; of the others 0.1 run-hours, measured"),
        ((360.0, 360.0), "cost: 0.2 run-hours, measured"),
    ],
)
def test_a_plan_says_of_which_runs_the_cost_is_not_known(
    seconds: tuple[float | None, ...], words: str, tmp_path: Path
) -> None:
    plan = make_plan(RUNS[:2], tmp_path, tmp_path)
    items = (replace(item, seconds=known) for item, known in zip(plan.items, seconds, strict=True))

    text = describe(replace(plan, items=tuple(items), basis="measured", slots=None))

    assert text.splitlines()[-1] == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(42, "42 s"), (420, "7.0 min"), (12_600, "3.5 h"), (5e5, "5.8 days"), (1.1e6, "13 days"), (1.2e8, "1,389 days")],
)
def test_a_duration_has_about_two_digits(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_on_a_cluster_the_profile_says_who_shares(tmp_path: Path) -> None:
    runs = [replace(RUNS[0], resources=Resources(share=4))]

    assert make_plan(runs, tmp_path, tmp_path, here=False).items[0].run.resources == Resources()
    assert make_plan(runs, tmp_path, tmp_path).items[0].run.resources.share == 4


def test_runs_of_other_machines_are_as_fast_as_they_were(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever plans for a cluster sits on a machine that says nothing of its nodes."""
    machine(monkeypatch, cores=64, devices=())
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
