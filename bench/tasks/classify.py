"""Task `classify`: one Run in, one result out (Tables 2, 3 and 6). The one place that unpacks a Run."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from bench import __version__
from bench.data import cifar as cifar_data
from bench.data import find, procedural
from bench.data.cifar import Batches, Images, Prepare
from bench.nets import resnet
from bench.spec import Recipe, Run
from bench.store import RunFolder
from bench.tasks.provenance import commit, cpu_name
from bench.train import checkpoint
from bench.train.loop import Hooks, Trainer, train
from bench.train.metrics import Evaluation, evaluate
from bench.train.schedule import rate_at


@dataclass(frozen=True, slots=True)
class Job:
    """Where a run runs: its folder, the data below `data`, and what stops it."""

    folder: RunFolder
    data: Path
    should_stop: Callable[[], bool]


def device_of(run: Run) -> torch.device:
    """A CUDA device where the run may have one and there is one, else the CPU with the run's threads."""
    torch.set_num_threads(run.resources.cpus)
    if run.resources.gpus and torch.cuda.is_available():
        _reproducible_cuda()
        return torch.device("cuda")
    return torch.device("cpu")


def _reproducible_cuda() -> None:
    """fp32 is fp32 (no TF32), and the same kernels each time."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]  # missing in torch's stubs
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def load_images(run: Run, data: Path) -> Images:
    """The run's data set. Raises DataError where it is not below `data`."""
    if run.data == "stand-in":
        return procedural.stand_in()
    return cifar_data.load(find.cifar10(data) or find.fetch_cifar10(data))


def build_net(run: Run) -> torch.nn.Module:
    """The run's net, initialised from its seed."""
    torch.manual_seed(run.seed)
    build = partial(resnet.imagenet, stride_in=run.net.stride_in) if run.net.family == "imagenet" else resnet.cifar
    return build(run.net.depth, run.net.shortcut)


def classify(run: Run, job: Job) -> None:
    """Trains the run's net from its last checkpoint (or its seed) to its end and writes its result.

    Raises DivergedError (the run's own failure), StoppedError (checkpoint written), DataError and StoreError.
    """
    started, recipe, device = time.time(), run.recipe, device_of(run)
    full = load_images(run, job.data).to(device)
    images, held_out = _split(full, recipe, run.seed)
    trainer = trainer_of(build_net(run), images, recipe, torch.Generator(device).manual_seed(run.seed))
    saved = checkpoint.load(job.folder.checkpoint, device)
    if saved is not None:
        trainer.load_state_dict(saved)
    print(f"bench: trains {run.id} from step {trainer.step:,} on {device}", flush=True)
    measure = partial(evaluate, trainer.net, Prepare.of(images.train_x), precision=recipe.precision)
    test = partial(measure, images.test_x[: recipe.test_images], images.test_y[: recipe.test_images])
    hooks = Hooks(
        save=partial(_save, job.folder),
        should_stop=job.should_stop,
        beat=partial(job.folder.beat, steps=recipe.steps),
        checkpoint_seconds=run.resources.checkpoint_seconds,
    )
    last = train(
        trainer,
        steps=recipe.steps,
        curve_every=recipe.curve_every,
        test_every=recipe.test_every,
        test=test,
        hooks=hooks,
    )
    validation = measure(*held_out) if held_out else None
    digest = job.folder.write_curve(trainer.curve)
    result = _result(run, trainer, last, validation, digest)
    job.folder.finish(result, _env(run, device, full, started))


def _save(folder: RunFolder, trainer: Trainer) -> None:
    """The curve first: a checkpoint that is there has its curve beside it (and in it, should that be damaged)."""
    folder.write_curve(trainer.curve)
    checkpoint.save(folder.checkpoint, trainer.state_dict())


def _split(images: Images, recipe: Recipe, seed: int) -> tuple[Images, tuple[torch.Tensor, torch.Tensor] | None]:
    if recipe.split == "50k":
        return images, None
    kept, x, y = images.holding_out(5_000, torch.Generator().manual_seed(seed))
    return kept, (x, y)


def trainer_of(net: torch.nn.Module, images: Images, recipe: Recipe, generator: torch.Generator) -> Trainer:
    """A training of `net` on `images`, on their device, channels last; `generator` lives there too."""
    device = images.train_x.device
    net = net.to(device).to(memory_format=torch.channels_last)
    batches = Batches(images, Prepare.of(images.train_x), recipe.batch, generator)
    rate = partial(
        rate_at,
        lr=recipe.lr,
        drops=recipe.drops,
        warmup_steps=recipe.warmup_steps,
        warmup_lr=recipe.warmup_lr,
    )
    return Trainer(
        net, batches, rate, recipe.momentum, recipe.weight_decay, recipe.bn_group, precision=recipe.precision
    )


def _result(
    run: Run, trainer: Trainer, test: Evaluation, validation: Evaluation | None, curve_digest: str
) -> dict[str, Any]:
    """The numbers of the last step; best-on-test is kept to show what it would have flattered."""
    last = trainer.curve[-1]
    tested = [row for row in trainer.curve if "test_error" in row]
    best = min(tested, key=lambda row: (row["test_error"], row["step"]))
    return {
        "id": run.id,
        "step": trainer.step,
        "test_error": test.error,
        "test_loss": test.loss,
        "test_images": len(test.correct),
        "train_error": last["error"],
        "train_loss": last["loss"],
        "val_error": validation.error if validation else None,
        "best_test_error": best["test_error"],
        "best_step": best["step"],
        "correct": _bits(test.correct),
        "weights_sha256": checkpoint.weights_digest(trainer.net.state_dict()),
        "curve_sha256": curve_digest,
        "seconds": trainer.seconds,
        "images_per_s": trainer.step * run.recipe.batch / trainer.seconds,
    }


def _bits(correct: torch.Tensor) -> str:
    """A bool tensor (N,) as hex, the first image in the highest bit; padded with zeros to whole bytes."""
    padded = torch.nn.functional.pad(correct.to(torch.uint8), (0, -len(correct) % 8)).view(-1, 8)
    weights = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8)
    return bytes((padded * weights).sum(1, dtype=torch.uint8).tolist()).hex()


def _env(run: Run, device: torch.device, images: Images, started: float) -> dict[str, Any]:
    """Provenance: what does not decide the number but must be known of it."""
    on_gpu = device.type == "cuda"
    return {
        **commit(),
        "bench": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "hardware": torch.cuda.get_device_name(device) if on_gpu else cpu_name(),
        "threads": run.resources.cpus,
        "data": run.data,
        "data_sha256": images.digest,
        "notice": images.notice,
        "started": started,
        "ended": time.time(),
    }
