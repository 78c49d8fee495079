"""Recipe: how a net is trained and measured; Views of ImageNet's pictures, Faces and Detection are parts of one."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from bench.spec.words import COLOURS, CROPS, FORMS, LOSSES, POOLS, PRECISIONS, SPLITS, require


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
        require(
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
        require(
            "faces",
            (self.side >= 32, f"side {self.side} must be 32 or more"),
            (self.size >= 1 and 0 <= self.dropout < 1, f"size {self.size} or dropout {self.dropout} is out of range"),
            (self.loss in LOSSES, f"loss {self.loss!r} is not one of: {', '.join(LOSSES)}"),
            (self.scale > 0 and 0 <= self.margin < 1.5, f"scale {self.scale} or margin {self.margin} is out of range"),
            (self.loss != "softmax" or self.margin == 0, f"softmax has no margin, got {self.margin}"),
        )


OF_FORM = {"c4": ("anchors", "pooling", "context", "scales"), "fpn": ("width", "hidden")}  # and no part of the other


@dataclass(frozen=True, slots=True)
class Detection:
    """How Faster R-CNN over the net is built, trained and tested (task "detect"; Appendix A, the defaults its own).

    form: "c4", the paper's, conv1 to conv4 shared and conv5 on each region; "fpn", the field's, a pyramid.
    side, longest: an image's shorter side after scaling, and the most its longer one may have, in pixels.
    anchors: sides in pixels of the scaled image (c4; a pyramid's are 8 strides wide). pooling: of a region, "pool" or
    "align" (c4). context: Appendix B's global context (c4). width, hidden: the pyramid's channels, and those of its
    two fully connected layers (fpn).
    before_nms, after_nms: proposals (training, testing); in a pyramid before_nms are those of a level.
    sampled: regions of an image that are trained on. nms: IoU from which detections suppress each other. clip: the
    gradient's largest norm, 0 for no bound.
    settle: training images over which the statistics of batch norm are computed anew before it is fixed; 0 keeps those
    of the net's weights.
    refine, scales: tests besides with box refinement, and at these shorter sides (c4), as in Table 9.
    """

    form: str = "c4"
    side: int = 600
    longest: int = 1000
    anchors: tuple[int, ...] = (128, 256, 512)
    pooling: str = "pool"
    context: bool = False
    width: int = 256
    hidden: int = 1024
    before_nms: tuple[int, int] = (12_000, 6_000)
    after_nms: tuple[int, int] = (2_000, 300)
    sampled: int = 128
    nms: float = 0.3
    clip: float = 0.0
    settle: int = 0
    refine: bool = False
    scales: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("nms", "clip"):  # 10 and 10.0 are one recipe and must be one id
            object.__setattr__(self, name, float(getattr(self, name)))
        usual = {f.name: f.default for f in fields(self)}
        foreign = [name for name in OF_FORM["fpn" if self.form == "c4" else "c4"] if getattr(self, name) != usual[name]]
        counts = (self.width, self.hidden, self.sampled, *self.before_nms, *self.after_nms, *self.anchors)
        require(
            "detection",
            (self.form in FORMS, f"form {self.form!r} is not one of: {', '.join(FORMS)}"),
            (self.pooling in POOLS, f"pooling {self.pooling!r} is not one of: {', '.join(POOLS)}"),
            (32 <= self.side <= self.longest, f"side {self.side} must be 32 or more, and at most {self.longest}"),
            (min(counts) >= 1, f"{counts}: anchors, channels, proposals and regions must be 1 or more"),
            (bool(self.anchors), "anchors must not be empty"),
            (len(self.before_nms) == len(self.after_nms) == 2, "proposals are given for (training, testing)"),
            (
                0 < self.nms < 1 and self.clip >= 0 and self.settle >= 0,
                f"nms {self.nms}, clip {self.clip} or settle {self.settle} is out of range",
            ),
            (not foreign, f"{', '.join(foreign)}: no part of form {self.form!r}"),
            (
                all(type(n) is int for n in (self.side, self.longest, self.settle, *counts, *self.scales)),
                "sides, anchors, channels, proposals and regions must be whole numbers",
            ),
            (type(self.context) is type(self.refine) is bool, "context and refine are True or False"),
            (
                len(self.scales) != 1 and self.scales == tuple(sorted(set(self.scales))),
                f"scales {self.scales} must be two or more, rising",
            ),
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
    detection: how objects are found; None elsewhere. A step is `batch` images, `bn_group` at a time; the images that
    are tested are the list's first `test_images`.
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
    detection: Detection | None = None

    def __post_init__(self) -> None:
        for name in ("lr", "warmup_lr", "momentum", "weight_decay"):  # 1 and 1.0 are one recipe and must be one id
            object.__setattr__(self, name, float(getattr(self, name)))
        counts = {
            n: getattr(self, n) for n in ("steps", "warmup_steps", "batch", "bn_group", "curve_every", "test_every")
        }
        whole = [f"{name} must be a whole number, got {n!r}" for name, n in counts.items() if type(n) is not int]
        require("recipe", *((False, words) for words in whole))
        marks, fewest = (0, *self.drops, self.steps), 0 if self.views else 1
        most = 50_000 if self.views or self.detection else 10_000
        require(
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

    @property
    def side(self) -> int:
        """Height and width of an input in pixels, as its part says; 0 where the data have one size."""
        part = self.views or self.faces or self.detection
        return part.side if part else 0


def variant(recipe: Recipe, first: Recipe) -> str:
    """What of `recipe` is not as in `first`, as it stands in an id: "bf16", "lr=0.2+bn_group=128"; "" where all is.

    Raises SpecError where a part differs that has no short spelling (views, faces, detection), or the test images, on
    which another number is measured.
    """
    differ = [f.name for f in fields(Recipe) if getattr(recipe, f.name) != getattr(first, f.name)]
    long = [name for name in differ if is_dataclass(getattr(recipe, name)) or is_dataclass(getattr(first, name))]
    long += [name for name in differ if name == "test_images"]
    require("scale", (not long, f"one net's recipes differ in {', '.join(long)}: give each a sweep of its own"))
    return "+".join(_spelled(name, getattr(recipe, name)) for name in differ)


def _spelled(name: str, value: Any) -> str:
    if name == "precision":
        return str(value)
    text = "_".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"{name}={text.replace('+', '')}"  # 1e+18 is 1e18


def shortened(recipe: Recipe, steps: int, **changes: Any) -> Recipe:
    """`recipe` with its drops at the same shares of fewer steps; `changes` replace further fields."""
    drops = tuple(drop * steps // recipe.steps for drop in recipe.drops)
    return replace(recipe, **{"steps": steps, "drops": drops, **changes})
