"""One Run in, one result out: trains a net and tests it. The same for every task."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from bench.nets.counts import parameters_of
from bench.nets.measured import counts
from bench.nets.weights import WeightsError
from bench.spec import Recipe, Run, Way
from bench.spec.schedule import rate_of
from bench.store import RunFolder, StoreError
from bench.tasks.experiment import Experiment, experiment_of
from bench.tasks.inputs import inputs_of
from bench.tasks.job import Job
from bench.tasks.provenance import DeviceError, device_name, device_of, require_compiler, session
from bench.tasks.witnesses import begin, finish
from bench.train import checkpoint, resuming
from bench.train.graph import Captured
from bench.train.grouped_bn import group_batch_norm
from bench.train.loop import Hooks, train
from bench.train.metrics import Tested
from bench.train.probes import Row, layer_rows, response_stds
from bench.train.process_group import PeerError, ProcessGroup, agree, refuse_shared_device
from bench.train.trainer import Batches, DivergedError, Trainer
from bench.train.turns import Work

EAGER = Way()
Look = Callable[[Trainer, Experiment], list[Row]]  # rows about the layers, before the first step and at each test

# errors that are not the run's own fault: the next start tries again
MACHINE_ERRORS = (DeviceError, PeerError, WeightsError, torch.OutOfMemoryError, torch.AcceleratorError)


def responses(trainer: Trainer, experiment: Experiment) -> list[float] | None:
    """The std of each layer's responses (Fig. 7) to some of the test images that the run uses."""
    inputs = experiment.first_test_inputs()
    if inputs is None or not hasattr(trainer.net, "response"):
        return None
    return response_stds(trainer.net, inputs, precision=experiment.run.recipe.precision)


def responses_at_the_end(trainer: Trainer, experiment: Experiment) -> list[Row]:
    """Fig. 7's rows after the last step, and none before."""
    stds = responses(trainer, experiment) if trainer.step == experiment.run.recipe.steps else None
    return layer_rows(trainer.net, trainer.step, stds=stds) if stds else []


def train_run(run: Run, job: Job, look: Look = responses_at_the_end) -> Work[None]:
    """Trains the run's net from its last checkpoint (or its seed) to its end and writes its result.

    Others may have a turn after each step. look: must change nothing of the training.
    Raises DivergedError (the run's own failure), StoppedError (checkpoint written), DataError, StoreError, LostError
    and the MACHINE_ERRORS.
    """
    recipe, device, processes = run.recipe, device_of(run), job.processes
    require_compiler(run, device)
    way = way_of(run, device, processes)
    refuse_shared_device(processes, device_name(device))
    experiment = experiment_of(run).of(run, job, device)
    inputs = inputs_of(experiment)
    agree(
        processes, device=device.type, torch=str(torch.__version__), data=inputs.data_sha256, start=inputs.start_sha256
    )
    trainer = trainer_of(
        experiment.net().to(device),
        experiment.batches(),
        recipe,
        way,
        processes=processes,
        objective=experiment.objective,
        clip=experiment.clip,
        dropout_seed=experiment.dropout_seed,
    )
    saved = _resume(trainer, experiment)
    sessions, layers = saved.get("sessions", []), saved.get("layers", [])
    about = session(experiment, inputs, str(way)) | ({"damage": saved["damage"]} if saved.get("damage") else {})
    # after the checkpoint's own word on its data: folders of earlier versions have no other
    start = begin(run, job, inputs, trainer.step, about)
    if trainer.step < recipe.steps:
        sessions.append(about)
    place = f" as process {processes.rank} of {processes.size}" if processes.size > 1 else ""
    print(f"bench: trains {run.id} from step {trainer.step:,} on {device}{place}", flush=True)
    last = yield from _train(trainer, experiment, sessions, layers, look)
    extras = _counted(experiment) | experiment.extras(trainer.net, last)
    agree(processes, weights=checkpoint.weights_digest(trainer.net.state_dict()))
    if processes.rank == 0:
        extras |= {"curve_sha256": job.folder.write_curve(trainer.curve)}
        extras |= {"layers_sha256": job.folder.write_layers(layers)}
        finish(run, job, start, _result(run, trainer, last) | extras, sessions)
    processes.any(False)  # the others stay until the result is written: without it all would have to start again


def _counted(experiment: Experiment) -> dict[str, int]:
    """Parameters and multiply-adds of a net that is trained as it is, where arithmetic does not tell them."""
    run = experiment.run
    if run.task_row.backbone or parameters_of(run):
        return {}
    params, multiply_adds = counts(experiment.net(), run.recipe.side or 32)
    return {"params": params, "multiply_adds": multiply_adds}


def way_of(run: Run, device: torch.device, processes: ProcessGroup) -> Way:
    """How the run's steps are made on `device`: as the run asks, as far as its task allows.

    Several processes share the groups of a batch. The batch norm of nets that are not this suite's is torch's, which
    goes group by group. What differs from step to step cannot be a graph, and a look at the
    layers hooks the batch norms that grouped ones go past. On a CPU there are no fused kernels: groups are torch's.
    """
    asked, alone, task = run.resources.way, processes.size == 1, run.task_row
    graph = asked.graph and device.type == "cuda" and alone and task.graph and run.net.row.takes_kernels
    one_pass = alone and task.only_trains and run.net.norm == "bn" and run.net.row.takes_kernels
    grouped = "grouped" if asked.batch_norm == "fused" and device.type != "cuda" else asked.batch_norm
    way = Way(graph, asked.compile, grouped if one_pass else "passes")
    return replace(way, padded_stem=asked.padded_stem and copies_weights(way, run.recipe))


def copies_weights(way: Way, recipe: Recipe) -> bool:
    """Whether bf16 weights are copied all at once: where each of them is used once a step."""
    return way.one_pass and recipe.precision == "bf16"


def _train(
    trainer: Trainer, experiment: Experiment, sessions: list[dict[str, Any]], layers: list[Row], look: Look
) -> Work[Tested]:
    """Trains to the end, with checkpoints and heartbeats; the test after the last step. Raises what train raises."""
    run, folder, processes = experiment.run, experiment.job.folder, experiment.job.processes
    recipe, writes = run.recipe, processes.rank == 0

    def look_once() -> None:
        """Once a step, also where a finished run is repaired."""
        if not layers or layers[-1]["step"] != trainer.step:
            layers.extend(look(trainer, experiment))

    def look_and_test() -> Work[Tested]:
        look_once()
        return (yield from experiment.test(trainer.net))

    hooks = Hooks(
        save=partial(_save, folder, run, sessions, layers) if writes else _nothing,
        should_stop=lambda: processes.any(experiment.job.should_stop()),
        beat=partial(folder.beat, steps=recipe.steps) if writes else _nothing,
        checkpoint_seconds=run.resources.checkpoint_seconds,
    )
    every = {"curve_every": recipe.curve_every, "test_every": recipe.test_every}
    try:
        if trainer.step == 0:
            look_once()
        return (yield from train(trainer, steps=recipe.steps, **every, test=look_and_test, hooks=hooks))
    except DivergedError:
        if writes:
            folder.write_layers(layers)  # of such a run one wants to see the layers until then
        raise


def _nothing(*_: Any, **__: Any) -> None:
    """What the other processes of a run write."""


def _resume(trainer: Trainer, experiment: Experiment) -> dict[str, Any]:
    """Takes the trainer to its last checkpoint that can be used, if there is one; returns all that was saved with it.

    And `damage`: in words, what could not be used.
    """
    run, data, device, folder = experiment.run, experiment.digest, experiment.device, experiment.job.folder
    path, usable = folder.checkpoint, partial(_check, trainer, experiment)
    saved, damage = experiment.job.processes.of_first(lambda: checkpoint.newest(path, folder.previous, usable))
    if damage:
        after = f"step {saved['step']:,}, the checkpoint before" if saved else "its first step"
        damage = f"{damage}; the run goes on from {after}, to the same numbers"
        print(f"bench: {damage}", file=sys.stderr, flush=True)
    if saved is None:
        return {"damage": damage}
    if saved["run"] != run.id:
        raise StoreError(f"{path} is of the run {saved['run']}; move it away and start again")
    trained_on = {session["data_sha256"] for session in saved["sessions"]}
    if trained_on - {data}:
        raise StoreError(
            f"{path} was trained on other data (SHA-256 {', '.join(trained_on)}; here {data}): give the data it was "
            "begun with; or start with --again, or move the folder away, to train from the first step"
        )
    ended = saved["step"] >= run.recipe.steps
    if saved["device"] != device.type and not ended:
        # its kernels round otherwise: a run of both would be the numbers of neither
        raise DeviceError(
            f"{path} was made on a {saved['device']} device and this is a {device.type}: resume it where there is one, "
            "or move the checkpoint away to train from the first step here"
        )
    trainer.load_state_dict(saved if not ended else {**saved, "batches": None})
    return {**saved, "damage": damage}


def _check(trainer: Trainer, experiment: Experiment, state: dict[str, Any]) -> None:
    """Raises ValueError for a state that no training wrote, or not this one, though it says so."""
    sessions, layers = state.get("sessions", []), state.get("layers", [])
    lists = isinstance(sessions, list) and isinstance(layers, list)
    data = [one.get("data_sha256") if isinstance(one, dict) else None for one in sessions] if lists else []
    if not data or not all(isinstance(text, str) for text in (state.get("run"), state.get("device"), *data)):
        raise ValueError("it does not say which run wrote it, where, and trained on what")
    if (state["run"], state["device"]) == (experiment.run.id, experiment.device.type):
        resuming.check(trainer, state, experiment.run.recipe.steps)


def _save(folder: RunFolder, run: Run, sessions: list[dict[str, Any]], layers: list[Row], trainer: Trainer) -> None:
    """The curve first: a checkpoint always has its curve beside it (and in it, should that file be damaged)."""
    sessions[-1]["ended"] = time.time()
    folder.write_curve(trainer.curve)
    device = next(trainer.net.parameters()).device.type
    about = {"run": run.id, "device": device, "sessions": sessions, "layers": layers}
    state = {**trainer.state_dict(), **about}
    if trainer.step == run.recipe.steps:  # only the tests are to come
        state = checkpoint.without_momentum(state)
    checkpoint.save(folder.checkpoint, state, folder.previous)


def trainer_of(net: torch.nn.Module, batches: Batches, recipe: Recipe, way: Way = EAGER, **others: Any) -> Trainer:
    """A training of `net` on `batches`, both on one device, channels last. others: as the Trainer has them."""
    net = net.to(memory_format=torch.channels_last)
    if way.one_pass:
        group_batch_norm(net, recipe.batch // recipe.bn_group, fused=way.batch_norm == "fused")
    if way.compile:
        net.compile()
    return Trainer(
        net,
        batches,
        partial(rate_of, recipe),
        recipe.momentum,
        recipe.weight_decay,
        recipe.bn_group,
        precision=recipe.precision,
        captured=Captured() if way.graph else None,
        make=getattr(batches, "maker", None),
        one_pass=way.one_pass,
        fused_sgd=next(net.parameters()).device.type == "cuda",
        copied_weights=copies_weights(way, recipe),
        padded_stem=way.padded_stem,
        **others,
    )


def _result(run: Run, trainer: Trainer, test: Tested) -> dict[str, Any]:
    """The numbers of the last step; the lowest test error on the way is kept to show how optimistic it is."""
    last = trainer.curve[-1]
    tested = [row for row in trainer.curve if "test_error" in row]
    best = min(tested, key=lambda row: (row["test_error"], row["step"]))
    return {
        "id": run.id,
        "step": trainer.step,
        "test_error": test.error,
        "test_loss": test.loss,
        "test_images": test.count,
        "train_error": last.get("error"),
        "train_loss": last["loss"],
        "val_error": None,
        "best_test_error": best["test_error"],
        "best_step": best["step"],
        "weights_sha256": checkpoint.weights_digest(trainer.net.state_dict()),
        "seconds": trainer.seconds,
        "images_per_s": trainer.step * run.recipe.batch / trainer.seconds,
        "test_images_per_s": test.count / test.seconds,
        **test.kept(),
    }
