"""What is timed. Each case does real work through the suite's own functions."""

from __future__ import annotations

import copy
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.cli.sweep_files import PROJECT
from bench.nets.counts import convolutions, multiply_adds
from bench.nets.resnet import cifar
from bench.spec import Net, Recipe, SpecError, Way
from bench.speed import usual
from bench.speed.paired import Case, rate, spread
from bench.tasks.classification.cifar import Batches, Images, Prepare
from bench.tasks.training import trainer_of
from bench.train import checkpoint
from bench.train.metrics import evaluate
from bench.train.turns import finish

BATCH = 128
MOVES = 10  # times that a fused training step has to move each convolution's output: 4 forward, 6 backward


def _batches(images: Images) -> Batches:
    generator = torch.Generator(images.train_x.device).manual_seed(0)
    return Batches(images, Prepare.of(images.train_x), BATCH, generator)


def training(
    net: Net,
    images: Images,
    precision: str,
    place: torch.device,
    *,
    compiled: bool = False,
    steps: int | None = None,
) -> Case:
    """Whole training steps at the paper's recipe on `place` against the usual loop there, images/s.

    steps: of one turn (default: 2, on a GPU 50).
    """
    recipe = replace(Recipe(), precision=precision)
    torch.manual_seed(0)
    built = cifar(net.depth, net.shortcut).to(place)
    theirs = usual.UsualTraining(copy.deepcopy(built), images, BATCH)
    on_gpu = place.type == "cuda"
    ours = trainer_of(built, _batches(images.to(place)), recipe, Way(compile=compiled))
    steps = steps or (50 if on_gpu else 2)

    def ourselves() -> float:
        for _ in range(steps):
            ours.update()
        ours.window()  # waits for a GPU
        return steps * BATCH

    def usually() -> float:
        for _ in range(steps):
            theirs.step()
        return steps * BATCH

    name = f"training step, {net.name}, {precision}{', compiled' * compiled}"
    return Case(name, "images", ourselves, usually, "DataLoader of PIL images, fp32")


def loading(images: Images) -> Case:
    """Batches alone, images/s."""
    ours = _batches(images)
    theirs = usual.training_batches(images, BATCH)

    def drain(draw: Callable[[], object], batches: int) -> float:
        for _ in range(batches):
            draw()
        return batches * BATCH

    usually = partial(drain, lambda: next(theirs), 5)
    return Case("loader", "images", partial(drain, ours.draw, 20), usually, "DataLoader of PIL images")


def evaluation(net: Net, images: Images, count: int = 500) -> Case:
    """The test of a net, images/s."""
    built = cifar(net.depth, net.shortcut)
    channels_last = copy.deepcopy(built).to(memory_format=torch.channels_last)
    prepare = Prepare.of(images.train_x)

    def ours() -> float:
        finish(evaluate(channels_last, prepare, images.test_x[:count], images.test_y[:count]))
        return count

    def theirs() -> float:
        usual.evaluate(built, images, count)
        return count

    return Case(f"evaluation, {net.name}", "images", ours, theirs, "DataLoader of PIL images")


def checkpointing(net: Net, images: Images, folder: Path) -> Case:
    """Checkpoints of a training, synced and renamed, against a bare torch.save."""
    ours = trainer_of(cifar(net.depth, net.shortcut), _batches(images), Recipe())
    ours.update()

    def safe() -> float:
        checkpoint.save(folder / "safe.pt", ours.state_dict())
        return 1

    def bare() -> float:
        torch.save({"net": ours.net.state_dict(), "optimizer": ours.optimizer.state_dict()}, folder / "bare.pt")
        return 1

    return Case(f"checkpoint, {net.name}", "checkpoints", safe, bare, "torch.save, not synced")


def starting(name: str, arguments: list[str]) -> Case:
    """A command in a process of its own, in the project's folder, against `python -c pass`."""

    def run(*words: str) -> float:
        done = subprocess.run([sys.executable, *words], cwd=PROJECT, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.splitlines() or [f"exit code {done.returncode}"])[-1]
            raise SpecError(f"{name} cannot be timed, as it fails: {last}")
        return 1

    ours, bare = partial(run, "-m", "bench.sweep", *arguments), partial(run, "-c", "pass")
    return Case(name, "starts", ours, bare, "python -c pass", rounds=11)


def limits(net: Net, place: torch.device) -> dict[str, float]:
    """This machine's two limits, measured on the spot, and the seconds a training step of `net` takes at each.

    Arithmetic: 3 x 2 x multiply-adds (forward, and two products backward) at the rate of a large fp32 matrix
    product. Traffic: every convolution's output moved MOVES times at the rate of a large copy.
    """
    on_gpu = place.type == "cuda"
    side, again = (8192, 10) if on_gpu else (1024, 1)
    a, b, big = (torch.randn(*size, device=place) for size in ((side, side), (side, side), (2**26,)))
    target = torch.empty_like(big)

    def multiply() -> float:
        for _ in range(again):
            torch.mm(a, b)
        _wait(place)
        return again * 2 * side**3

    def move() -> float:
        for _ in range(again):
            target.copy_(big)
        _wait(place)
        return again * 2 * 4 * 2**26

    multiply(), move()

    flops, bandwidth = (spread([rate(work) for _ in range(9)])[0] for work in (multiply, move))
    outputs = sum(c.c_out * c.side**2 for c in convolutions(net)[0])
    return {
        "gflop_per_s": flops / 1e9,
        "gb_per_s": bandwidth / 1e9,
        "arithmetic_s": BATCH * 6 * multiply_adds(net) / flops,
        "traffic_s": BATCH * MOVES * 4 * outputs / bandwidth,
    }


KINDS = {  # of what torch's profiler names: the first that is part of a name, or of a name around it
    "SGD": ("Optimizer.step",),
    "convolutions, backward": ("convolution_backward", "ConvolutionBackward"),
    "convolutions, forward": ("conv",),
    "batch norm, backward": ("batch_norm_backward", "NativeBatchNormBackward"),
    "batch norm, forward": ("batch_norm",),
    "ReLU": ("relu", "clamp_min", "threshold", "Relu"),
    "shortcuts and sums": ("add", "pad", "slice"),
}


def _wait(place: torch.device) -> None:
    if place.type == "cuda":
        torch.cuda.synchronize(place)


def profile(
    net: Net, images: Images, precision: str, place: torch.device, *, compiled: bool, steps: int = 3
) -> dict[str, float]:
    """Where the time of a training step at the paper's recipe goes: percent by kind of work, the largest first.

    The processor's time on a CPU, that of the kernels on a GPU.
    """
    torch.manual_seed(0)
    recipe, activity = replace(Recipe(), precision=precision), torch.profiler.ProfilerActivity
    net_here = cifar(net.depth, net.shortcut).to(place)
    trainer = trainer_of(net_here, _batches(images.to(place)), recipe, Way(compile=compiled))
    on_gpu = place.type == "cuda"
    trainer.update()
    activities = [activity.CPU, *([activity.CUDA] if on_gpu else [])]
    # acc_events: there is one cycle only, but torch 2.11 warns where nothing is said of further ones
    with torch.profiler.profile(activities=activities, acc_events=True) as found:
        for _ in range(steps):
            trainer.update()
        trainer.window()
    times: dict[str, float] = {}
    for event in found.events():
        if event.device_type != torch.profiler.DeviceType.CPU:
            continue  # a kernel, whose time its call has, too
        kind = _kind(event)
        times[kind] = times.get(kind, 0.0) + (event.self_device_time_total if on_gpu else event.self_cpu_time_total)
    total = sum(times.values())
    return {kind: 100 * time / total for kind, time in sorted(times.items(), key=lambda item: -item[1])}


def _kind(event: Any) -> str:
    """What a profiler's event is part of, the outermost call that KINDS knows first."""
    names = [event.name]
    while event.cpu_parent is not None:
        event = event.cpu_parent
        names.insert(0, event.name)
    known = (kind for name in names for kind, parts in KINDS.items() if any(part in name for part in parts))
    return next(known, "the rest")


def growing(counts: tuple[int, ...]) -> Iterator[tuple[int, dict[str, float]]]:
    """Seconds of plan, status, collect and report over so many finished runs, made up on disk."""
    import time

    from bench.launch.plan import describe, make_plan
    from bench.launch.status import table
    from bench.report.collect import collect
    from bench.report.page import write_report
    from bench.speed.made_up import SWEEP, finished_runs

    for count in counts:
        with tempfile.TemporaryDirectory() as name, redirect_stdout(io.StringIO()):
            root = Path(name)
            runs = finished_runs(root / "runs" / "made_up", count)
            times = {}
            for what, work in (
                ("plan", lambda: describe(make_plan(runs, root / "runs" / "made_up", root))),  # noqa: B023
                ("status", lambda: table(root / "runs" / "made_up", None)),  # noqa: B023
                ("collect", lambda: collect(root / "results", [root / "runs" / "made_up"], runs)),  # noqa: B023
                ("report", lambda: write_report("made_up", SWEEP, root / "results", root / "reports")),  # noqa: B023
            ):
                start = time.perf_counter()
                work()
                times[what] = time.perf_counter() - start
        yield count, times
