"""How the processes of a run find each other: the first opens a store and calls the others through a file."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as dist
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]  # public by its documentation

from bench.store import Rendezvous
from bench.train.loop import StoppedError
from bench.train.process_group import ALONE, SILENCE, LostError, PeerError, ProcessGroup

SECONDS = 900.0  # until all have come: the first may wait ten minutes for an orphan that holds the run
POLL_SECONDS = 0.05
CONNECT_SECONDS = 5.0  # to a store; where it has gone torch tries again until then, and the next call is not read


@contextmanager
def joined(rank: int, size: int, place: Rendezvous, stop: Callable[[], bool]) -> Iterator[ProcessGroup]:
    """The group of `size` processes that meet at `place`, as process `rank` sees it; ALONE where there is one.

    The first process opens a store on a free port and says where. Raises PeerError where not all come within
    SECONDS, StoppedError where `stop` says so before, StoreError where the file at `place` cannot be written.
    """
    if size == 1:
        yield ALONE
        return
    group = ProcessGroup(rank, size, _open(size, place, stop) if rank == 0 else _find(rank, size, place, stop))
    try:
        yield group
    except (LostError, StoppedError):
        raise
    except Exception as error:
        group.report(error)
        raise
    dist.destroy_process_group()  # not after an error: NCCL would wait for those who are gone


def _open(size: int, place: Rendezvous, stop: Callable[[], bool]) -> Store:
    """Opens the store and waits until every rank is taken."""
    host, token = socket.gethostname(), uuid.uuid4().hex
    store = TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=SILENCE)
    store.set("token", token)
    place.call(host, store.port, token)
    seats = [f"seat/{rank}" for rank in range(1, size)]
    for _ in _polls(stop, f"not all of {size} processes came to {host}, port {store.port}"):
        if store.check(seats):
            break
    store.set("complete", "")
    return store


def _find(rank: int, size: int, place: Rendezvous, stop: Callable[[], bool]) -> Store:
    """Takes this process's rank in the first group where it is free: in a group of an earlier try it is not."""
    tried = set[str]()
    for _ in _polls(stop, f"process 0 of {size} did not call all together in {place.path}"):
        called = place.read()
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
    raise AssertionError("polling ends with an error")


def _connected(host: str, port: int, token: str) -> Store | None:
    """The store there, None where nobody listens or it is another one."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()  # at once, where nobody listens
        soon = timedelta(seconds=CONNECT_SECONDS)  # its process may end between the two
        store = TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=soon)
        store.set_timeout(SILENCE)
        return store if store.check(["token"]) and store.get("token") == token.encode() else None
    except (OSError, RuntimeError):
        return None


def _completed(store: Store, size: int, stop: Callable[[], bool]) -> bool:
    """Waits until all have come; False where the first process was lost before."""
    for _ in _polls(stop, f"not all of {size} processes came"):
        try:
            if store.check(["complete"]):
                return True
        except RuntimeError:
            return False
    raise AssertionError("polling ends with an error")


def _polls(stop: Callable[[], bool], words: str) -> Iterator[None]:
    """Yields now and again until it raises: StoppedError where `stop` says so, PeerError after SECONDS."""
    limit = time.monotonic() + SECONDS
    while time.monotonic() < limit:
        if stop():
            raise StoppedError("stopped before the processes of the run had met")
        yield
        time.sleep(POLL_SECONDS)
    raise PeerError(
        f"{words} within {SECONDS / 60:.0f} min. Their logs say more. Where nodes reach each other by one "
        'network only, name it in the profile: setup = ["export GLOO_SOCKET_IFNAME=ib0 NCCL_SOCKET_IFNAME=ib0"]'
    )
