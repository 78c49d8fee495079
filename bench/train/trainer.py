"""One training: a net, SGD with momentum, a stream of batches; resumable to the bit at any step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.train.copied_weights import CopiedWeights
from bench.train.graph import Captured
from bench.train.metrics import autocast
from bench.train.process_group import ALONE, ProcessGroup
from bench.train.turns import Work, finish, on_host


class Batches(Protocol):
    """An endless stream of training batches of `batch` images whose position can be saved."""

    batch: int

    def draw(self, part: slice = slice(None)) -> tuple[Any, ...]:
        """Inputs and targets of the next batch, or of `part` of it: the position moves on by a batch.

        Tensors (N, 3, H, W) and (N,) to classify, lists of images and of targets to detect; or what `Trainer.make`
        makes them of.
        """

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the stream depends on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from `state`."""


class Objective(Protocol):
    """What a training minimises."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The curve's columns beside the loss; "error" is a share here and percent there."""

    def __call__(self, net: nn.Module, inputs: Any, targets: Any, precision: str) -> tuple[Tensor, ...]:
        """The mean loss of one group, then its parts without gradients: scalars on the device."""


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """Of a classifier, with the error of the same outputs.

    labelled: the net takes the labels, too, as one with a margin for the true class does.
    """

    labelled: bool = False
    parts: tuple[str, ...] = ("error",)

    def __call__(self, net: nn.Module, inputs: Tensor, targets: Tensor, precision: str) -> tuple[Tensor, ...]:
        """See Objective."""
        with autocast(inputs.device, precision):
            logits = net(inputs, targets) if self.labelled else net(inputs)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        wrong = (logits.detach().argmax(1) != targets).double().mean()
        return F.cross_entropy(logits, targets), wrong


class DivergedError(RuntimeError):
    """The loss is NaN or infinite: the run itself has failed."""


@dataclass
class Trainer:
    """A net, its optimiser and its data stream, and the curve so far.

    rate: the learning rate of each update. bn_group: images that share batch-norm statistics: the batch is passed in
    groups of that size whose gradients are averaged, as on the paper's two GPUs. precision: "fp32" or "bf16".
    Weight decay acts on every parameter, as in the authors' framework. clip: the gradient's largest norm, 0: no bound.
    processes: those that share the groups of each batch; all have the same state after each step.
    dropout_seed: seeds torch's generator anew for every group of every step, so that nothing need be saved and nothing
    depends on which process takes which group. None for a net that draws nothing.
    captured: makes the step by a CUDA graph, in one process and without a dropout seed.
    make: makes inputs and targets of what `batches` draws, inside the step and its graph; the whole batch is then this
    process's. None where batches draws the inputs themselves.
    one_pass: all groups go through the net at once, whose batch norm knows them (bench.train.grouped_bn).
    fused_sgd: the optimiser's step is one kernel with the learning rate in a tensor, as a graph needs it. It rounds
    differently from torch's usual kernels, on a CPU as well.
    copied_weights: bf16 weights are made all at once (bench.train.copied_weights), not one by one by autocast.
    padded_stem: the stem's copy and the images then get channels of zeros.
    """

    net: nn.Module
    batches: Batches
    rate: Callable[[int], float]
    momentum: float
    weight_decay: float
    bn_group: int
    precision: str = "fp32"
    processes: ProcessGroup = ALONE
    objective: Objective = field(default_factory=CrossEntropy)
    clip: float = 0.0
    dropout_seed: int | None = None
    captured: Captured | None = None
    make: Callable[..., tuple[Tensor, Tensor]] | None = None
    one_pass: bool = False
    fused_sgd: bool = False
    copied_weights: bool = False
    padded_stem: bool = False
    step: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    _pending: list[Tensor] = field(default_factory=list, repr=False)  # (loss, parts) of each step since the last row

    def __post_init__(self) -> None:
        parameters = list(self.net.parameters())
        self._called = CopiedWeights(self.net, padded_stem=self.padded_stem) if self.copied_weights else self.net
        self._rate = torch.tensor(0.1, device=parameters[0].device)
        self.optimizer = torch.optim.SGD(
            parameters,
            lr=self._rate if self.fused_sgd else 0.1,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            fused=self.fused_sgd or None,
        )

    def update(self) -> None:
        """One iteration: a batch, its gradient, a step of SGD at this step's learning rate."""
        own = self.processes.own(self.groups)
        drawn = self.batches.draw(slice(own.start * self.bn_group, own.stop * self.bn_group))
        self._set_rate(self.rate(self.step))
        done = self.captured(self._learn, *drawn) if self.captured else self._learn(*drawn)
        self._pending.append(done)
        self.step += 1

    def _set_rate(self, rate: float) -> None:
        if self.fused_sgd:
            self._rate.fill_(rate)  # in place: a graph holds the tensor, not its value
        else:
            self.optimizer.param_groups[0]["lr"] = rate

    @property
    def groups(self) -> int:
        """Batch-norm groups of a batch."""
        return self.batches.batch // self.bn_group

    def _learn(self, *drawn: Any) -> Tensor:
        """The gradient of a batch and the optimiser's step; (mean loss, *parts) on the device."""
        inputs, targets = self.make(*drawn) if self.make else drawn
        own = self.processes.own(self.groups)
        size = len(targets) if self.one_pass else self.bn_group
        starts = range(0, len(targets), size)
        self.optimizer.zero_grad(set_to_none=True)
        with self.processes.together(self.net, self.groups):
            parts = [
                self._backward(inputs[start : start + size], targets[start : start + size], number)
                for number, start in enumerate(starts, start=own.start)
            ]
        done = self.processes.sum(torch.stack(parts).sum(0))
        if self.clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
        self.optimizer.step()
        return done

    def _backward(self, inputs: Any, targets: Any, number: int) -> Tensor:
        """Adds the gradient of one group, or of all; returns its part of (mean loss, *parts) on the device."""
        if self.dropout_seed is not None:
            torch.manual_seed((self.dropout_seed << 32) + (number << 24) + self.step)
        share = len(targets) / self.batches.batch
        loss, *parts = self.objective(self._called, inputs, targets, self.precision)
        loss = loss * share
        loss.backward()
        return torch.stack((loss.detach().double(), *(part.double() * share for part in parts)))

    def window(self) -> dict[str, float]:
        """`closing_window`, waiting for the device."""
        return finish(self.closing_window())

    def closing_window(self) -> Work[dict[str, float]]:
        """Closes the training window: the mean loss and its parts of the batches since the last one.

        The training error is that of the augmented batches in training mode (the paper does not say how its Fig. 6
        measures it). Raises DivergedError naming the first step whose loss is not finite.
        """
        losses, *parts = (yield from on_host(torch.stack(self._pending))).unbind(1)
        bad = (~losses.isfinite()).nonzero()
        if len(bad):
            step = self.step - len(losses) + int(bad[0]) + 1
            raise DivergedError(f"the training loss is {float(losses[bad[0]])} at step {step:,}")
        self._pending.clear()
        means = {name: float(part.mean()) for name, part in zip(self.objective.parts, parts, strict=True)}
        if "error" in means:
            means["error"] *= 100
        return {"step": self.step, "rate": self.rate(self.step - 1), "loss": float(losses.mean()), **means}

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the training depends on, random states included."""
        return {
            "step": self.step,
            "net": self.net.state_dict(),
            "optimizer": self._optimizer_state(),
            "batches": self.batches.state_dict(),
            "curve": self.curve,
            "seconds": self.seconds,
            "pending": self._pending,
        }

    def _optimizer_state(self) -> dict[str, Any]:
        """With the learning rate as a number: a checkpoint is the same however the steps are made."""
        state = self.optimizer.state_dict()
        rate = self.rate(max(self.step - 1, 0))
        return {**state, "param_groups": [{**group, "lr": rate} for group in state["param_groups"]]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from `state`, with the updates that would have come next."""
        self.step, self.curve, self.seconds = state["step"], state["curve"], state["seconds"]
        self.net.load_state_dict(state["net"])
        self._load_optimizer(state["optimizer"])
        if state["batches"] is not None:  # None after the last step
            self.batches.load_state_dict(state["batches"])
        if self.captured:
            self.captured.forget()
        self._pending = [part.to(next(self.net.parameters()).device) for part in state["pending"]]

    def _load_optimizer(self, state: dict[str, Any]) -> None:
        """Takes only the momentum from `state`: how the step is made is this trainer's, not the checkpoint's."""
        own = dict(self.optimizer.param_groups[0])
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state["state"]})
        self.optimizer.param_groups[0].update(own)  # the rate itself, not its copy: a graph holds that tensor
