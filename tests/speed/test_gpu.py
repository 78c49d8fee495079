"""`bench speed gpu`: which way is fastest among those that are right, and what is kept of it. Its checks run in CI."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bench.cli.commands import main
from bench.launch import concurrency
from bench.launch.concurrency import measured_way
from bench.spec import Net, Recipe, Way
from bench.speed import convolutions, gpu, gpu_checks
from bench.speed.convolutions import Convolution, padding_pays
from bench.speed.gpu import COPIED, PAIR, Found, Rate, is_right, ways
from bench.speed.gpu_checks import Bench, Check, checked
from bench.speed.kept import Kept
from bench.tasks.classification import synthetic
from bench.train import copied_weights

FUSED, GRAPH, EAGER = Way(True, False, "fused"), Way(True), Way()
GROUPED = Way(batch_norm="grouped")
CPU = torch.device("cpu")


def small() -> Bench:
    recipe = Recipe(precision="bf16", batch=8, bn_group=4)
    return Bench(synthetic.stand_in(100, 50), recipe, (Net("cifar", 8, "A"), Net("cifar", 8, "none")), 8)


def found(*passed: str, rates: tuple[Rate, ...] = ()) -> Found:
    return Found("a GPU", None, checks=[Check(name, True, "") for name in passed], rates=list(rates))


def all_of(way: Way) -> tuple[str, ...]:
    return (f"{way}: resume", f"{way}: NaN", f"{way}: graph = eager")


def test_on_a_gpu_there_are_eleven_ways_and_the_likely_best_comes_first() -> None:
    names = [str(way) for way in ways(torch.device("cuda"))]

    assert names[:2] == ["graph, fused batch norm", "graph, grouped batch norm"]
    assert len(names) == len(set(names)) == 10
    assert not any("compiled, fused" in name for name in names)
    assert [str(way) for way in ways(CPU)] == ["grouped batch norm", "eager"]


def test_a_way_is_right_when_all_of_its_checks_have_passed() -> None:
    every = ("fused batch norm", COPIED, *all_of(FUSED))
    assert is_right(FUSED, found(*every))
    for missing in every:
        assert not is_right(FUSED, found(*(name for name in every if name != missing))), missing
    wrong = found(COPIED, *all_of(FUSED))
    wrong.checks.append(Check("fused batch norm", False, "2 from fp64"))
    assert not is_right(FUSED, wrong)
    assert is_right(EAGER, found("eager: resume", "eager: NaN"))
    assert is_right(Way(True, True), found(*all_of(GRAPH))), (
        "a compiled way rounds otherwise: its eager kind is checked"
    )


def test_a_check_that_raises_has_failed_and_says_why_in_a_line() -> None:
    def lost() -> str:
        raise RuntimeError("CUDA error: misaligned address\nCompile with ...")

    assert checked("x", lost) == Check("x", False, "RuntimeError: CUDA error: misaligned address")


def test_the_ten_nets_are_reckoned_on_the_line_between_the_two_that_were_measured() -> None:
    rates = (Rate(GRAPH, "bf16", PAIR[0], 1.0), Rate(GRAPH, "bf16", PAIR[1], 4.0))
    bench = Bench(synthetic.stand_in(10, 10), Recipe(), PAIR, 1)

    depths = [20, 32, 44, 56, 110] * 2
    assert gpu._seconds_alone(bench, found(rates=rates), GRAPH) == pytest.approx(
        64 * sum(1 + (depth - 20) / 30 for depth in depths)
    )


def test_the_checks_hold_on_a_cpu_and_notice_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = small()
    assert "from fp64" in gpu_checks.fused_sgd(bench)
    assert "NaN weights" in gpu_checks.nan_shows(bench, EAGER)
    assert "2 steps" in gpu_checks.together_is_alone(bench, EAGER)
    assert "drops" in gpu_checks.resumes(bench, GROUPED)
    assert "2 steps" in gpu_checks.copied_is_autocast(bench, GROUPED)

    seeds = iter(range(9))  # each training from a seed of its own, as if side by side were not alone
    trainer = Bench.trainer
    monkeypatch.setattr(
        Bench, "trainer", lambda self, net, way, **recipe: trainer(self, net, way, next(seeds), **recipe)
    )
    assert not checked("x", lambda: gpu_checks.together_is_alone(bench, EAGER)).passed
    assert "other weights than one that was not stopped" in checked("x", lambda: gpu_checks.resumes(bench, EAGER)).words
    monkeypatch.undo()
    monkeypatch.setattr(copied_weights, "_copied", lambda tensors, dtype: tuple(1.01 * t.to(dtype) for t in tensors))
    copied = checked(COPIED, lambda: gpu_checks.copied_is_autocast(bench, GROUPED))
    assert copied == Check(COPIED, False, "AssertionError: resnet-8-A has other weights after 2 steps")


def rows(stem: float, padded: float, kind: str = convolutions.USUAL) -> list[Convolution]:
    """A table in which the inputs' gradients, for which no stem is asked, would say the opposite."""
    return [
        Convolution("3 to 16, 32x32", kind, stem / 2, padded, stem / 2),
        Convolution("8 to 16, 32x32", kind, padded / 2, stem, padded / 2),
    ]


def test_padding_pays_where_the_table_says_so_clearly() -> None:
    assert padding_pays(rows(1.0, 0.66))
    assert not padding_pays(rows(1.0, 0.68))
    assert not padding_pays(rows(1.0, 0.1, "fp32, channels last"))
    assert not padding_pays(rows(1.0, 0.1)[:1])
    assert not padding_pays(rows(1.0, 0.1)[1:])
    assert not padding_pays([])
    names = {one.name for one in convolutions.convolutions(small(), 1) if one.kind == convolutions.USUAL}
    assert {row.name for row in rows(1, 1)} <= names


@pytest.mark.parametrize("right", [True, False])
def test_a_stem_that_is_slow_is_padded_in_all_ways_that_can_if_that_is_right(
    right: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "convolutions", lambda *_: iter(rows(1.0, 0.1)))
    monkeypatch.setattr(gpu, "floor_seconds", lambda *_: 1.0)
    if not right:
        monkeypatch.setattr(gpu_checks, "CopiedWeights", lambda net, **_: lambda x: 1.1 * net(x))
    f = found()

    gpu._table(small(), f, math.inf)

    assert f.padded_stem is right
    assert f"{'right' if right else 'WRONG'}  padded stem: " in capsys.readouterr().out
    padded = [way for way in ways(torch.device("cuda"), padded_stem=f.padded_stem) if way.padded_stem]
    assert len(padded) == (6 if right else 0)
    assert all(way.one_pass for way in padded)


def test_a_convolution_that_cannot_be_timed_ends_the_table_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Iterator[Convolution]:
        yield rows(1.0, 1.0)[0]
        raise RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED")

    monkeypatch.setattr(gpu, "convolutions", broken)
    f = found()

    gpu._table(small(), f, math.inf)

    assert len(f.convolutions) == 1
    assert f.failed == ["the other convolutions: RuntimeError: cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"]


def test_weights_are_looked_at_when_the_device_has_come_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step may still be on a slot's stream, and what reads the weights is on another."""
    done: list[str] = []
    trainer = small().trainer(PAIR[0], EAGER)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: done.append("waited"))
    monkeypatch.setattr(gpu_checks, "weights_digest", lambda _: done.append("read"))

    gpu_checks.digest(trainer)

    assert done == ["waited", "read"]


def test_the_kernels_that_are_checked_are_compiled_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    fused_bn = pytest.importorskip("bench.train.fused_bn", reason="no Triton: it comes with torch's CUDA builds")
    ahead: set[tuple[object, ...]] = set()
    checked_then: set[tuple[object, ...]] = set()

    def compile_ahead(maps: list[tuple[int, ...]], groups: int, dtype: torch.dtype) -> float:
        ahead.update((dtype, shape, groups) for shape in maps)
        return 0.25

    def apart(_: Bench, dtype: torch.dtype, shape: tuple[int, int], __: bool) -> float:
        checked_then.add((dtype, (8, shape[0], shape[1], shape[1]), 2))
        return 0.0

    monkeypatch.setattr(fused_bn, "compile_ahead", compile_ahead)
    monkeypatch.setattr(gpu_checks, "_apart", apart)

    assert "compiled in 0.5 s" in gpu_checks.fused_batch_norm(small())
    assert ahead == checked_then
    assert len(ahead) == 4


def test_the_best_right_way_is_kept_for_runs_that_begin_and_a_failing_one_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a made-up GPU: fused batch norm fails to compile, the plain graph is fastest, four at once gain most."""
    monkeypatch.setattr(concurrency, "hardware", lambda: "a GPU")
    monkeypatch.setattr(gpu, "hardware", lambda: "a GPU")
    monkeypatch.setattr(gpu, "_bench", lambda *_: Bench(synthetic.stand_in(10, 10), Recipe(), PAIR, 1))
    monkeypatch.setattr(gpu, "ways", lambda *_, **__: iter([FUSED, GRAPH, EAGER]))
    every = (
        "fused batch norm",
        COPIED,
        *(name for way in (FUSED, GRAPH, EAGER) for name in all_of(way)),
        f"{GRAPH}: crew = alone",
    )
    monkeypatch.setattr(gpu, "_check", lambda _, f, __: f.checks.extend(Check(name, True, "") for name in every))
    monkeypatch.setattr(gpu, "_table", lambda *_: None)

    def step(_: Bench, net: Net, way: Way) -> float:
        if way == FUSED:
            raise RuntimeError("out of registers\nin a kernel")
        return (1.0 if way == GRAPH else 5.0) * net.depth / 20

    monkeypatch.setattr(gpu, "_step_ms", step)
    monkeypatch.setattr(gpu, "_gain", lambda _, __, ___, count: {1: 1.0, 4: 3.0, 10: 2.0}[count])

    assert gpu.measure(None, 60, Kept(tmp_path / "f.json", ["gpu"]), CPU, rehearse=False) == 0

    kept = json.loads((tmp_path / "f.json").read_text())
    assert (Way(**kept["way"]), kept["at_once"]) == (GRAPH, 4)
    assert kept["seconds_a_seed"] == pytest.approx(64 * sum(d / 20 for d in (20, 32, 44, 56, 110)) * 2 / 3)
    assert measured_way() == GRAPH
    rows = json.loads(concurrency.measurements().read_text())["a GPU"]["rows"]
    assert [row["at_once"] for row in rows] == [1, 4, 10]
    out = capsys.readouterr().out
    assert "left out  graph, fused batch norm: RuntimeError: out of registers\n" in out
    assert "fastest: graph, 4 at once" in out


def test_where_no_way_is_right_nothing_is_kept_and_the_exit_code_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "_check", lambda *_: None)
    monkeypatch.setattr(gpu, "_table", lambda *_: None)

    assert gpu.measure(None, 5, Kept(tmp_path / "f.json", ["gpu"]), CPU, rehearse=True) == 1
    assert json.loads((tmp_path / "f.json").read_text())["way"] is None
    assert "no way to train passed its checks" in capsys.readouterr().out
    assert measured_way() is None


def test_a_device_that_is_lost_ends_the_measurement_and_keeps_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter([False, True])  # it answers after the table, and not after the first check
    monkeypatch.setattr(gpu, "device_is_lost", lambda: next(answers))
    monkeypatch.setattr(gpu, "padding_pays", lambda _: False)
    start = time.monotonic()

    assert gpu.measure(None, 600, Kept(tmp_path / "f.json", ["gpu"]), CPU, rehearse=True) == 1
    assert time.monotonic() - start < 60
    kept = json.loads((tmp_path / "f.json").read_text())
    assert [check["name"] for check in kept["checks"]] == ["fused SGD"]
    assert len(kept["convolutions"]) == 20
    assert "the device is lost" in capsys.readouterr().out


def test_without_a_gpu_the_command_says_so_and_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main(["speed", "gpu"]) == 2
    assert "there is no CUDA device here" in capsys.readouterr().err
    assert main(["speed", "gpu", "train"]) == 2
    assert "by itself" in capsys.readouterr().err
    assert main(["speed", "start", "--rehearse"]) == 2
    assert "--rehearse is for the group gpu" in capsys.readouterr().err
