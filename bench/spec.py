"""The vocabulary of the suite: Net, Recipe, Run, Resources, Scale, Claim, Sweep. Standard library only.

A Run is a frozen value. Whatever can change its number is in it and hashed into its id, defaults included;
whatever changes only the bill is in Resources and is not.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

SCALES = ("paper", "short", "quick")
SHORTCUTS = ("none", "A", "B", "C")
IMAGENET_DEPTHS = (18, 34, 50, 101, 152)
PRECISIONS = ("fp32", "bf16")
SPLITS = ("50k", "45k/5k")
DATASETS = ("cifar10", "stand-in", "imagenet")  # and ImageNet's parts, such as imagenet-100 and tiny-imagenet-100
FACES = ("lfw-view1", "insightface")
TASKS = ("classify", "diagnose", "evaluate", "verify")
KINDS = ("cifar10", "imagenet", *FACES)
LOSSES = ("softmax", "arcface", "cosface")
CROPS = ("scale", "inception")
COLOURS = ("pca", "none")
NORMS = ("bn", "none")
FAMILIES = ("cifar", "imagenet", "timm")
SOURCES = ("torchvision", "timm", "file", "run")
# errors by ImageNet's protocols, beside test_error, which is top-1 on the centre crop
PROTOCOLS = (
    "top5_error", "ten_crop_error", "ten_crop_top5_error", "multi_scale_error", "multi_scale_top5_error",
)  # fmt: skip
# what a verification of faces has beside test_error, which is the share of pairs judged wrong
VERIFICATION = (
    "fixed_threshold_error", "pixels_error", "untrained_error", "auc", "eer", "tar_at_far_0.1", "tar_at_far_0.01",
    "tar_at_far_0.001",
)  # fmt: skip
METRICS = ("test_error", "train_error", *PROTOCOLS)
PICTURES = re.compile(r"(?:tiny-)?imagenet(?:-(\d+))?")
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
ADDED_LATER: Mapping[str, Mapping[str, Any]] = {
    "net": {"norm": "bn", "weights": ""},
    "recipe": {"views": None, "faces": None},
}
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
    weights: weights that the net starts from, "" for none: "torchvision:IMAGENET1K_V1"; "file:NAME", a state dict NAME
    in the folder `weights` of the data; or "run:SWEEP/RUN", the last checkpoint of a run in the same folder of runs.
    family "timm" is any net of timm by its weights' name, "timm:densenet121.tv_in1k"; its depth is 0, its shortcut
    "none".
    """

    family: str
    depth: int
    shortcut: str
    stride_in: str = "1x1"
    norm: str = "bn"
    weights: str = ""

    def __post_init__(self) -> None:
        source, _, name = self.weights.partition(":")
        _require(
            "net",
            (self.family in FAMILIES, f"family {self.family!r} is not one of: {', '.join(FAMILIES)}"),
            (
                not self.weights or (source in SOURCES and bool(name)),
                f"weights {self.weights!r} do not begin with one of: {', '.join(f'{s}:' for s in SOURCES)}",
            ),
            (
                (self.family == "timm") == (source == "timm"),
                f"family {self.family!r} and weights {self.weights!r} do not go together: timm's nets are its own",
            ),
            (
                source != "torchvision" or (not self.plain and self.family == "imagenet"),
                f"torchvision has no weights of {self.family} plain-{self.depth}",
            ),
            (self.shortcut in SHORTCUTS, f"shortcut {self.shortcut!r} is not one of: {', '.join(SHORTCUTS)}"),
            (self.stride_in in ("1x1", "3x3"), f"stride_in {self.stride_in!r} is not one of: 1x1, 3x3"),
            (self.norm in NORMS, f"norm {self.norm!r} is not one of: {', '.join(NORMS)}"),
            (self._depth_is_known(), f"depth {self.depth!r} is not one of: {self._known_depths()}"),
        )

    def _depth_is_known(self) -> bool:
        if self.family == "timm":
            return self.depth == 0
        if self.family == "imagenet":
            return self.depth in IMAGENET_DEPTHS
        return isinstance(self.depth, int) and self.depth >= 8 and self.depth % 6 == 2

    def _known_depths(self) -> str:
        if self.family == "timm":
            return "0 (timm's name says it)"
        if self.family == "imagenet":
            return ", ".join(map(str, IMAGENET_DEPTHS))
        return "6n+2 with n >= 1, such as 20, 32, 44, 56, 110, 1202"

    @property
    def plain(self) -> bool:
        """Whether the net has no shortcuts."""
        return self.shortcut == "none"

    @property
    def name(self) -> str:
        """The paper's name with the shortcut option: `plain-20`, `resnet-20-A`; without BN `resnet-20-A-nobn`.

        With published weights these come behind it: `resnet-50-B-torchvision.IMAGENET1K_V1`.
        """
        weights = re.sub(r"[^A-Za-z0-9_.-]", ".", self.weights)
        if self.weights.startswith("run:"):
            sweep, _, run = self.weights.removeprefix("run:").partition("/")
            weights = f"run.{sweep}.{run.rpartition('-')[2]}"
        if self.family == "timm":
            return weights
        name = f"plain-{self.depth}" if self.plain else f"resnet-{self.depth}-{self.shortcut}"
        name = name if self.norm == "bn" else f"{name}-nobn"
        return f"{name}-{weights}" if weights else name


@dataclass(frozen=True, slots=True)
class Views:
    """How ImageNet's pictures become inputs, in training and in the tests (Section 3.4).

    side: height and width of an input in pixels.
    crop: "scale", the paper's: the shorter side is drawn from `shorter`, then a crop or its mirror image; "inception",
    the field's: 8 to 100 % of the picture's area at an aspect ratio of 3/4 to 4/3, or its mirror image.
    colour: "pca", AlexNet's colour augmentation, or "none".
    test_shorter: the shorter side from which the centre crop and the 10 crops are cut.
    ten_crop: whether the trained net is tested on 10 crops, too (Tables 2 and 3).
    scales: the shorter sides at which it is tested fully convolutionally (Table 4); () for no such test.
    """

    side: int = 224
    crop: str = "scale"
    shorter: tuple[int, int] = (256, 480)
    colour: str = "pca"
    test_shorter: int = 256
    ten_crop: bool = True
    scales: tuple[int, ...] = (224, 256, 384, 480, 640)

    def __post_init__(self) -> None:
        least = min(self.test_shorter, *self.shorter)
        _require(
            "views",
            (self.side >= 32, f"side {self.side} must be 32 or more: the nets halve it five times"),
            (self.crop in CROPS, f"crop {self.crop!r} is not one of: {', '.join(CROPS)}"),
            (self.colour in COLOURS, f"colour {self.colour!r} is not one of: {', '.join(COLOURS)}"),
            (least >= self.side, f"a crop of {self.side} does not fit into a shorter side of {least}"),
            (self.shorter[0] <= self.shorter[-1], f"shorter {self.shorter} must be (least, most)"),
            (min((self.side, *self.scales)) == self.side, f"scales {self.scales} must not be below side {self.side}"),
        )


@dataclass(frozen=True, slots=True)
class Faces:
    """How an embedding of faces is trained (task "verify").

    side: height and width of the pictures. size: of the embedding. dropout: before its layer.
    loss, margin, scale: "softmax" over cosines times `scale`, without a margin; "arcface" with one in radians,
    "cosface" with one of the cosine.
    """

    side: int = 112
    size: int = 512
    dropout: float = 0.4
    loss: str = "arcface"
    margin: float = 0.5
    scale: float = 64.0

    def __post_init__(self) -> None:
        _require(
            "faces",
            (self.side >= 32, f"side {self.side} must be 32 or more"),
            (self.size >= 1 and 0 <= self.dropout < 1, f"size {self.size} or dropout {self.dropout} is out of range"),
            (self.loss in LOSSES, f"loss {self.loss!r} is not one of: {', '.join(LOSSES)}"),
            (self.scale > 0 and 0 <= self.margin < 1.5, f"scale {self.scale} or margin {self.margin} is out of range"),
            (self.loss != "softmax" or self.margin == 0, f"softmax has no margin, got {self.margin}"),
        )


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a net is trained and measured (Section 4.2; the defaults are the paper's for CIFAR-10).

    steps, drops, warmup_steps count iterations of one mini-batch. The rate is `lr`, a tenth of it from each
    drop on; during the first `warmup_steps` it is `warmup_lr`.
    bn_group: images per batch-norm group, 64 as on the paper's two GPUs of 64 images each.
    split: "50k" trains on all 50,000 images; "45k/5k" holds out the last tenth of a seeded shuffle.
    test_images: the number of test images that are used, the first ones of the official order.
    curve_every, test_every: how often, in steps, the training window and the test error enter the curve.
    views: how ImageNet's pictures become inputs; None for CIFAR's, which have a way of their own. With views at most
    `test_images` validation pictures are used, spread evenly over the classes, and steps may be 0 (task "evaluate").
    faces: how faces are learnt; None elsewhere. All pairs are tested.
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
    views: Views | None = None
    faces: Faces | None = None

    def __post_init__(self) -> None:
        for name in ("lr", "warmup_lr", "momentum", "weight_decay"):  # 1 and 1.0 are one recipe and must be one id
            object.__setattr__(self, name, float(getattr(self, name)))
        counts = {
            n: getattr(self, n) for n in ("steps", "warmup_steps", "batch", "bn_group", "curve_every", "test_every")
        }
        whole = [f"{name} must be a whole number, got {n!r}" for name, n in counts.items() if type(n) is not int]
        _require("recipe", *((False, words) for words in whole))
        marks, most, fewest = (0, *self.drops, self.steps), 50_000 if self.views else 10_000, 0 if self.views else 1
        _require(
            "recipe",
            (self.steps >= fewest, f"steps must be {fewest} or more, got {self.steps}"),
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
            (self.views is None or self.split == "50k", f"split {self.split!r} is CIFAR's: pictures have none"),
            (0 < self.test_images <= most, f"test_images {self.test_images} must lie in 1..{most}"),
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
    compile: whether torch.compile makes the net's kernels: faster after a wait of a minute.
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

    data: "cifar10", its "stand-in", or "imagenet" with all its classes, or its first N as in "imagenet-100" and
    "tiny-imagenet-100".
    task: "classify" trains and tests; "diagnose" does the same and looks at every layer's gradient on the way;
    "evaluate" tests published weights.
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
            (
                self.data in (*DATASETS, *FACES) or bool(PICTURES.fullmatch(self.data)),
                f"data {self.data!r} is not one of: {', '.join((*DATASETS, *FACES))}, imagenet-N, tiny-imagenet-N",
            ),
            (
                bool(self.recipe.views) == bool(PICTURES.fullmatch(self.data)),
                f"data {self.data!r} and views {self.recipe.views} do not go together: ImageNet's pictures need views",
            ),
            (
                bool(self.recipe.faces) == (self.data in FACES) == (self.task == "verify"),
                f"task {self.task!r}, data {self.data!r} and faces {self.recipe.faces} do not go together",
            ),
            (
                (self.task == "evaluate") == (self.recipe.steps == 0),
                f"task {self.task!r} does not go with {self.recipe.steps} steps",
            ),
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


def classes_of(data: str) -> int:
    """The number of classes of a data set by its name: 10 for "cifar10", 1,000 for "imagenet", N for "imagenet-N"."""
    pictures = PICTURES.fullmatch(data)
    if pictures is None:
        return 10
    return int(pictures[1] or (200 if data.startswith("tiny") else 1000))


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
    classes: of ImageNet the first so many; 0 for all.
    about: what the scale is, in words, where it is not what such a scale is in general.
    resources: of its runs, where they are not the sweep's.
    """

    cells: tuple[tuple[Net, Recipe], ...]
    seeds: tuple[int, ...]
    deviations: tuple[str, ...] = ()
    classes: int = 0
    about: str = ""
    resources: Resources | None = None

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
class Ensemble:
    """Nets whose scores at many scales are averaged, seed by seed, as in Table 5. id: its name in ids of numbers."""

    id: str
    text: str
    nets: tuple[Net, ...]

    def __post_init__(self) -> None:
        _require(
            f"ensemble {self.id!r}",
            (bool(re.fullmatch(r"[a-z0-9-]+", self.id)), "its id must be of small letters, digits and -"),
            (len(set(self.nets)) == len(self.nets) > 1, f"needs two different nets or more, got {len(self.nets)}"),
        )


@dataclass(frozen=True, slots=True)
class Sweep:
    """One claim of the paper as a value: importing a sweep file does nothing but name it.

    title, question, claim: what the report says at its top; the claim is written before the runs.
    scales: what runs at "paper", "short" and "quick".
    deviations: where the suite knowingly differs from the paper, a sentence each.
    claims: the claim in parts that the numbers can decide, each of which gets a verdict.
    task: what its runs do, "classify", "diagnose", "evaluate" or "verify".
    data: what they are trained and tested on, "cifar10", "imagenet", "lfw-view1" or "insightface".
    ensembles: of its nets, tested at many scales (ImageNet).
    """

    title: str
    question: str
    claim: str
    scales: Mapping[str, Scale]
    deviations: tuple[str, ...] = ()
    resources: Resources = Resources()
    claims: tuple[Claim, ...] = ()
    task: str = "classify"
    data: str = "cifar10"
    ensembles: tuple[Ensemble, ...] = ()

    def __post_init__(self) -> None:
        ids = [claim.id for claim in self.claims]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        wrong = {n for n, s in self.scales.items() if n not in SCALES or not isinstance(s, Scale)}
        named = bool(self.scales) and not wrong
        _require("sweep", (named, f"scales {wrong or '{}'} must map {', '.join(SCALES)} to a Scale"))
        run_here = {net for scale in self.scales.values() for net, _ in scale.cells}
        named_nets = {net for part in (*self.claims, *self.ensembles) for net in part.nets}
        absent = sorted(net.name for net in named_nets - run_here)
        _require(
            f"sweep {self.title!r}",
            (self.task in TASKS, f"task {self.task!r} is not one of: {', '.join(TASKS)}"),
            (self.data in KINDS, f"data {self.data!r} is not one of: {', '.join(KINDS)}"),
            (not twice, f"two claims have the id {', '.join(twice)}"),
            (not absent, f"claims and ensembles are about nets that no scale runs: {', '.join(absent)}"),
        )

    def runs(self, scale: str, seeds: Iterable[int] | None = None, data: str = "cifar10") -> tuple[Run, ...]:
        """All runs at `scale`, seed by seed, so that every cell has its first seed before any has its second."""
        if scale not in self.scales:
            raise SpecError(f"scale {scale!r} is not one of this sweep's: {', '.join(self.scales)}")
        at = self.scales[scale]
        return tuple(
            Run(scale, net, data, recipe, seed, self.task, at.resources or self.resources)
            for seed in (at.seeds if seeds is None else tuple(seeds))
            for net, recipe in at.cells
        )


def shortened(recipe: Recipe, steps: int, **changes: Any) -> Recipe:
    """`recipe` with its drops at the same shares of fewer steps; `changes` replace further fields."""
    drops = tuple(drop * steps // recipe.steps for drop in recipe.drops)
    return replace(recipe, **{"steps": steps, "drops": drops, **changes})
