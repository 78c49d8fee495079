"""Work in turns, and the place where a run has them."""

from __future__ import annotations

import pytest
import torch

from bench.train.process_group import PeerError, ProcessGroup, refuse_shared_device
from bench.train.turns import Slot, Work, finish, on_host, ready


def three_turns(seen: list[int], threads: int = 0) -> Work[str]:
    """Notes the threads that it finds; sets its own in each turn."""
    for _ in range(3):
        seen.append(torch.get_num_threads())
        if threads:
            torch.set_num_threads(threads)
        yield None
    return "done"


def fails() -> Work[None]:
    yield None
    raise ZeroDivisionError("no step")


def test_work_alone_returns_what_it_returns_and_raises_what_it_raises() -> None:
    for drive in (finish, Slot().finish):
        seen: list[int] = []
        assert drive(three_turns(seen)) == "done"
        assert len(seen) == 3
        assert drive(ready(7)) == 7
        assert torch.equal(drive(on_host(torch.arange(3))), torch.arange(3))
        with pytest.raises(ZeroDivisionError, match="no step"):
            drive(fails())


def test_each_slot_has_the_threads_that_its_work_has_set() -> None:
    before, slots = torch.get_num_threads(), (Slot(), Slot())
    seen: tuple[list[int], list[int]] = [], []
    works = [three_turns(own, threads) for own, threads in zip(seen, (2, 3), strict=True)]
    for _ in range(3):
        for slot, work in zip(slots, works, strict=True):
            assert slot.can_run()
            slot.turn(work)
            assert torch.get_num_threads() == before

    assert seen == ([before, 2, 2], [before, 3, 3])
    with pytest.raises(StopIteration) as end:
        slots[0].turn(works[0])
    assert end.value.value == "done"
    slots[0].free_memory()
    assert slots[0].can_run()


def test_the_threads_are_given_back_when_work_fails() -> None:
    before, slot = torch.get_num_threads(), Slot()
    for drive in (slot.turn, slot.finish):

        def sets_and_fails() -> Work[None]:
            torch.set_num_threads(before + 1)
            yield from fails()

        work = sets_and_fails()
        with pytest.raises(ZeroDivisionError):
            for _ in range(2):
                drive(work)
        assert torch.get_num_threads() == before


class Told(ProcessGroup):
    """Processes of which the others have said which devices they have."""

    def __init__(self, *devices: str) -> None:
        self.devices = devices

    def each(self, value: object) -> list[object]:  # type: ignore[override]  # what is said is made up
        return [*self.devices, value]


def test_two_processes_of_a_run_on_one_gpu_are_refused_by_name() -> None:
    refuse_shared_device(ProcessGroup(), "n1, GPU-a")
    refuse_shared_device(Told("n1, GPU-a", "n1, GPU-b"), "n2, GPU-a")
    refuse_shared_device(Told("", ""), "")
    with pytest.raises(PeerError, match=r"processes 1 and 3 of the run have the same GPU \(n1, GPU-b\), and each"):
        refuse_shared_device(Told("n1, GPU-a", "n1, GPU-b", "n2, GPU-b"), "n1, GPU-b")
