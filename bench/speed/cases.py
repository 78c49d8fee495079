"""What is timed. Each case does real work through the suite's own functions."""

from __future__ import annotations

import copy
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import torch

from bench.cli.places import PROJECT
from bench.data import locate
from bench.data.cifar_files import cifar as cifar_files
from bench.nets.counts import convolutions, multiply_adds
from bench.nets.resnet import cifar
from bench.spec import Net, Recipe, SpecError, Way
from bench.speed import usual
from bench.speed.timing import Case, copy_rate, rate, repeated
from bench.tasks.classification import cifar as cifar_data
from bench.tasks.classification import synthetic
from bench.tasks.classification.cifar import Batches, Images, Prepare
from bench.tasks.training import trainer_of
from bench.train import checkpoint
from bench.train.metrics import evaluate
from bench.train.turns import finish

BATCH = 128
MOVES = 10  # times that a fused training step has to move each convolution's output: 4 forward, 6 backward


def images_in(data: Path) -> Images:
    """CIFAR-10 where it is below `data`, else made up."""
    with suppress(locate.AbsentError):
        return cifar_data.load(cifar_files(data, "cifar10"))
    return synthetic.stand_in()


def our_training(
    net: Net, images: Images, precision: str, device: torch.device, *, compiled: bool, steps: int
) -> Callable[[], float]:
    """Makes so many training steps at the paper's recipe on `device` and returns their images."""
    torch.manual_seed(0)
    built, recipe = cifar(net.depth, net.shortcut).to(device), replace(Recipe(), precision=precision)
    trainer = trainer_of(built, _batches(images.to(device)), recipe, Way(compile=compiled))

    def train() -> float:
        for _ in range(steps):
            trainer.update()
        trainer.window()  # waits for a GPU
        return steps * BATCH

    return train


def usual_training(net: Net, images: Images, device: torch.device, steps: int) -> Callable[[], float]:
    """The same by the usual loop in fp32."""
    torch.manual_seed(0)
    return repeated(usual.training(cifar(net.depth, net.shortcut).to(device), images, BATCH), steps, BATCH)


def training(net: Net, images: Images, precision: str, device: torch.device, *, compiled: bool = False) -> Case:
    """Training steps on `device` against the usual loop there, images/s."""
    steps = 50 if device.type == "cuda" else 2
    ours = our_training(net, images, precision, device, compiled=compiled, steps=steps)
    name = f"training step, {net.name}, {precision}{', compiled' * compiled}"
    return Case(name, "images", ours, usual_training(net, images, device, steps), "DataLoader of PIL images, fp32")


def _batches(images: Images) -> Batches:
    generator = torch.Generator(images.train_x.device).manual_seed(0)
    return Batches(images, Prepare.of(images.train_x), BATCH, generator)


def loading(images: Images) -> Case:
    """Batches alone, images/s."""
    ours, theirs = _batches(images), usual.training_batches(images, BATCH)
    usually = repeated(lambda: next(theirs), 5, BATCH)
    return Case("loader", "images", repeated(ours.draw, 20, BATCH), usually, "DataLoader of PIL images")


def evaluation(net: Net, images: Images, count: int = 500) -> Case:
    """The test of a net, images/s."""
    built, prepare = cifar(net.depth, net.shortcut), Prepare.of(images.train_x)
    channels_last = copy.deepcopy(built).to(memory_format=torch.channels_last)
    x, y = images.test_x[:count], images.test_y[:count]
    ours = repeated(lambda: finish(evaluate(channels_last, prepare, x, y)), 1, count)
    theirs = repeated(lambda: usual.evaluate(built, x, y), 1, count)
    return Case(f"evaluation, {net.name}", "images", ours, theirs, "DataLoader of PIL images")


def checkpointing(net: Net, images: Images, folder: Path) -> Case:
    """Checkpoints of a training, synced and renamed, against a bare torch.save."""
    trainer = trainer_of(cifar(net.depth, net.shortcut), _batches(images), Recipe())
    trainer.update()

    def save() -> None:
        torch.save({"net": trainer.net.state_dict(), "optimizer": trainer.optimizer.state_dict()}, folder / "bare.pt")

    ours = repeated(lambda: checkpoint.save(folder / "safe.pt", trainer.state_dict()), 1, 1)
    return Case(f"checkpoint, {net.name}", "checkpoints", ours, repeated(save, 1, 1), "torch.save, not synced")


def starting(name: str, arguments: list[str]) -> Case:
    """A command in a process of its own, in the project's folder, against `python -c pass`."""

    def run(*words: str) -> float:
        ended = subprocess.run([sys.executable, *words], cwd=PROJECT, capture_output=True, text=True)
        if ended.returncode:
            last = (ended.stderr.splitlines() or [f"exit code {ended.returncode}"])[-1]
            raise SpecError(f"{name} cannot be timed, as it fails: {last}")
        return 1

    ours, bare = partial(run, "-m", "bench.sweep", *arguments), partial(run, "-c", "pass")
    return Case(name, "starts", ours, bare, "python -c pass", rounds=11)


def limits(net: Net, device: torch.device) -> dict[str, float]:
    """This machine's two limits, measured here, and the seconds a training step of `net` takes at each.

    Arithmetic: 3 x 2 x multiply-adds (forward, and two products backward) at the rate of a large fp32 matrix
    product. Traffic: every convolution's output moved MOVES times at the rate of a large copy.
    """
    on_gpu = device.type == "cuda"
    side, again = (8192, 10) if on_gpu else (1024, 1)
    a, b = torch.randn(2, side, side, device=device)
    multiply = repeated(lambda: torch.mm(a, b), again, 2 * side**3, device)
    multiply()
    flops = median(rate(multiply) for _ in range(9))
    bandwidth = median(copy_rate(device, 2**26, again) for _ in range(9))
    outputs = sum(c.c_out * c.side**2 for c in convolutions(net)[0])
    return {
        "gflop_per_s": flops / 1e9,
        "gb_per_s": bandwidth / 1e9,
        "arithmetic_s": BATCH * 6 * multiply_adds(net) / flops,
        "traffic_s": BATCH * MOVES * 4 * outputs / bandwidth,
    }


def growing(count: int) -> dict[str, float]:
    """Seconds of plan, status, collect and report over so many finished runs, made up on disk."""
    from bench.launch.plan import describe, make_plan
    from bench.launch.status import table
    from bench.report.collect import collect
    from bench.report.page import write_report
    from bench.speed.made_up import SWEEP, finished_runs

    with tempfile.TemporaryDirectory() as name, redirect_stdout(io.StringIO()):
        root = Path(name)
        folder, results = root / "runs" / "made_up", root / "results"
        runs = finished_runs(folder, count)
        works: dict[str, Callable[[], object]] = {
            "plan": lambda: describe(make_plan(runs, folder, root)),
            "status": lambda: table(folder, None),
            "collect": lambda: collect(results, [folder], runs),
            "report": lambda: write_report("made_up", SWEEP, results, root / "reports"),
        }
        return {what: 1 / rate(repeated(work, 1, 1)) for what, work in works.items()}
