"""Several processes that train one net together, by torch.distributed: gloo between CPUs, NCCL between GPUs.

As on the paper's two GPUs (Section 4.2) each takes its images of the batch and the gradients are averaged. Every
process draws the whole batch from the same random stream: how many there are changes a number by rounding only, and
what some have begun any other number of them can finish.
"""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]  # public by its documentation
from torch.nn.modules.batchnorm import _BatchNorm

from bench.store import Meeting
from bench.train.loop import StoppedError
from bench.train.team import ALONE, Team

T = TypeVar("T")
MEETING_SECONDS = 900.0  # until all have come: the first may wait ten minutes for an orphan that holds the run
SILENCE_SECONDS = 300.0  # without a word of the others: the first may be writing a checkpoint to a slow disk
LOOK_SECONDS = 0.05


class LostError(RuntimeError):
    """Another process of the run ended without a word: all start again from the last checkpoint."""


class PeerError(RuntimeError):
    """A process of the run does not come, cannot go on, or is not like the others; says which and why."""


class Peers(Team):
    """One of several processes that have met. The end of another is a PeerError with what it told, or a LostError."""

    def __init__(self, rank: int, size: int, store: Store) -> None:
        self.rank, self.size, self.store = rank, size, store
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        silence = timedelta(seconds=SILENCE_SECONDS)
        with self._listening():
            dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=silence)

    @contextmanager
    def together(self, net: nn.Module, groups: int) -> Iterator[None]:
        """See Team; one sum over the processes of a single flat tensor.

        A running statistic follows r <- (1 - m) r + m s from group to group. That is linear: each process makes its
        groups' part of it from zero, which the groups after them multiply by (1 - m) each.
        """
        own = groups // self.size
        after = own * (self.size - 1 - self.rank)
        norms = [layer for layer in net.modules() if isinstance(layer, _BatchNorm)]
        statistics = [(buffer, _kept(layer)) for layer in norms for buffer in _statistics(layer)]
        before = [buffer.clone() for buffer, _ in statistics]
        for buffer, _ in statistics:
            buffer.zero_()
        yield
        for buffer, kept in statistics:
            buffer.mul_(kept**after)
        gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
        self._add_up([*gradients, *(buffer for buffer, _ in statistics)])
        for (buffer, kept), old in zip(statistics, before, strict=True):
            buffer.add_(old, alpha=kept**groups)
        for layer in norms:
            assert layer.num_batches_tracked is not None
            layer.num_batches_tracked += groups - own

    def _add_up(self, parts: Sequence[Tensor]) -> None:
        """Makes each tensor its sum over the processes, in one message."""
        total = self.sum(torch.cat([part.reshape(-1) for part in parts]))
        for part, summed in zip(parts, total.split([part.numel() for part in parts]), strict=True):
            part.copy_(summed.view(part.shape))

    def own(self, groups: int) -> slice:
        """See Team. Raises ValueError where the groups cannot be shared equally."""
        if groups % self.size:
            raise ValueError(f"{groups} batch-norm groups a batch cannot be shared by {self.size} processes")
        return self.slice_of(groups)

    def slice_of(self, count: int) -> slice:
        """See Team; parts differ by one at most."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sum(self, part: Tensor) -> Tensor:
        """See Team."""
        total = part.clone()
        with self._listening():
            dist.all_reduce(total)
        return total

    def any(self, flag: bool) -> bool:
        """See Team; between the CPUs, so that no GPU is waited for."""
        return bool(self.sum(torch.tensor(int(flag))))

    def of_first(self, make: Callable[[], T]) -> T:
        """See Team; it travels, since a file system may show the others an older file."""
        value: T = self._of(0, make() if self.rank == 0 else None)
        return value

    def each(self, value: T) -> list[T]:
        """See Team."""
        return [self._of(rank, value) for rank in range(self.size)]

    def _of(self, rank: int, value: Any) -> Any:
        values = [value]
        with self._listening():
            dist.broadcast_object_list(values, src=rank, device=torch.device("cpu"))
        return values[0]

    def tell(self, error: Exception) -> None:
        """Leaves word why this process ends."""
        with suppress(RuntimeError):
            self.store.set(f"told/{self.rank}", f"process {self.rank} on {socket.gethostname()}: {error}")

    def _told(self) -> str:
        with suppress(RuntimeError):  # the store is gone with the first process
            keys = [f"told/{rank}" for rank in range(self.size) if rank != self.rank]
            return "; ".join(self.store.get(key).decode() for key in keys if self.store.check([key]))
        return ""

    @contextmanager
    def _listening(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # all that gloo's, NCCL's and the store's errors have in common
            if told := self._told():
                raise PeerError(told) from error
            raise LostError(f"another process of the run was lost ({str(error).splitlines()[0]})") from error


def _statistics(layer: _BatchNorm) -> tuple[Tensor, Tensor]:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return layer.running_mean, layer.running_var


def _kept(layer: _BatchNorm) -> float:
    """What an update leaves of a running statistic."""
    assert layer.momentum is not None
    return 1 - float(layer.momentum)


def agree(team: Team, **facts: object) -> None:
    """Raises PeerError, in every process of the team, where a fact is not the same in all."""
    first, *others = team.each(facts)
    for rank, theirs in enumerate(others, 1):
        for name, value in first.items():
            if theirs[name] != value:
                raise PeerError(f"process {rank} has another {name} than process 0: {theirs[name]}, not {value}")


def refuse_shared_device(team: Team, device: str) -> None:
    """Raises PeerError, in every process of the team, where two have one GPU, which NCCL refuses in riddles.

    device: what tells this process's from all others, "" for a CPU.
    """
    every = team.each(device)
    for rank, theirs in enumerate(every):
        if theirs and theirs in every[:rank]:
            raise PeerError(
                f"processes {every.index(theirs)} and {rank} of the run have the same GPU ({theirs}), and each needs "
                "one of its own: ask for as many GPUs as processes, or for one process (tasks = 1)"
            )


@contextmanager
def meet(rank: int, size: int, meeting: Meeting, stop: Callable[[], bool]) -> Iterator[Team]:
    """The team of `size` processes that meet at `meeting`, as process `rank` sees it; ALONE where there is one.

    The first process opens a store on a free port and says where. Raises PeerError where not all come within
    MEETING_SECONDS, StoppedError where `stop` says so before, StoreError where the meeting's file cannot be written.
    """
    if size == 1:
        yield ALONE
        return
    team = Peers(rank, size, _invite(size, meeting, stop) if rank == 0 else _find(rank, size, meeting, stop))
    try:
        yield team
    except (LostError, StoppedError):
        raise
    except Exception as error:
        team.tell(error)
        raise
    dist.destroy_process_group()  # not after an error: NCCL would wait for those who are gone


def _invite(size: int, meeting: Meeting, stop: Callable[[], bool]) -> Store:
    """Opens the store and waits until every seat is taken."""
    host, token = socket.gethostname(), uuid.uuid4().hex
    silence = timedelta(seconds=SILENCE_SECONDS)
    store = TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=silence)
    store.set("token", token)
    meeting.call(host, store.port, token)
    seats = [f"seat/{rank}" for rank in range(1, size)]
    for _ in _looks(stop, f"not all of {size} processes came to {host}, port {store.port}"):
        if store.check(seats):
            break
    store.set("complete", "")
    return store


def _find(rank: int, size: int, meeting: Meeting, stop: Callable[[], bool]) -> Store:
    """Takes this process's seat in the first team that has it free: a team of an earlier try has not."""
    tried = set[str]()
    for _ in _looks(stop, f"process 0 of {size} did not call all together in {meeting.path}"):
        called = meeting.read()
        if called is None or called["token"] in tried:
            continue
        if called["over"]:
            raise PeerError("process 0 has ended for good")
        store = _connected(called["host"], called["port"], called["token"])
        if store is None:
            continue
        tried.add(called["token"])
        if store.add(f"seat/{rank}", 1) == 1 and _completed(store, size, stop):
            return store
    raise AssertionError("looks end with an error")


def _connected(host: str, port: int, token: str) -> Store | None:
    """The store there, None where nobody listens (any more) or it is another one."""
    try:
        socket.create_connection((host, port), timeout=5).close()  # TCPStore itself would try for as long as it may
        silence = timedelta(seconds=SILENCE_SECONDS)
        store = TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=silence)
        return store if store.check(["token"]) and store.get("token") == token.encode() else None
    except (OSError, RuntimeError):
        return None


def _completed(store: Store, size: int, stop: Callable[[], bool]) -> bool:
    """Waits until all have come; False where the first process was lost before."""
    for _ in _looks(stop, f"not all of {size} processes came"):
        try:
            if store.check(["complete"]):
                return True
        except RuntimeError:
            return False
    raise AssertionError("looks end with an error")


def _looks(stop: Callable[[], bool], words: str) -> Iterator[None]:
    """Yields now and again until it raises: StoppedError where `stop` says so, PeerError after MEETING_SECONDS."""
    limit = time.monotonic() + MEETING_SECONDS
    while time.monotonic() < limit:
        if stop():
            raise StoppedError("stopped before the processes of the run had met")
        yield
        time.sleep(LOOK_SECONDS)
    raise PeerError(
        f"{words} within {MEETING_SECONDS / 60:.0f} min. Their logs say more. Where nodes reach each other by one "
        'network only, name it in the profile: setup = ["export GLOO_SOCKET_IFNAME=ib0 NCCL_SOCKET_IFNAME=ib0"]'
    )
