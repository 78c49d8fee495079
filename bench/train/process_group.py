"""The processes that train one net together, by torch.distributed: gloo between CPUs, NCCL between GPUs.

As on the paper's two GPUs (Section 4.2) each takes its images of the batch and the gradients are averaged. Every
process draws the whole batch from the same random stream: their number changes results by rounding only, and any other
number of them can resume the run.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import Store  # type: ignore[attr-defined]  # public by its documentation
from torch.nn.modules.batchnorm import _BatchNorm

T = TypeVar("T")
SILENCE = timedelta(seconds=300)  # without a message: the first process may be writing a checkpoint to a slow disk


class LostError(RuntimeError):
    """Another process of the run ended without a message: all start again from the last checkpoint."""


class PeerError(RuntimeError):
    """A process of the run does not come, fails, or is not like the others; says which and why."""


class ProcessGroup:
    """The run's processes as process `rank` of `size` sees them; alone, without a store, it gets back what it gives.

    The end of another process is a PeerError with what it reported, or a LostError.
    """

    def __init__(self, rank: int = 0, size: int = 1, store: Store | None = None) -> None:
        self.rank, self.size, self.store = rank, size, store
        if store is not None:
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            with self._listening():
                dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=SILENCE)

    @contextmanager
    def together(self, net: nn.Module, groups: int) -> Iterator[None]:
        """Inside, `net` takes this process's part of a batch of `groups` batch-norm groups forward and backward.

        Afterwards its gradients and running statistics are those of one process that took all groups in turn, by one
        sum over the processes of a flat tensor. A running statistic follows r <- (1 - m) r + m s from group to group.
        That is linear: each process makes its groups' part of it from zero, which each later group multiplies by 1 - m.
        """
        if self.size == 1:
            yield
            return
        own = groups // self.size
        norms: list[Any] = [layer for layer in net.modules() if isinstance(layer, _BatchNorm)]
        statistics = [(buf, 1 - norm.momentum) for norm in norms for buf in (norm.running_mean, norm.running_var)]
        before = [buffer.clone() for buffer, _ in statistics]
        for buffer, _ in statistics:
            buffer.zero_()
        yield
        for buffer, kept in statistics:
            buffer.mul_(kept ** (own * (self.size - 1 - self.rank)))
        gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
        self._add_up([*gradients, *(buffer for buffer, _ in statistics)])
        for (buffer, kept), old in zip(statistics, before, strict=True):
            buffer.add_(old, alpha=kept**groups)
        for norm in norms:
            norm.num_batches_tracked += groups - own

    def _add_up(self, parts: Sequence[Tensor]) -> None:
        """Makes each tensor its sum over the processes, in one message."""
        total = self.sum(torch.cat([part.reshape(-1) for part in parts]))
        for part, summed in zip(parts, total.split([part.numel() for part in parts]), strict=True):
            part.copy_(summed.view(part.shape))

    def own(self, groups: int) -> slice:
        """This process's part of a batch's batch-norm groups. Raises ValueError unless they can be shared equally."""
        if groups % self.size:
            raise ValueError(f"{groups} batch-norm groups a batch cannot be shared by {self.size} processes")
        return self.slice_of(groups)

    def slice_of(self, count: int) -> slice:
        """This process's part of `count` things; each belongs to one process, and parts differ by one at most."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sum(self, part: Tensor) -> Tensor:
        """The sum of all processes' `part` (of one shape and type), the same bits in each."""
        if self.size == 1:
            return part
        total = part.clone()
        with self._listening():
            dist.all_reduce(total)
        return total

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process; asked between the CPUs, so that no GPU is waited for."""
        return flag if self.size == 1 else bool(self.sum(torch.tensor(int(flag))))

    def of_first(self, make: Callable[[], T]) -> T:
        """What `make` returns in the first process, sent to all: a file system may show the others an older file."""
        value: T = self._of(0, make() if self.rank == 0 else None)
        return value

    def each(self, value: T) -> list[T]:
        """Every process's `value`, in the order of their ranks."""
        return [self._of(rank, value) for rank in range(self.size)]

    def _of(self, rank: int, value: Any) -> Any:
        if self.size == 1:
            return value
        values = [value]
        with self._listening():
            dist.broadcast_object_list(values, src=rank, device=torch.device("cpu"))
        return values[0]

    def report(self, error: Exception) -> None:
        """Tells the others why this process ends."""
        assert self.store is not None
        with suppress(RuntimeError):
            self.store.set(f"told/{self.rank}", f"process {self.rank} on {socket.gethostname()}: {error}")

    def _reports(self) -> str:
        assert self.store is not None
        with suppress(RuntimeError):  # the store is gone with the first process
            keys = [f"told/{rank}" for rank in range(self.size) if rank != self.rank]
            return "; ".join(self.store.get(key).decode() for key in keys if self.store.check([key]))
        return ""

    @contextmanager
    def _listening(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # all that gloo's, NCCL's and the store's errors have in common
            if reports := self._reports():
                raise PeerError(reports) from error
            raise LostError(f"another process of the run was lost ({str(error).splitlines()[0]})") from error


ALONE = ProcessGroup()


def agree(processes: ProcessGroup, **facts: object) -> None:
    """Raises PeerError, in every process, where a fact is not the same in all."""
    first, *others = processes.each(facts)
    for rank, theirs in enumerate(others, 1):
        for name, value in first.items():
            if theirs[name] != value:
                raise PeerError(f"process {rank} has another {name} than process 0: {theirs[name]}, not {value}")


def refuse_shared_device(processes: ProcessGroup, device: str) -> None:
    """Raises PeerError, in every process, where two have one GPU, for which NCCL's own error is a riddle.

    device: what tells this process's from all others, "" for a CPU.
    """
    every = processes.each(device)
    for rank, theirs in enumerate(every):
        if theirs and theirs in every[:rank]:
            raise PeerError(
                f"processes {every.index(theirs)} and {rank} of the run have the same GPU ({theirs}), and each needs "
                "one of its own: ask for as many GPUs as processes, or for one process (tasks = 1)"
            )
