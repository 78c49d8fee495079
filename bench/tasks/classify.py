"""Task `classify`: one Run in, one result out (Tables 2, 3 and 6). The one place that unpacks a Run."""

from __future__ import annotations

import os
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
from bench.machine import commit, cpu_name, cuda_devices
from bench.nets import resnet
from bench.spec import Recipe, Run
from bench.store import RunFolder, StoreError
from bench.train import checkpoint
from bench.train.distributed import PeerError, agree
from bench.train.layers import Row, layer_rows, response_stds
from bench.train.loop import DivergedError, Hooks, Trainer, train
from bench.train.metrics import Evaluation, evaluate
from bench.train.schedule import rate_at
from bench.train.team import ALONE, Team


@dataclass(frozen=True, slots=True)
class Job:
    """Where a run runs: its folder, the data below `data`, what stops it, and its processes.

    The first process of the team alone reads and writes the folder.
    """

    folder: RunFolder
    data: Path
    should_stop: Callable[[], bool]
    team: Team = ALONE


# what is seen of the layers now: asked before the first step and at each test
Look = Callable[[Trainer, Images, Prepare, Recipe], list[Row]]
RESPONSE_IMAGES = 500  # test images behind a response's std: 32,000 values a channel or more, a twentieth of one test


class DeviceError(RuntimeError):
    """A device that is there and cannot be used, or not the kind that a checkpoint needs."""


# what a run may die of through no fault of its own: the next start tries again
MACHINE_ERRORS = (DeviceError, PeerError, torch.OutOfMemoryError, torch.AcceleratorError)


def device_of(run: Run) -> torch.device:
    """A CUDA device where the run may have one and there is one, else the CPU with the run's threads."""
    torch.set_num_threads(run.resources.cpus)
    if not run.resources.gpus or not cuda_devices():
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DeviceError(
            f"{cuda_devices()[0]} is there, but torch {torch.__version__} cannot use it (an old driver, or a build of "
            "torch for CPUs). Mend that, or set CUDA_VISIBLE_DEVICES= to train on the CPU"
        )
    _reproducible_cuda()
    return torch.device("cuda")


def _reproducible_cuda() -> None:
    """fp32 is fp32 (no TF32), and the same kernels each time, as far as torch has deterministic ones."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
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
    return build(run.net.depth, run.net.shortcut, norm=run.net.norm)


def responses(trainer: Trainer, images: Images, prepare: Prepare, recipe: Recipe) -> list[float]:
    """The std of each layer's responses (Fig. 7) to the first of the test images that the run uses."""
    shown = images.test_x[: min(recipe.test_images, RESPONSE_IMAGES)]
    return response_stds(trainer.net, prepare, shown, precision=recipe.precision)


def responses_at_the_end(trainer: Trainer, images: Images, prepare: Prepare, recipe: Recipe) -> list[Row]:
    """Fig. 7's rows after the last step, and none before."""
    if trainer.step < recipe.steps:
        return []
    return layer_rows(trainer.net, trainer.step, stds=responses(trainer, images, prepare, recipe))


def classify(run: Run, job: Job, look: Look = responses_at_the_end) -> None:
    """Trains the run's net from its last checkpoint (or its seed) to its end and writes its result.

    look: what is seen of the layers, before the first step and at each test; it must change nothing of the training.
    Raises DivergedError (the run's own failure), StoppedError (checkpoint written), DataError, StoreError, LostError
    and the MACHINE_ERRORS.
    """
    recipe, device, team = run.recipe, device_of(run), job.team
    full = load_images(run, job.data).to(device)
    agree(team, device=device.type, data=full.digest, torch=str(torch.__version__))
    images, held_out = _split(full, recipe, run.seed)
    trainer = trainer_of(build_net(run), images, recipe, torch.Generator(device).manual_seed(run.seed))
    trainer.team = team
    saved = _resume(trainer, run, job, device, full.digest)
    sessions, layers = saved.get("sessions", []), saved.get("layers", [])
    if trainer.step < recipe.steps:
        sessions.append(session(run, device, full, team))
    print(f"bench: trains {run.id} from step {trainer.step:,} on {device}{_place_in(team)}", flush=True)
    prepare = Prepare.of(images.train_x)
    measure = partial(evaluate, trainer.net, prepare, precision=recipe.precision, team=team)
    looking = partial(_look, trainer, partial(look, trainer, images, prepare, recipe), layers)
    hooks = Hooks(
        save=_of_first(team, partial(_save, job.folder, run, device, sessions, layers)),
        should_stop=lambda: team.any(job.should_stop()),
        beat=_of_first(team, partial(job.folder.beat, steps=recipe.steps)),
        checkpoint_seconds=run.resources.checkpoint_seconds,
    )
    test = partial(measure, images.test_x[: recipe.test_images], images.test_y[: recipe.test_images])
    try:
        if trainer.step == 0:
            looking()
        last = train(
            trainer,
            steps=recipe.steps,
            curve_every=recipe.curve_every,
            test_every=recipe.test_every,
            test=partial(_look_and_test, looking, test),
            hooks=hooks,
        )
    except DivergedError:
        # what was seen until then is what one wants to know of such a run
        _of_first(team, job.folder.write_layers)(layers)
        raise
    validation = measure(*held_out) if held_out else None
    agree(team, weights=checkpoint.weights_digest(trainer.net.state_dict()))
    if team.rank == 0:
        digests = {
            "curve_sha256": job.folder.write_curve(trainer.curve),
            "layers_sha256": job.folder.write_layers(layers),
        }
        job.folder.finish({**_result(run, trainer, last, validation), **digests}, merged(sessions))
    team.any(False)  # the others stay until the result is written: without it all would have to come again


def _look(trainer: Trainer, look: Callable[[], list[Row]], layers: list[Row]) -> None:
    """Adds what is seen of the layers now; once a step, also where a run that ended is mended."""
    if not layers or layers[-1]["step"] != trainer.step:
        layers += look()


def _look_and_test(looking: Callable[[], None], test: Callable[[], Evaluation]) -> Evaluation:
    looking()
    return test()


def _of_first(team: Team, work: Callable[..., object]) -> Callable[..., object]:
    """`work` in the team's first process, nothing in the others."""
    return work if team.rank == 0 else lambda *_, **__: None


def _place_in(team: Team) -> str:
    return f" as process {team.rank} of {team.size}" if team.size > 1 else ""


def _resume(trainer: Trainer, run: Run, job: Job, device: torch.device, data: str) -> dict[str, Any]:
    """Takes the trainer to its last checkpoint, if there is one; returns all that was saved with it."""
    folder = job.folder
    saved = job.team.of_first(lambda: checkpoint.load(folder.checkpoint))
    if saved is None:
        return {}
    if saved["run"] != run.id:
        raise StoreError(f"{folder.checkpoint} is of the run {saved['run']}; move it away and start again")
    trained_on = {session["data_sha256"] for session in saved["sessions"]}
    if trained_on - {data}:
        raise StoreError(
            f"{folder.checkpoint} was trained on other data (SHA-256 {', '.join(trained_on)}; here {data}): give the "
            "data it was begun with, or move the checkpoint away to train from the first step"
        )
    ended = saved["step"] >= run.recipe.steps
    if saved["device"] != device.type and not ended:
        # random numbers are drawn on the device: the rest of the stream exists on its kind only
        raise DeviceError(
            f"{folder.checkpoint} was made on a {saved['device']} device and this is a {device.type}: go on where "
            "there is one, or move the checkpoint away to train from the first step here"
        )
    trainer.load_state_dict(saved if not ended else {**saved, "batches": None})
    return saved


def _save(
    folder: RunFolder,
    run: Run,
    device: torch.device,
    sessions: list[dict[str, Any]],
    layers: list[Row],
    trainer: Trainer,
) -> None:
    """The curve first: a checkpoint that is there has its curve beside it (and in it, should that be damaged)."""
    sessions[-1]["ended"] = time.time()
    folder.write_curve(trainer.curve)
    about = {"run": run.id, "device": device.type, "sessions": sessions, "layers": layers}
    checkpoint.save(folder.checkpoint, {**trainer.state_dict(), **about})


def _split(images: Images, recipe: Recipe, seed: int) -> tuple[Images, tuple[torch.Tensor, torch.Tensor] | None]:
    if recipe.split == "50k":
        return images, None
    kept, x, y = images.holding_out(len(images.train_y) // 10, torch.Generator().manual_seed(seed))
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


def _result(run: Run, trainer: Trainer, test: Evaluation, validation: Evaluation | None) -> dict[str, Any]:
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
        "seconds": trainer.seconds,
        "images_per_s": trainer.step * run.recipe.batch / trainer.seconds,
        "test_images_per_s": len(test.correct) / test.seconds,
    }


def _bits(correct: torch.Tensor) -> str:
    """A bool tensor (N,) as hex, the first image in the highest bit; padded with zeros to whole bytes."""
    padded = torch.nn.functional.pad(correct.to(torch.uint8), (0, -len(correct) % 8)).view(-1, 8)
    weights = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8)
    return bytes((padded * weights).sum(1, dtype=torch.uint8).tolist()).hex()


def session(run: Run, device: torch.device, images: Images, team: Team = ALONE) -> dict[str, Any]:
    """Provenance of one start's part of a run, taken before it trains."""
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    return {
        **commit(),
        "bench": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # a TorchVersion is not a plain string: weights_only refuses it
        "torchvision": version("torchvision"),
        "hardware": "; ".join(dict.fromkeys(team.each(hardware))),
        "threads": run.resources.cpus,
        "processes": team.size,
        "data": run.data,
        "data_sha256": images.digest,
        "notice": images.notice,
        "started": time.time(),
        "ended": time.time(),
    }


def merged(sessions: list[dict[str, Any]]) -> dict[str, Any]:
    """Provenance of a run: each value of its sessions, several of them joined by "; ", from first start to last end."""
    values = {name: list(dict.fromkeys(s[name] for s in sessions)) for name in sessions[0]}
    joined = {n: v[0] if len(v) == 1 else "; ".join(map(str, v)) for n, v in values.items()}
    dirty = any(values["dirty"]) if None not in values["dirty"] else None
    ends = {"started": sessions[0]["started"], "ended": sessions[-1]["ended"], "sessions": len(sessions)}
    return {**joined, "dirty": dirty, **ends}
