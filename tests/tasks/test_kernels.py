"""How the steps of a run are made: as asked where the task allows, and to the numbers of the run."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.launch.plan import make_plan
from bench.launch.worker import work, work_until
from bench.machine import cxx_compiler
from bench.nets.resnet import cifar
from bench.spec import Net, Resources, Run, Way
from bench.store import RunFolder
from bench.tasks.classification import synthetic
from bench.tasks.classification.cifar import Batches, Prefetched, Prepare
from bench.tasks.training import way_of
from bench.train.checkpoint import weights_digest
from bench.train.graph import Captured
from bench.train.grouped_bn import group_batch_norm
from bench.train.process_group import ALONE, ProcessGroup
from bench.train.trainer import Trainer
from tests.builders import make, numbers, tiny_run
from tests.recorded import capture

FAST = Way(graph=True, batch_norm="fused")
PADDED = replace(FAST, padded_stem=True)
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


TWO = ProcessGroup(size=2)


def test_steps_are_made_as_asked_as_far_as_the_task_allows() -> None:
    asked = Way(graph=True, compile=True, batch_norm="fused")
    run = replace(tiny_run(), resources=Resources().made(asked))

    assert way_of(run, CUDA, ALONE) == asked
    assert way_of(run, CPU, ALONE) == Way(compile=True, batch_norm="grouped"), "no CUDA, no graph and no kernels"
    assert way_of(run, CUDA, TWO) == Way(compile=True), "several processes share the groups"
    assert way_of(replace(run, task="diagnose"), CUDA, ALONE) == Way(graph=True, compile=True)
    assert way_of(replace(run, net=Net("cifar", 8, "A", norm="none")), CUDA, ALONE) == Way(graph=True, compile=True)
    for device in (CPU, CUDA):
        assert way_of(tiny_run(), device, ALONE) == Way()
        grouped = replace(run, resources=Resources(batch_norm="grouped"))
        assert way_of(grouped, device, ALONE) == Way(batch_norm="grouped")


def test_the_stem_is_padded_where_all_groups_go_at_once_in_bf16_and_provenance_says_so() -> None:
    run = replace(tiny_run(precision="bf16"), resources=Resources().made(PADDED))

    assert way_of(run, CUDA, ALONE) == PADDED
    assert str(PADDED) == "graph, fused batch norm, padded stem"
    assert way_of(replace(run, recipe=replace(run.recipe, precision="fp32")), CUDA, ALONE) == FAST
    assert way_of(run, CUDA, TWO) == Way()
    assert way_of(replace(run, task="diagnose"), CUDA, ALONE) == Way(graph=True)


RUN = tiny_run(curve_every=2)


def made(batch_norm: str) -> Run:
    return replace(RUN, resources=replace(RUN.resources, batch_norm=batch_norm))


def worked(folder: RunFolder, stop: Callable[[], bool] = lambda: False) -> str:
    return work_until(folder.path, folder.path, stop)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFolder]:
    """The run in each of the ways, by its batch norm."""
    root = tmp_path_factory.mktemp("straight")
    folders = {name: make(root, made(name), name) for name in ("passes", "grouped", "fused")}
    assert [worked(folder) for folder in folders.values()] == ["done"] * 3
    return folders


def same(ours: RunFolder, theirs: RunFolder) -> bool:
    return numbers(ours) == numbers(theirs) and ours.curve.read_bytes() == theirs.curve.read_bytes()


def test_a_run_in_one_pass_has_the_numbers_of_a_pass_for_each_group_up_to_rounding(
    straight: dict[str, RunFolder],
) -> None:
    """Where a CPU has no fused kernels the groups are torch's, and the provenance says so."""
    kernels = {name: (folder.env() or {})["kernels"] for name, folder in straight.items()}
    assert kernels == {"passes": "eager", "grouped": "grouped batch norm", "fused": "grouped batch norm"}
    for ours, theirs in zip(straight["grouped"].curve_rows(), straight["passes"].curve_rows(), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
    weights = {name: numbers(folder)["weights_sha256"] for name, folder in straight.items()}
    assert weights["grouped"] != weights["passes"]
    assert same(straight["fused"], straight["grouped"])


@pytest.mark.parametrize(("begun", "asked"), [("passes", "grouped"), ("grouped", "passes")])
def test_a_run_goes_on_in_the_way_it_was_begun_in_to_the_same_bits(
    begun: str, asked: str, straight: dict[str, RunFolder], tmp_path: Path
) -> None:
    """Whether it was stopped or has failed; once nothing of it is kept any more, it takes the way asked for."""
    folder, questions = make(tmp_path, made(begun)), iter(range(99))
    assert worked(folder, lambda: next(questions) == 4) == "stopped"
    plan = make_plan([made(asked)], folder.path.parent, tmp_path)
    assert plan.items[0].run.resources.batch_norm == begun
    folder.create(made(asked))
    folder.fail("it raised", retry=False)
    folder.create(made(asked))
    assert folder.run().resources.batch_norm == begun

    assert worked(folder) == "done"

    assert same(folder, straight[begun])
    env = folder.env() or {}
    assert (env["sessions"], env["kernels"]) == (2, str(Way(batch_norm=begun)))
    anew = make(tmp_path, made(begun), "anew")
    anew.create(made(asked))
    assert anew.run().resources.batch_norm == asked


def as_on_a_gpu(precision: str, *, graphs: list[int] | None = None, fused_sgd: bool = True) -> Trainer:
    """A GPU's step on a CPU: choices drawn ahead, images made in the step, all groups at once, fused SGD.

    graphs: by what stands for a CUDA graph here, and counts there how many it captured.
    """

    def counted(work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        assert graphs is not None
        graphs.append(len(graphs))
        return capture(work)

    images = synthetic.stand_in(20, 10)
    batches = Batches(images, Prepare.of(images.train_x), 8, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    net = cifar(8, "A").to(memory_format=torch.channels_last)
    group_batch_norm(net, 2, fused=False)
    about: dict[str, Any] = {"make": batches.make, "one_pass": True, "fused_sgd": fused_sgd}
    about["copied_weights"] = precision == "bf16"
    captured = None if graphs is None else Captured(counted)
    rate = lambda step: 0.1 if step < 6 else 0.01  # noqa: E731
    return Trainer(net, Prefetched(batches), rate, 0.9, 1e-4, 4, precision, captured=captured, **about)


def trained(t: Trainer, steps: int) -> Trainer:
    for _ in range(steps):
        t.update()
    return t


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_step_that_a_gpu_runs_is_the_same_bits_captured_and_eager(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the ends of blocks and epochs, a fall of the rate after the capture, and a resume."""
    monkeypatch.setattr(Prefetched, "BLOCK", 5)
    graphs: list[int] = []
    eager, replayed = trained(as_on_a_gpu(precision), 8), trained(as_on_a_gpu(precision, graphs=graphs), 8)
    resumed = as_on_a_gpu(precision, graphs=[])
    resumed.load_state_dict(copy.deepcopy(replayed.state_dict()))
    every = [trained(t, 5) for t in (eager, replayed, resumed)]

    assert graphs == [0]
    assert len({weights_digest(t.net.state_dict()) for t in every}) == 1
    rows = [t.window() for t in every]
    assert rows[0] == rows[1] == rows[2]


def test_a_rate_that_is_a_number_would_stay_in_the_graph_as_it_was() -> None:
    """Why fused SGD has it in a tensor: the stand-in for a graph knows the difference."""
    eager, replayed = as_on_a_gpu("fp32", fused_sgd=False), as_on_a_gpu("fp32", graphs=[], fused_sgd=False)

    assert weights_digest(trained(eager, 6).net.state_dict()) == weights_digest(trained(replayed, 6).net.state_dict())
    assert weights_digest(trained(eager, 1).net.state_dict()) != weights_digest(trained(replayed, 1).net.state_dict())


def test_a_run_begun_compiled_waits_for_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_run()
    folder = make(tmp_path, replace(run, resources=replace(run.resources, compile=True)))
    monkeypatch.setenv("CXX", "no-such-compiler")

    assert work(folder.path, tmp_path) == "failed"

    error = folder.error()
    assert error is not None
    assert error["retry"]
    assert not error["trace"]
    assert (
        "compiled kernels. torch.compile needs a C++ compiler on a CPU, and there is no no-such-comp"
        in error["message"]
    )
    assert "install one (apt-get install g++) or set CXX" in error["message"]
    folder.create(run)
    assert work(folder.path, tmp_path) == "done", "nothing was trained yet: without --compile it begins eager"
    env = folder.env()
    assert env is not None
    assert (env["kernels"], env["allocator"]) == ("eager", "default")


@pytest.mark.skipif(not cxx_compiler(), reason="needs a C++ compiler: apt-get install g++")
@pytest.mark.long
def test_a_compiled_run_goes_on_compiled_whatever_is_asked_later(tmp_path: Path) -> None:
    run = tiny_run()
    compiled = replace(run, resources=replace(run.resources, compile=True))
    folder, straight = make(tmp_path, compiled), make(tmp_path, compiled, "straight")
    assert work(folder.path, tmp_path, deadline=time.time() - 1) == "stopped"
    folder.create(run)

    assert work(folder.path, tmp_path) == work(straight.path, tmp_path) == "done"

    assert numbers(folder) == numbers(straight)
    env = folder.env()
    assert env is not None
    assert (env["kernels"], env["sessions"]) == ("compiled", 2)
