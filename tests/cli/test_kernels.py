"""Kernels that are asked for or were measured: which words there are, and which runs get them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest

from bench.cli import request
from bench.cli.request import choose_kernels
from bench.cli.sweep import main
from bench.cli.values import parse_kernels
from bench.launch import concurrency
from bench.launch.plan import make_plan
from bench.spec import Net, Recipe, Resources, Run, SpecError, Views, Way
from bench.store import RunFolder

FAST = Way(graph=True, batch_norm="fused")
PADDED = replace(FAST, padded_stem=True)


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
