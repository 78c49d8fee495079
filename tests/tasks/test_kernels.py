"""How the steps of a run are made: what may be asked, who gets it, and that the numbers stay those of the run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.cli import request
from bench.cli.options import parse_kernels
from bench.cli.request import choose_kernels
from bench.cli.sweep import main
from bench.launch import concurrency
from bench.launch.plan import make_plan
from bench.launch.worker import work_until
from bench.nets.resnet import cifar
from bench.spec import Net, Recipe, Resources, Run, SpecError, Views, Way
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


@pytest.mark.parametrize(
    ("text", "way", "words"),
    [
        ("eager", Way(), "eager"),
        ("graph", Way(graph=True), "graph"),
        ("compiled", Way(compile=True), "compiled"),
        ("grouped", Way(batch_norm="grouped"), "grouped batch norm"),
        ("graph,fused", FAST, "graph, fused batch norm"),
        (" fused, compiled ,graph", Way(True, True, "fused"), "graph, compiled, fused batch norm"),
    ],
)
def test_kernels_are_asked_for_in_words_and_said_in_words(text: str, way: Way, words: str) -> None:
    assert parse_kernels(text) == way
    assert str(way) == words


@pytest.mark.parametrize("text", ["", "quick", "graph,", "grouped,fused", "eager,graph", "graph fused", "passes"])
def test_other_words_are_refused_with_those_there_are(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["plain_vs_residual", "--kernels", text])

    assert error.value.code == 2
    some = "write eager, or some of graph, compiled, and one of grouped and fused"
    assert f"--kernels: invalid kernels {text!r}; {some}; see " in capsys.readouterr().err


def test_a_run_cannot_declare_a_batch_norm_that_there_is_not() -> None:
    with pytest.raises(SpecError, match="batch_norm 'quick' is not one of: passes, grouped, fused"):
        Resources(batch_norm="quick")


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


@pytest.mark.usefixtures("measured")
def test_a_stem_that_was_measured_to_be_worth_padding_is_padded_in_runs_that_begin(tmp_path: Path) -> None:
    concurrency.keep([], way=asdict(PADDED))
    (run,) = Asking().chosen(USUAL)
    folder = RunFolder(tmp_path / run.id)
    folder.create(run)

    assert folder.run().resources.way == PADDED
    assert Resources().as_begun(folder.run().resources).way == PADDED
    concurrency.keep([], way={**asdict(PADDED), "padded_stem": "yes"})
    assert concurrency.measured_way() is None
    concurrency.keep([], way={name: value for name, value in asdict(FAST).items() if name != "padded_stem"})
    assert concurrency.measured_way() == FAST, "kept by an older version"


@dataclass(frozen=True)
class Asking:
    """What the command says of kernels."""

    kernels: Way | None = None
    compiled: bool = False
    cluster: str = "local"

    def chosen(self, *runs: Run) -> tuple[Run, ...]:
        return choose_kernels(runs, self.cluster, self.kernels, compiled=self.compiled)

    def ways(self, *runs: Run) -> list[Way]:
        return [run.resources.way for run in self.chosen(*runs)]


def machine(monkeypatch: pytest.MonkeyPatch, *devices: str) -> None:
    for module in (request, concurrency):
        monkeypatch.setattr(module, "cuda_devices", lambda: devices)
    monkeypatch.setattr(concurrency, "hardware", lambda: devices[0] if devices else "a chip")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A GPU on which the fastest way is known."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    machine(monkeypatch, "a GPU")
    concurrency.keep([], way=asdict(FAST))


USUAL = Run("paper", Net("cifar", 20, "A"), "cifar10", Recipe(), 0)
DECLARED = replace(USUAL, seed=1, resources=Resources(graph=True))


def test_what_the_command_asks_for_is_what_all_runs_get(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(monkeypatch)
    monkeypatch.setattr(request, "cxx_compiler", lambda: "g++")
    grouped, both = Way(batch_norm="grouped"), Way(compile=True, batch_norm="grouped")

    assert Asking().ways(USUAL, DECLARED) == [Way(), Way(graph=True)]
    assert Asking(grouped).ways(USUAL, DECLARED) == [grouped] * 2
    assert Asking(Way()).ways(USUAL, DECLARED) == [Way()] * 2, "eager is a way to ask for"
    assert Asking(compiled=True).ways(USUAL, DECLARED) == [Way(compile=True)] * 2
    assert Asking(grouped, compiled=True).ways(USUAL) == Asking(both).ways(USUAL) == [both]
    assert Asking(grouped).chosen(USUAL) == (USUAL,), "kernels are no part of a run"
    assert capsys.readouterr().out == ""
    assert Asking(FAST).ways(USUAL) == [grouped], "what there is without CUDA: a run carried to a GPU goes on with it"
    assert capsys.readouterr().out == (
        "--kernels: no CUDA device here for graph, fused batch norm; runs that begin now train with kernels: grouped "
        "batch norm\n"
    )


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Asking(compiled=True), "--compile: no compiler; runs that begin now train eager"),
        (Asking(Way(compile=True)), "--kernels compiled: no compiler; runs that begin now train eager"),
        (
            Asking(Way(compile=True, batch_norm="grouped")),
            "--kernels compiled: no compiler; runs that begin now train grouped batch norm",
        ),
    ],
)
def test_without_a_compiler_the_rest_of_what_was_asked_for_stays(
    asked: Asking, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(monkeypatch)
    monkeypatch.setattr(request, "cxx_compiler", lambda: None)
    monkeypatch.setattr(request, "no_compiler", lambda: "no compiler")
    way = asked.kernels or Way()

    assert asked.ways(USUAL) == [replace(way, compile=False)]
    assert capsys.readouterr().out == f"{words}\n"
    on_slurm = replace(asked, cluster="slurm")
    assert on_slurm.ways(USUAL) == [replace(way, compile=True)], "what nodes have, only they can say"
    machine(monkeypatch, "a GPU")
    on_cpu = replace(USUAL, seed=2, resources=Resources(gpus=0))
    assert [way.compile for way in asked.ways(USUAL, on_cpu)] == [True, False], "on a GPU no C++ is compiled"


@pytest.mark.usefixtures("measured")
def test_on_a_gpu_runs_that_declare_nothing_else_train_as_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_cpu = replace(USUAL, seed=2, resources=Resources(gpus=0))
    views = replace(Recipe(), views=Views(side=32, shorter=(36, 60), test_shorter=40))
    pictures = Run("paper", Net("imagenet", 18, "A"), "imagenet", views, 0)
    others = (DECLARED, on_cpu, pictures)

    assert Asking().ways(USUAL, *others) == [FAST, Way(graph=True), Way(), Way()]
    said = "kernels: graph, fused batch norm, as measured on this GPU; runs that have begun keep their own\n"
    assert capsys.readouterr().out == said
    assert Asking().ways(*others) == [Way(graph=True), Way(), Way()]
    assert Asking(cluster="slurm").ways(USUAL) == [Way()], "other machines train there"
    assert Asking(Way()).ways(USUAL) == [Way()], "the command has the last word"
    machine(monkeypatch)
    assert Asking().ways(USUAL) == [Way()]
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("measured")
def test_a_run_that_has_begun_keeps_its_way_and_one_that_has_not_takes_the_measured_one(tmp_path: Path) -> None:
    new = replace(USUAL, seed=1)
    for run in (USUAL, new):
        RunFolder(tmp_path / run.id).create(run)
    RunFolder(tmp_path / USUAL.id).checkpoint.touch()

    plan = make_plan(Asking().chosen(USUAL, new), tmp_path, tmp_path)
    for item in plan.items:
        item.folder.create(item.run)

    assert [item.run.resources.way for item in plan.items] == [Way(), FAST]
    assert [item.folder.run().resources.way for item in plan.items] == [Way(), FAST]


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
