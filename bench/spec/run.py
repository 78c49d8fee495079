"""Run: one training of one net from one seed; Resources: what it costs, which is not part of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

from bench.spec.datasets import PARTS, dataset_of
from bench.spec.net import Net
from bench.spec.recipe import Detection, Faces, Recipe, Views
from bench.spec.tasks import task_of
from bench.spec.words import SCALES, SpecError, require

# Fields that were added when there were already runs, at the value that all of those had: at that value they are left
# out of the digest, so that no run's id changes.
ADDED_LATER: Mapping[str, Mapping[str, Any]] = {
    "net": {"norm": "bn", "weights": ""},
    "recipe": {"views": None, "faces": None, "detection": None},
}


BATCH_NORMS = ("passes", "grouped", "fused")


@dataclass(frozen=True, slots=True)
class Way:
    """How the steps of a run are made; see Resources. In words: "eager", "compiled", "graph, fused batch norm".

    padded_stem: `bench speed gpu` alone asks for it, where it pays.
    """

    graph: bool = False
    compile: bool = False
    batch_norm: str = "passes"
    padded_stem: bool = False

    def __str__(self) -> str:
        parts = {"graph": self.graph, "compiled": self.compile, f"{self.batch_norm} batch norm": self.one_pass}
        parts["padded stem"] = self.padded_stem
        return ", ".join(word for word, asked in parts.items() if asked) or "eager"

    @property
    def one_pass(self) -> bool:
        """Whether all batch-norm groups go through the net at once."""
        return self.batch_norm != "passes"


@dataclass(frozen=True, slots=True)
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

    cpus: int = 2
    gpus: int = 1
    memory_gib: float = 2.0
    checkpoint_seconds: float = 60.0
    nodes: int = 1
    tasks: int = 1
    compile: bool = False
    graph: bool = False
    share: int = 1
    batch_norm: str = "passes"
    padded_stem: bool = False

    def __post_init__(self) -> None:
        require(
            "resources",
            (self.cpus >= 1, f"cpus must be at least 1, got {self.cpus}"),
            (self.share >= 1, f"share must be at least 1, got {self.share}"),
            (
                self.batch_norm in BATCH_NORMS,
                f"batch_norm {self.batch_norm!r} is not one of: {', '.join(BATCH_NORMS)}",
            ),
            (self.gpus >= 0, f"gpus must not be negative, got {self.gpus}"),
            (self.memory_gib > 0, f"memory_gib must be positive, got {self.memory_gib}"),
            (self.checkpoint_seconds >= 0, f"checkpoint_seconds must not be negative, got {self.checkpoint_seconds}"),
            (self.nodes >= 1 and self.tasks >= 1, f"nodes and tasks must be 1 or more, got {self.nodes}, {self.tasks}"),
        )

    def as_begun(self, begun: Resources) -> Resources:
        """These with the threads and kernels that a run was begun with: it goes on with them, to the same bits."""
        return replace(self.made(begun.way), cpus=begun.cpus)

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


@dataclass(frozen=True, slots=True)
class Run:
    """One training of one net from one seed, and what is measured of it.

    data: a name of bench.spec.datasets, of ImageNet also its first N classes as in "imagenet-100".
    task: a name of bench.spec.tasks. "classify" trains and tests; "diagnose" does the same and looks at every layer's
    gradient on the way; "evaluate" tests published weights; "verify" is about faces, "detect" about objects.
    """

    scale: str
    net: Net
    data: str
    recipe: Recipe
    seed: int
    task: str = "classify"
    resources: Resources = field(default=Resources(), compare=False)

    def __post_init__(self) -> None:
        data, task = dataset_of(self.data), task_of(self.task)
        parts = tuple(part for part in PARTS if getattr(self.recipe, part))
        require(
            "run",
            (self.scale in SCALES, f"scale {self.scale!r} is not one of: {', '.join(SCALES)}"),
            (
                parts == (data.part,) * bool(data.part),
                f"data {self.data!r} go with a recipe that has {data.part or 'none of ' + ', '.join(PARTS)}; "
                f"this one has {' and '.join(parts) or 'none'}",
            ),
            (
                self.task in data.tasks,
                f"task {self.task!r} and data {self.data!r} do not go together: they are for {', '.join(data.tasks)}",
            ),
            (
                self.task in (self.net.row.tasks or (self.task,)),
                f"nets of family {self.net.family!r} are there for task {', '.join(self.net.row.tasks)} only",
            ),
            (
                self.net.start.source in task.weights,
                f"task {self.task!r} cannot start from weights {self.net.weights!r}",
            ),
            (
                task.trains == bool(self.recipe.steps),
                f"task {self.task!r} does not go with {self.recipe.steps} steps",
            ),
            *task.checks(self),
            (
                isinstance(self.seed, int) and 0 <= self.seed < 2**32,
                f"seed must be a whole number from 0 to {2**32 - 1:,}, got {self.seed!r}",
            ),
            (
                not data.made_up or self.scale == "quick",
                "the stand-in is for scale quick alone: give the real data with --data",
            ),
        )

    @property
    def digest(self) -> str:
        """Eight hex digits of the SHA-256 over every field that can change the number (but see ADDED_LATER)."""
        return _run_digest(self)

    @property
    def id(self) -> str:
        """A readable label with the digest, also the run's folder: `plain-20-paper-s0-1a2b3c4d`."""
        return f"{self.net.name}-{self.scale}-s{self.seed}-{self.digest}"

    def as_json(self) -> dict[str, Any]:
        """The run as plain JSON values; `run_from_json` reads it back."""
        return asdict(self)


@cache
def _run_digest(run: Run) -> str:
    values = {name: value for name, value in asdict(run).items() if name != "resources"}
    for part, fields in ADDED_LATER.items():
        values[part] = dict(item for item in values[part].items() if item not in fields.items())
    return digest(values)[:8]


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON value in its canonical spelling: sorted keys, no spaces."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def run_from_json(value: Mapping[str, Any]) -> Run:
    """The inverse of `Run.as_json`. Raises SpecError where a field is unknown or missing."""
    try:
        recipe = dict(value["recipe"], drops=tuple(value["recipe"]["drops"]))
        if views := recipe.get("views"):
            tuples = {name: tuple(views[name]) for name in ("shorter", "scales")}
            recipe["views"] = Views(**{**views, **tuples})
        if faces := recipe.get("faces"):
            recipe["faces"] = Faces(**faces)
        if detection := recipe.get("detection"):
            tuples = {name: tuple(detection[name]) for name in ("anchors", "before_nms", "after_nms", "scales")}
            recipe["detection"] = Detection(**{**detection, **tuples})
        parts = {
            "net": Net(**value["net"]),
            "recipe": Recipe(**recipe),
            "resources": Resources(**value["resources"]),
        }
        return Run(**{**value, **parts})
    except (KeyError, TypeError) as error:
        raise SpecError(f"not a run of this version of the suite: {error}") from None
