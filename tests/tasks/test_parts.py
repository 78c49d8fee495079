"""A test in parts ends in the same numbers, however often it is stopped or killed, and says how far it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.store import RunFolder
from bench.tasks.job import Job
from bench.tasks.parts import in_parts
from bench.train.loop import StoppedError
from bench.train.process_group import ALONE, ProcessGroup
from bench.train.turns import finish
from tests.builders import StopAt, make, tiny_run

COUNT, SIZE = 23, 4


class Seen:
    """A test that finds each image's number, and keeps how the images were batched."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, int]] = []

    def __call__(self, parts: Sequence[slice]) -> Iterator[Tensor]:
        for part in parts:
            self.batches.append((part.start, part.stop))
            yield torch.arange(part.start, part.stop)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return make(tmp_path, tiny_run())


def job_of(folder: RunFolder, stop_at: int = 0, processes: ProcessGroup = ALONE) -> Job:
    return Job(folder, Path("data"), StopAt(stop_at) if stop_at else lambda: False, processes)


def found_by(job: Job, test: Seen, made_of: str = "a", every: float = 60.0) -> list[int]:
    found, seconds = finish(in_parts(job, "mine", [made_of], COUNT, SIZE, test, kept_every=every))
    assert seconds > 0
    return [int(number) for part in found for number in part]


@pytest.mark.parametrize("parts", range(6))
def test_a_test_that_is_stopped_goes_on_from_there_with_the_same_batches(folder: RunFolder, parts: int) -> None:
    whole, test = Seen(), Seen()
    assert found_by(job_of(make(folder.path.parent, tiny_run(), "whole")), whole) == list(range(COUNT))

    with pytest.raises(StoppedError, match=f"stopped after {parts * SIZE} of 23 test images; the next start goes on"):
        found_by(job_of(folder, parts + 1), test)
    assert folder.state() == ("stopped" if parts else "pending")

    assert found_by(job_of(folder), test) == list(range(COUNT))
    assert test.batches == whole.batches, "no image is tested twice, and each with the same ones"
    assert found_by(job_of(folder), test) == list(range(COUNT))
    assert test.batches == whole.batches, "a test that has ended is not made again"


def test_a_stop_behind_the_last_image_stops_nothing(folder: RunFolder) -> None:
    assert found_by(job_of(folder, 7), Seen()) == list(range(COUNT))


@pytest.mark.parametrize(("every", "again"), [(0.0, 3 * SIZE), (60.0, 0)])
def test_a_kill_loses_what_was_tested_since_the_last_saving(folder: RunFolder, every: float, again: int) -> None:
    work = in_parts(job_of(folder), "mine", ["a"], COUNT, SIZE, Seen(), kept_every=every)
    for _ in range(3):
        next(work)
    work.close()

    assert found_by(job_of(folder), test := Seen()) == list(range(COUNT))
    assert test.batches[0][0] == again


def test_what_was_found_with_other_weights_is_forgotten(folder: RunFolder) -> None:
    with suppress(StoppedError):
        found_by(job_of(folder, 3), Seen())

    assert found_by(job_of(folder), test := Seen(), made_of="b") == list(range(COUNT))
    assert test.batches[0] == (0, SIZE)


def test_it_says_how_far_it_is_beside_what_the_run_has_said(folder: RunFolder) -> None:
    folder.beat(12, loss=0.5)

    with suppress(StoppedError):
        found_by(job_of(folder, 3), Seen())

    beat = folder.heartbeat() or {}
    assert {name: beat[name] for name in ("step", "loss", "test", "tested", "to_test")} == {
        "step": 12,
        "loss": 0.5,
        "test": "mine",
        "tested": 2 * SIZE,
        "to_test": COUNT,
    }
    assert beat["test_images_per_s"] > 0


class OneOfThree(ProcessGroup):
    """Process `rank` of three that get what the test above finds of any images."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank, self.size = rank, 3
        self.given: list[Any] = []

    def of_first(self, make: Any) -> Any:
        return make()

    def each(self, value: Any) -> list[Any]:
        self.given.append(value)
        return [value]

    def any(self, flag: bool) -> bool:
        return flag


def test_processes_share_each_part_and_leave_no_image_out(folder: RunFolder) -> None:
    groups = [OneOfThree(rank) for rank in range(3)]
    for group in groups:
        found_by(job_of(make(folder.path.parent, tiny_run(), f"of-{group.rank}"), processes=group), Seen())

    shared = [part for parts in zip(*(group.given for group in groups), strict=True) for part in parts]
    assert [int(number) for part in shared if part is not None for number in part] == list(range(COUNT))
    assert [len(group.given) for group in groups] == [2, 2, 2], "12 images at a time, 4 in each"
