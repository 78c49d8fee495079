"""Run: one training of one net from one seed; Resources: what it costs, which is not part of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, field, replace
from functools import cache
from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, TypeAdapter, ValidationError

from bench.spec.datasets import PARTS, Dataset, dataset_of
from bench.spec.declare import Count, declaration, one_of, sentences
from bench.spec.net import Net
from bench.spec.recipe import MOST_TESTED, Recipe
from bench.spec.tasks import OwnTask, Task, task_of
from bench.spec.words import SCALES, SpecError, require

# Fields that were added when there were already runs, at the value that all of those had: at that value they are left
# out of the digest, so that no run's id changes.
ADDED_LATER: Mapping[str, Mapping[str, Any]] = {
    "net": {"norm": "bn", "weights": "", "build": "", "build_sha256": "", "label": "", "options": ""},
    "recipe": {"views": None, "faces": None, "detection": None, "size": 32, "augment": "crop+flip"},
}
BATCH_NORMS = ("passes", "grouped", "fused")
BatchNorm = Annotated[str, one_of(*BATCH_NORMS)]


@declaration
class Way:
    """How the steps of a run are made; see Resources. In words: "eager", "compiled", "graph, fused batch norm".

    padded_stem: `bench speed gpu` alone asks for it, where it pays.
    """

    graph: bool = False
    compile: bool = False
    batch_norm: BatchNorm = "passes"
    padded_stem: bool = False

    def __str__(self) -> str:
        parts = {"graph": self.graph, "compiled": self.compile, f"{self.batch_norm} batch norm": self.one_pass}
        parts["padded stem"] = self.padded_stem
        return ", ".join(word for word, asked in parts.items() if asked) or "eager"

    @property
    def one_pass(self) -> bool:
        """Whether all batch-norm groups go through the net at once."""
        return self.batch_norm != "passes"


@declaration
class Resources:
    """What a run costs, not part of the id: another hardware or thread count moves a number by rounding only.

    cpus: threads of one process on a CPU. gpus: devices of one process. memory_gib: main memory of one process.
    share: runs that train on one CUDA device at once (in a job on Slurm, the profile's at_once says it).
    checkpoint_seconds: at most this much training is lost to a kill -9.
    compile: whether torch.compile makes the net's kernels: faster after a wait of a minute; `--compile` asks for it.
    graph: whether the step of a classifier that trains on a GPU in one process is one CUDA graph.
    batch_norm: how a classifier's batch-norm groups go through the net: in "passes", one after the other; all at once,
    each "grouped" by torch's batch norm; or "fused", with shortcut and ReLU in Triton's kernels on a GPU.
    padded_stem: whether the first convolution gets more input channels, of zeros, where groups go at once in bf16.
    nodes, tasks: on Slurm a run trains on so many nodes in so many processes on each, which share its batch-norm
    groups equally: the batch of 128 in groups of 64 has room for two. Elsewhere a run is one process.
    """

    cpus: Count = 2
    gpus: NonNegativeInt = 1
    memory_gib: PositiveFloat = 2.0
    checkpoint_seconds: NonNegativeFloat = 60.0
    nodes: Count = 1
    tasks: Count = 1
    compile: bool = False
    graph: bool = False
    share: Count = 1
    batch_norm: BatchNorm = "passes"
    padded_stem: bool = False

    def as_begun(self, begun: Resources) -> Resources:
        """These with the threads and kernels that a run began with: it is resumed with them, to the same bits."""
        return replace(self.made(begun.way), cpus=begun.cpus)

    def as_recorded(self, about: Mapping[str, Any], cpu: str) -> Resources:
        """These with the threads and kernels of a run's provenance; without GPUs where it ran on a CPU of this name."""
        threads = re.match(r"\d+", str(about.get("threads") or ""))
        return replace(
            self,
            cpus=int(threads[0]) if threads else self.cpus,
            gpus=0 if about["hardware"] == cpu else self.gpus,
            compile="compiled" in re.split(r"[,;] ", str(about.get("kernels") or "")),
        )

    @property
    def way(self) -> Way:
        """How its steps are made."""
        return Way(self.graph, self.compile, self.batch_norm, self.padded_stem)

    def made(self, way: Way) -> Resources:
        """These with the steps made in that way."""
        return replace(self, **asdict(way))

    @property
    def processes(self) -> int:
        """The processes of one run on Slurm."""
        return self.nodes * self.tasks


@declaration
class Run:
    """One training of one net from one seed, and what is measured of it.

    data: a name of bench.spec.datasets, of ImageNet also its first N classes as in "imagenet-100".
    task: a name of bench.spec.tasks. "classify" trains and tests; "diagnose" does the same and looks at every layer's
    gradient on the way; "evaluate" tests weights without training; "verify" is about faces, "detect" about objects.
    own_task: what it is where `task` is one of the user's.
    """

    scale: Annotated[str, one_of(*SCALES)]
    net: Net
    data: str
    recipe: Recipe
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    task: str = "classify"
    resources: Resources = field(default=Resources(), compare=False)
    own_task: OwnTask | None = None

    def __post_init__(self) -> None:
        data, task = self.dataset, self.task_row
        require(
            "run",
            *_of_data(self),
            (
                (task.like or self.task) in data.tasks,
                f"task {self.task!r} and data {self.data!r} do not go together: they are for {', '.join(data.tasks)}",
            ),
            (
                (task.like or self.task) in (self.net.row.tasks or (task.like or self.task,)),
                f"nets of family {self.net.family!r} are there for task {', '.join(self.net.row.tasks)} only",
            ),
            (
                self.net.start.source in task.weights,
                f"task {self.task!r} cannot start from weights {self.net.weights!r}: it takes "
                + (", ".join(f"{word}:…" for word in task.weights if word) or "none")
                + " or none" * ("" in task.weights and len(task.weights) > 1),
            ),
            (
                task.trains == bool(self.recipe.steps),
                f"task {self.task!r} does not go with {self.recipe.steps} steps: "
                f"{'it trains' if task.trains else 'it trains nothing, write Recipe(steps=0, drops=())'}",
            ),
            *task.checks(self),
            (
                not data.made_up or self.scale == "quick",
                "the stand-in is for scale quick alone: give the real data with --data",
            ),
        )

    @property
    def task_row(self) -> Task:
        """What the suite knows of its task."""
        if self.own_task is None:
            return task_of(self.task)
        require("run", (self.task == self.own_task.name, f"task {self.task!r} is not the own one's: leave one out"))
        return self.own_task.row

    @property
    def codes(self) -> dict[str, tuple[str, str]]:
        """The files of the user's code that it depends on: (code, SHA-256) by the file's name in the run's folder."""
        net, task = self.net, self.own_task
        codes = {"net.py": (net.build, net.build_sha256)} if net.build else {}
        return codes | ({"task.py": (task.code, task.sha256)} if task else {})

    @property
    def dataset(self) -> Dataset:
        """The row of its data set, for its recipe."""
        row = dataset_of(self.data)
        return dataset_of(self.data, parted=bool(getattr(self.recipe, row.part))) if row.without_part else row

    @property
    def sha256(self) -> str:
        """The SHA-256 over every field that can change the number (but see ADDED_LATER)."""
        return _run_digest(self)

    @property
    def digest(self) -> str:
        """Its first eight hex digits."""
        return self.sha256[:8]

    @property
    def id(self) -> str:
        """A readable label with the digest, also the run's folder: `plain-20-paper-s0-1a2b3c4d`."""
        return f"{self.net.name}-{self.scale}-s{self.seed}-{self.digest}"

    def as_json(self) -> dict[str, Any]:
        """The run as plain JSON values; `run_from_json` reads it back."""
        values: dict[str, Any] = RUNS.dump_python(self, mode="json", by_alias=True)
        return values


def _of_data(run: Run) -> Iterator[tuple[bool, str]]:
    """What of its recipe does not go with its data."""
    data, recipe = run.dataset, run.recipe
    parts = tuple(part for part in PARTS if getattr(recipe, part))
    yield (
        parts == (data.part,) * bool(data.part),
        f"data {run.data!r} go with a recipe that has {data.part or 'none of ' + ', '.join(PARTS)}"
        f"; this one has {' and '.join(parts) or 'none'}"
        f"{f': write Recipe({data.part}={data.part.title()}())' * bool(data.part)}",
    )
    yield (
        not data.images or recipe.batch <= data.images,
        f"batch {recipe.batch} must be at most the {data.images:,} images of {data.title}, such as batch=128",
    )
    yield (
        recipe.test_images <= max(10_000, data.test_images or MOST_TESTED),
        f"test_images {recipe.test_images} must be at most the {data.test_images:,} test images of {data.title}: write "
        f"test_images={data.test_images}",
    )
    yield (
        not data.side or recipe.size == data.side,
        f"size {recipe.size} is for images of your own, and those of {data.title} have {data.side} x {data.side} "
        "pixels: leave size out",
    )


RUNS = TypeAdapter(Run)


@cache
def _run_digest(run: Run) -> str:
    values = run.as_json()
    del values["resources"]
    if values["own_task"] is None:
        del values["own_task"]
    for part, fields in ADDED_LATER.items():
        values[part] = dict(item for item in values[part].items() if item not in fields.items())
    return digest(values)


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON value in its canonical spelling: sorted keys, no spaces."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def run_from_json(text: str | bytes) -> Run:
    """The inverse of `Run.as_json`. Raises SpecError where it is no run of this version."""
    try:
        return RUNS.validate_json(text, by_alias=True, by_name=False)
    except ValidationError as error:
        raise SpecError(f"not a run of this version of the suite: {'; '.join(sentences(error))}") from None
