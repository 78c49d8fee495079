"""The vocabulary of the suite: Net, Recipe, Run, Resources, Scale, Claim, Sweep. Standard library only.

A Run is a frozen value. Whatever can change its number is in it and hashed into its id, defaults included;
whatever changes only the bill is in Resources and is not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

SCALES = ("paper", "short", "quick")
SHORTCUTS = ("none", "A", "B", "C")
IMAGENET_DEPTHS = (18, 34, 50, 101, 152)
PRECISIONS = ("fp32", "bf16")
SPLITS = ("50k", "45k/5k")
DATASETS = ("cifar10", "stand-in")
TASKS = ("classify", "diagnose")
NORMS = ("bn", "none")
METRICS = ("test_error", "train_error")
CLAIM_NETS = {  # the fewest and the most nets of a claim, by its kind
    "equals": (1, 1),
    "exceeds": (1, 1),
    "worse with depth": (2, 99),
    "better with depth": (2, 99),
    "residual beats plain": (2, 2),
    "interaction": (4, 4),
}


# Fields that were added when there were already runs, at the value that all of those had: at that value they are left
# out of the digest, so that no run's id changes.
ADDED_LATER: Mapping[str, Mapping[str, str]] = {"net": {"norm": "bn"}}
HEALTHY = (
    10.0  # over a whole net: a gradient that grows or shrinks by less is called healthy, else exploding, vanishing
)


class SpecError(ValueError):
    """A declaration that cannot be meant; says every mistake in it at once."""


def _require(what: str, *checks: tuple[bool, str]) -> None:
    mistakes = [message for fine, message in checks if not fine]
    if mistakes:
        raise SpecError(f"{what}: " + "; ".join(mistakes))


@dataclass(frozen=True, slots=True)
class Net:
    """One of the paper's nets.

    family: "cifar" (Section 4.2, depth 6n+2) or "imagenet" (Table 1).
    shortcut: "none" for the plain net, else option "A", "B" or "C" (Section 3.3 and 4.1).
    stride_in: which convolution of a bottleneck block has the stride, "1x1" (the paper) or "3x3" (torchvision).
    norm: "bn" after every convolution (Section 3.4), or "none", which gives the convolutions a bias instead.
    """

    family: str
    depth: int
    shortcut: str
    stride_in: str = "1x1"
    norm: str = "bn"

    def __post_init__(self) -> None:
        _require(
            "net",
            (self.family in ("cifar", "imagenet"), f"family {self.family!r} is not one of: cifar, imagenet"),
            (self.shortcut in SHORTCUTS, f"shortcut {self.shortcut!r} is not one of: {', '.join(SHORTCUTS)}"),
            (self.stride_in in ("1x1", "3x3"), f"stride_in {self.stride_in!r} is not one of: 1x1, 3x3"),
            (self.norm in NORMS, f"norm {self.norm!r} is not one of: {', '.join(NORMS)}"),
            (self._depth_is_known(), f"depth {self.depth!r} is not one of: {self._known_depths()}"),
        )

    def _depth_is_known(self) -> bool:
        if self.family == "imagenet":
            return self.depth in IMAGENET_DEPTHS
        return isinstance(self.depth, int) and self.depth >= 8 and self.depth % 6 == 2

    def _known_depths(self) -> str:
        if self.family == "imagenet":
            return ", ".join(map(str, IMAGENET_DEPTHS))
        return "6n+2 with n >= 1, such as 20, 32, 44, 56, 110, 1202"

    @property
    def plain(self) -> bool:
        """Whether the net has no shortcuts."""
        return self.shortcut == "none"

    @property
    def name(self) -> str:
        """The paper's name with the shortcut option: `plain-20`, `resnet-20-A`; without BN `resnet-20-A-nobn`."""
        name = f"plain-{self.depth}" if self.plain else f"resnet-{self.depth}-{self.shortcut}"
        return name if self.norm == "bn" else f"{name}-nobn"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a net is trained and measured (Section 4.2; the defaults are the paper's for CIFAR-10).

    steps, drops, warmup_steps count iterations of one mini-batch. The rate is `lr`, a tenth of it from each
    drop on; during the first `warmup_steps` it is `warmup_lr`.
    bn_group: images per batch-norm group, 64 as on the paper's two GPUs of 64 images each.
    split: "50k" trains on all 50,000 images; "45k/5k" holds out the last tenth of a seeded shuffle.
    test_images: the number of test images that are used, the first ones of the official order.
    curve_every, test_every: how often, in steps, the training window and the test error enter the curve.
    """

    steps: int = 64_000
    lr: float = 0.1
    drops: tuple[int, ...] = (32_000, 48_000)
    warmup_steps: int = 0
    warmup_lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-4
    batch: int = 128
    bn_group: int = 64
    precision: str = "fp32"
    split: str = "50k"
    test_images: int = 10_000
    curve_every: int = 200
    test_every: int = 1_000

    def __post_init__(self) -> None:
        for name in ("lr", "warmup_lr", "momentum", "weight_decay"):  # 1 and 1.0 are one recipe and must be one id
            object.__setattr__(self, name, float(getattr(self, name)))
        counts = {
            n: getattr(self, n) for n in ("steps", "warmup_steps", "batch", "bn_group", "curve_every", "test_every")
        }
        whole = [f"{name} must be a whole number, got {n!r}" for name, n in counts.items() if type(n) is not int]
        _require("recipe", *((False, words) for words in whole))
        marks = (0, *self.drops, self.steps)
        _require(
            "recipe",
            (self.steps > 0, f"steps must be positive, got {self.steps}"),
            (marks == tuple(sorted(marks)), f"drops {self.drops} must rise between 0 and steps {self.steps}"),
            (
                0 <= self.warmup_steps <= self.steps,
                f"warmup_steps {self.warmup_steps} must lie in 0..{self.steps}",
            ),
            (
                self.lr > 0 and self.warmup_lr > 0,
                f"rates must be positive, got {self.lr} and {self.warmup_lr}",
            ),
            (0 <= self.momentum < 1, f"momentum {self.momentum} must lie in [0, 1)"),
            (self.weight_decay >= 0, f"weight_decay {self.weight_decay} must not be negative"),
            (
                self.batch > 0 and self.bn_group > 0,
                f"batch {self.batch} and bn_group {self.bn_group} must be positive",
            ),
            (
                self.bn_group > 0 and self.batch % self.bn_group == 0,
                f"batch {self.batch} must be a multiple of bn_group {self.bn_group}",
            ),
            (
                self.precision in PRECISIONS,
                f"precision {self.precision!r} is not one of: {', '.join(PRECISIONS)}",
            ),
            (self.split in SPLITS, f"split {self.split!r} is not one of: {', '.join(SPLITS)}"),
            (0 < self.test_images <= 10_000, f"test_images {self.test_images} must lie in 1..10000"),
            (
                self.curve_every > 0 and self.test_every > 0 and self.test_every % self.curve_every == 0,
                f"test_every {self.test_every} must be a multiple of curve_every {self.curve_every}",
            ),
        )


@dataclass(frozen=True, slots=True)
class Resources:
    """What a run costs, not part of the id: another hardware or thread count moves a number by rounding only.

    cpus: threads of one process on a CPU. gpus: devices of one process. memory_gib: main memory of one process.
    checkpoint_seconds: at most this much training is lost to a kill -9.
    nodes, tasks: on Slurm a run trains on so many nodes in so many processes on each, which share its batch-norm
    groups equally: the batch of 128 in groups of 64 has room for two. Elsewhere a run is one process.
    """

    cpus: int = 2
    gpus: int = 1
    memory_gib: float = 2.0
    checkpoint_seconds: float = 60.0
    nodes: int = 1
    tasks: int = 1

    def __post_init__(self) -> None:
        _require(
            "resources",
            (self.cpus >= 1, f"cpus must be at least 1, got {self.cpus}"),
            (self.gpus >= 0, f"gpus must not be negative, got {self.gpus}"),
            (self.memory_gib > 0, f"memory_gib must be positive, got {self.memory_gib}"),
            (self.checkpoint_seconds >= 0, f"checkpoint_seconds must not be negative, got {self.checkpoint_seconds}"),
            (self.nodes >= 1 and self.tasks >= 1, f"nodes and tasks must be 1 or more, got {self.nodes}, {self.tasks}"),
        )

    @property
    def processes(self) -> int:
        """The processes of one run on Slurm."""
        return self.nodes * self.tasks


@dataclass(frozen=True, slots=True)
class Run:
    """One training of one net from one seed, and what is measured of it.

    task: "classify" trains and tests; "diagnose" does the same and looks at every layer's gradient on the way.
    """

    scale: str
    net: Net
    data: str
    recipe: Recipe
    seed: int
    task: str = "classify"
    resources: Resources = field(default=Resources(), compare=False)

    def __post_init__(self) -> None:
        _require(
            "run",
            (self.scale in SCALES, f"scale {self.scale!r} is not one of: {', '.join(SCALES)}"),
            (self.data in DATASETS, f"data {self.data!r} is not one of: {', '.join(DATASETS)}"),
            (self.task in TASKS, f"task {self.task!r} is not one of: {', '.join(TASKS)}"),
            (
                isinstance(self.seed, int) and 0 <= self.seed < 2**32,
                f"seed must be a whole number from 0 to {2**32 - 1:,}, got {self.seed!r}",
            ),
            (
                self.data != "stand-in" or self.scale == "quick",
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
        parts = {
            "net": Net(**value["net"]),
            "recipe": Recipe(**recipe),
            "resources": Resources(**value["resources"]),
        }
        return Run(**{**value, **parts})
    except (KeyError, TypeError) as error:
        raise SpecError(f"not a run of this version of the suite: {error}") from None


@dataclass(frozen=True, slots=True)
class Scale:
    """The cells of a sweep at one scale: each net with its recipe, and the seeds of each.

    deviations: where this scale differs from the paper beyond the sweep's own deviations.
    """

    cells: tuple[tuple[Net, Recipe], ...]
    seeds: tuple[int, ...]
    deviations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pairs = all(isinstance(c, tuple) and [type(x) for x in c] == [Net, Recipe] for c in self.cells)
        _require(
            "scale",
            (bool(self.cells) and pairs, "cells must be pairs (Net, Recipe), at least one"),
            (len(set(self.cells)) == len(self.cells), "a cell is there twice"),
            (bool(self.seeds) and len(set(self.seeds)) == len(self.seeds), f"seeds {self.seeds} must be distinct"),
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement of the paper that a sweep can decide, written down before its runs, with its tolerance.

    kind, with what `nets` then are, and what is claimed of their mean `metric` (percent) over the seeds:
        "equals": one net; it lies within `margin` points of the paper's number
        "exceeds": one net; it is above the paper's number by more than `margin`
        "worse with depth": shallow to deep; each net is worse than the one before it by more than `margin`
        "better with depth": shallow to deep; each net is better than the one before it by more than `margin`
        "residual beats plain": the plain and the residual net; the second is better by more than `margin`
        "interaction": plain shallow, plain deep, residual shallow, residual deep; depth costs the plain net
            more points than the residual one, by more than `margin`
    number: the id in bench/paper.yaml of the number that "equals" and "exceeds" compare with.
    """

    id: str
    text: str
    source: str
    kind: str
    nets: tuple[Net, ...]
    metric: str = "test_error"
    margin: float = 0.0
    number: str = ""

    def __post_init__(self) -> None:
        fewest, most = CLAIM_NETS.get(self.kind, (0, 99))
        _require(
            f"claim {self.id!r}",
            (self.kind in CLAIM_NETS, f"kind {self.kind!r} is not one of: {', '.join(CLAIM_NETS)}"),
            (self.metric in METRICS, f"metric {self.metric!r} is not one of: {', '.join(METRICS)}"),
            (fewest <= len(self.nets) <= most, f"{self.kind!r} is not about {len(self.nets)} nets"),
            (self.margin >= 0, f"margin must not be negative, got {self.margin}"),
            (self.kind != "equals" or self.margin > 0, "no seeds prove two numbers equal: give a margin"),
            (
                bool(self.number) == (self.kind in ("equals", "exceeds")),
                f"{self.kind!r} {'names no' if self.number else 'needs the id of a'} number of the paper",
            ),
        )


@dataclass(frozen=True, slots=True)
class Sweep:
    """One claim of the paper as a value: importing a sweep file does nothing but name it.

    title, question, claim: what the report says at its top; the claim is written before the runs.
    scales: what runs at "paper", "short" and "quick".
    deviations: where the suite knowingly differs from the paper, a sentence each.
    claims: the claim in parts that the numbers can decide, each of which gets a verdict.
    task: what its runs measure, "classify" or "diagnose".
    """

    title: str
    question: str
    claim: str
    scales: Mapping[str, Scale]
    deviations: tuple[str, ...] = ()
    resources: Resources = Resources()
    claims: tuple[Claim, ...] = ()
    task: str = "classify"

    def __post_init__(self) -> None:
        ids = [claim.id for claim in self.claims]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        wrong = {n for n, s in self.scales.items() if n not in SCALES or not isinstance(s, Scale)}
        named = bool(self.scales) and not wrong
        _require("sweep", (named, f"scales {wrong or '{}'} must map {', '.join(SCALES)} to a Scale"))
        run_here = {net for scale in self.scales.values() for net, _ in scale.cells}
        absent = sorted({net.name for claim in self.claims for net in claim.nets if net not in run_here})
        _require(
            f"sweep {self.title!r}",
            (self.task in TASKS, f"task {self.task!r} is not one of: {', '.join(TASKS)}"),
            (not twice, f"two claims have the id {', '.join(twice)}"),
            (not absent, f"claims are about nets that no scale runs: {', '.join(absent)}"),
        )

    def runs(self, scale: str, seeds: Iterable[int] | None = None, data: str = "cifar10") -> tuple[Run, ...]:
        """All runs at `scale`, seed by seed, so that every cell has its first seed before any has its second."""
        if scale not in self.scales:
            raise SpecError(f"scale {scale!r} is not one of this sweep's: {', '.join(self.scales)}")
        cells, own_seeds = self.scales[scale].cells, self.scales[scale].seeds
        return tuple(
            Run(scale, net, data, recipe, seed, self.task, self.resources)
            for seed in (own_seeds if seeds is None else tuple(seeds))
            for net, recipe in cells
        )


def shortened(recipe: Recipe, steps: int, **changes: Any) -> Recipe:
    """`recipe` with its drops at the same shares of fewer steps; `changes` replace further fields."""
    drops = tuple(drop * steps // recipe.steps for drop in recipe.drops)
    return replace(recipe, **{"steps": steps, "drops": drops, **changes})
