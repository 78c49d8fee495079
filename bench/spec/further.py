"""Further test sets, a row each: what trained nets are tested on beside the test images of their own data.

To add one, add a row, and the functions that it names as "module:function", which are imported when they are needed.
They change nothing in a run and are not in its id: a run is tested on them when it is done, from its final weights.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.spec.advice import nearest, shown
from bench.spec.words import Row, SpecError


@dataclass(frozen=True, slots=True)
class FurtherSet(Row):
    """A test set under a name that Sweep.tests gives.

    title: its name on pages. of: the data set whose nets it tests. tasks: whose runs it may test.
    locate: finds it below the data folder: (folder, row) -> its place; raises AbsentError where it is not there.
    reader: (place, row) -> what `test` wants, with its `digest`. test: (experiment, net, row, what was read) -> the
    outcome of each part, as Work.
    images: of each part. parts: what its results are kept by, such as severities; ("",) for one that has none.
    group: the word for all of its kind, whose errors have a mean, "" for none. extra: whether it is in no such mean.
    same_images: whether these are the images of the run's own test in their order, changed.
    """

    name: str
    title: str
    of: str
    tasks: tuple[str, ...]
    locate: str
    reader: str
    test: str
    images: int
    parts: tuple[str, ...] = ("",)
    group: str = ""
    extra: bool = False
    same_images: bool = False

    @property
    def member(self) -> str:
        """Its name within its group."""
        return self.name.rpartition(":")[2]

    @property
    def member_title(self) -> str:
        """That name on pages."""
        return _words(self.member)


def _words(member: str) -> str:
    return member.replace("_", " ").replace("jpeg", "JPEG")


def _cifar(name: str, title: str, kind: str, images: int, **more: Any) -> FurtherSet:
    """For nets trained on CIFAR-10. kind: of its files."""
    files = "bench.data.cifar_further"
    return FurtherSet(
        name,
        title,
        "cifar10",
        ("classify", "diagnose"),
        locate=f"{files}:locate_{kind}",
        reader=f"{files}:read_{kind}",
        test="bench.tasks.classification.further:test",
        images=images,
        **more,
    )


CORRUPTIONS = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")  # of the same authors, not in the benchmark's mean
SEVERITIES = tuple("12345")
GROUPS: Mapping[str, str] = {"cifar10-c": "CIFAR-10-C"}  # by name: their titles
ROWS = (
    _cifar("cifar10.1-v4", "CIFAR-10.1 v4", "cifar101", 2_021),
    _cifar("cifar10.1-v6", "CIFAR-10.1 v6", "cifar101", 2_000),
    *(
        _cifar(
            f"cifar10-c:{word}",
            f"{GROUPS['cifar10-c']}, {_words(word)}",
            "cifar10c",
            10_000,
            parts=SEVERITIES,
            group="cifar10-c",
            extra=word in EXTRA,
            same_images=True,
        )
        for word in (*CORRUPTIONS, *EXTRA)
    ),
)
FURTHER: Mapping[str, FurtherSet] = {row.name: row for row in ROWS}


def further_sets(names: Iterable[str]) -> tuple[FurtherSet, ...]:
    """The rows of these names, each once; the name of a group stands for all in it. Raises SpecError."""
    found: dict[str, FurtherSet] = {}
    for name in names:
        rows = {row.name: row for row in FURTHER.values() if name in (row.name, row.group)}
        if not rows:
            known = _names(FURTHER.values())
            meant = f"; the nearest is {near}" if (near := nearest(name, known)) else ""
            raise SpecError(f"tests: {shown(name)} is not one of: {', '.join(known)}{meant}")
        found |= rows
    return tuple(found.values())


def known_sets(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, all of which there are. Raises SpecError."""
    further_sets(names)
    return names


def _names(rows: Iterable[FurtherSet]) -> list[str]:
    """Of sets and of their groups, which come first."""
    return list(dict.fromkeys(name for row in rows for name in (row.group or row.name, row.name)))


def unfit(names: Sequence[str], data: Collection[str], task: str) -> str:
    """Which of these test no net that is trained on one of `data` by the task, and what does; "" where all do."""
    fitting = _names(row for row in FURTHER.values() if row.of in data and task in row.tasks)
    strange = [name for name in names if name not in fitting]
    if not strange:
        return ""
    return (
        f"tests names {', '.join(strange)}, and nets trained on {' or '.join(sorted(data))} by task {task} are tested "
        f"on: {', '.join(fitting) or 'none, so leave tests out'}"
    )
