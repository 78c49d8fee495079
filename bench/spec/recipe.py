"""Recipe: how a net is trained and measured; Views of ImageNet's images, Faces and Detection are parts of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from bench.spec.advice import shown
from bench.spec.declare import AS_WRITTEN, Count, declaration, one_of
from bench.spec.words import require

Share = Annotated[float, Field(ge=0, lt=1)]
Side = Annotated[int, Field(ge=32)]  # of an image in pixels: the nets halve it five times
MOST_TESTED = 50_000  # ImageNet's validation images


@declaration
class Views:
    """How ImageNet's images become inputs, in training and in the tests (Section 3.4).

    side: height and width of an input in pixels.
    crop: "scale", the paper's: the shorter side is drawn from `shorter`, then a crop or its mirror image; "inception",
    the field's: 8 to 100 % of the image's area at an aspect ratio of 3/4 to 4/3, or its mirror image.
    colour: "pca", AlexNet's colour augmentation, or "none".
    test_shorter: the shorter side from which the centre crop and the 10 crops are cut.
    ten_crop: whether the trained net is tested on 10 crops, too (Tables 2 and 3).
    scales: the shorter sides at which it is tested fully convolutionally (Table 4); () for no such test.
    """

    side: Side = 224
    crop: Annotated[str, one_of("scale", "inception")] = "scale"
    shorter: tuple[int, int] = (256, 480)
    colour: Annotated[str, one_of("pca", "none")] = "pca"
    test_shorter: int = 256
    ten_crop: bool = True
    scales: tuple[int, ...] = (224, 256, 384, 480, 640)

    def __post_init__(self) -> None:
        least = min(self.test_shorter, *self.shorter)
        require(
            "views",
            (
                least >= self.side,
                f"a crop of {self.side} does not fit into a shorter side of {least}: write side={least} or less, or "
                "larger values of shorter and test_shorter",
            ),
            (
                self.shorter[0] <= self.shorter[-1],
                f"shorter {self.shorter} must be (least, most): write shorter={self.shorter[::-1]}",
            ),
            (
                min((self.side, *self.scales)) == self.side,
                f"scales {self.scales} must not be below side {self.side}: write scales="
                f"{tuple(scale for scale in self.scales if scale >= self.side)}",
            ),
        )


@declaration
class Faces:
    """How an embedding of faces is trained (task "verify").

    side: height and width of the images. embedding_size: its values. dropout: before its layer.
    loss, margin, scale: "softmax" over cosines times `scale`, without a margin; "arcface" with one in radians,
    "cosface" with one of the cosine.
    """

    side: Side = 112
    embedding_size: Count = 512
    dropout: Annotated[Share, AS_WRITTEN] = 0.4
    loss: Annotated[str, one_of("softmax", "arcface", "cosface")] = "arcface"
    margin: Annotated[float, Field(ge=0, lt=1.5), AS_WRITTEN] = 0.5
    scale: Annotated[PositiveFloat, AS_WRITTEN] = 64.0

    def __post_init__(self) -> None:
        require(
            "faces",
            (self.loss != "softmax" or self.margin == 0, f"softmax has no margin, got {self.margin}: write margin=0"),
        )


OF_FORM = {"c4": ("anchors", "pooling", "context", "scales"), "fpn": ("width", "hidden")}  # and no part of the other


@declaration
class Detection:
    """How Faster R-CNN over the net is built, trained and tested (task "detect"; Appendix A, the defaults its own).

    form: "c4", the paper's, conv1 to conv4 shared and conv5 on each region; "fpn", the field's, a pyramid.
    min_size, max_size: an image's shorter side after scaling, and the most its longer one may have, in pixels.
    anchors: sides in pixels of the scaled image (c4; a pyramid's are 8 strides wide). pooling: of a region, "pool" or
    "align" (c4). context: Appendix B's global context (c4). width, hidden: the pyramid's channels, and those of its
    two fully connected layers (fpn).
    pre_nms_top_n, post_nms_top_n: proposals (training, testing); in a pyramid pre_nms_top_n are those of a level.
    regions_per_image: that are trained on. nms_threshold: IoU from which detections suppress each other.
    max_grad_norm: the gradient's largest norm, 0 for no bound.
    recalibration_images: training images over which the statistics of batch norm are computed anew before it is fixed;
    0 keeps those of the net's weights.
    refine, scales: tests besides with box refinement, and at these shorter sides (c4), as in Table 9.
    """

    form: Annotated[str, one_of("c4", "fpn")] = "c4"
    min_size: Side = 600
    max_size: int = 1000
    anchors: Annotated[tuple[Count, ...], Field(min_length=1)] = (128, 256, 512)
    pooling: Annotated[str, one_of("pool", "align")] = "pool"
    context: bool = False
    width: Count = 256
    hidden: Count = 1024
    pre_nms_top_n: tuple[Count, Count] = (12_000, 6_000)
    post_nms_top_n: tuple[Count, Count] = (2_000, 300)
    regions_per_image: Count = 128
    nms_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.3
    max_grad_norm: NonNegativeFloat = 0.0
    recalibration_images: Annotated[NonNegativeInt, Field(examples=["16"])] = 0
    refine: bool = False
    scales: Annotated[tuple[int, ...], Field(examples=["(400, 600)"])] = ()

    def __post_init__(self) -> None:
        usual = {f.name: f.default for f in fields(self)}
        foreign = [name for name in OF_FORM["fpn" if self.form == "c4" else "c4"] if getattr(self, name) != usual[name]]
        rising = self.scales == tuple(sorted(set(self.scales)))
        require(
            "detection",
            (
                self.min_size <= self.max_size,
                f"min_size {self.min_size} must be at most max_size {self.max_size}, such as min_size={self.max_size}",
            ),
            (
                not foreign,
                f"{', '.join(foreign)}: no part of form {self.form!r}, whose own are {', '.join(OF_FORM[self.form])}",
            ),
            (
                len(self.scales) != 1 and rising,
                f"scales {self.scales} must be two or more, rising, such as scales=(400, 600)",
            ),
        )


@declaration
class Recipe:
    """How a net is trained and measured (Section 4.2; the defaults are the paper's for CIFAR-10).

    steps, drops, warmup_steps count iterations of one mini-batch; no steps: weights are only tested (task "evaluate",
    Recipe(steps=0, drops=())). The rate is `lr`, a tenth of it from each
    drop on; during the first `warmup_steps` it is `warmup_lr`.
    bn_group: images per batch-norm group, 64 as on the paper's two GPUs of 64 images each.
    split: "50k" trains on all training images, of CIFAR 50,000; "45k/5k" holds out the last tenth of a seeded shuffle.
    test_images: at most so many test images are used: the official order's first, of a user's own data every k-th.
    size: height and width in pixels of images that are held in memory; those of a user's own folder are made so.
    augment: what is drawn for a training image in memory, which is padded by 4 pixels a side: a crop of it or of its
    mirror image ("crop+flip", the paper's), a crop ("crop"), or nothing ("none").
    curve_every, test_every: how often, in steps, the training window and the test error enter the curve.
    views: how ImageNet's images become inputs; None for images in memory, which have a way of their own. With views the
    validation images in use are spread evenly over the classes.
    faces: how faces are learnt; None elsewhere. All pairs are tested.
    detection: how objects are found; None elsewhere. A step is `batch` images, `bn_group` at a time; the images that
    are tested are the list's first `test_images`.
    """

    steps: NonNegativeInt = 64_000
    lr: PositiveFloat = 0.1
    drops: tuple[int, ...] = (32_000, 48_000)
    warmup_steps: NonNegativeInt = 0
    warmup_lr: PositiveFloat = 0.01
    momentum: Share = 0.9
    weight_decay: NonNegativeFloat = 1e-4
    batch: Count = 128
    bn_group: Count = 64
    precision: Annotated[str, one_of("fp32", "bf16")] = "fp32"
    split: Annotated[str, one_of("50k", "45k/5k")] = "50k"
    test_images: Count = 10_000
    curve_every: Count = 200
    test_every: Count = 1_000
    size: Annotated[int, Field(ge=8, le=512)] = 32
    augment: Annotated[str, one_of("crop+flip", "crop", "none")] = "crop+flip"
    views: Annotated[Views | None, Field(examples=["Views()"])] = None
    faces: Annotated[Faces | None, Field(examples=["Faces()"])] = None
    detection: Annotated[Detection | None, Field(examples=["Detection()"])] = None

    def __post_init__(self) -> None:
        marks = (0, *self.drops, self.steps)
        part = self.part
        every, group = max(1, self.curve_every), max(1, self.bn_group)
        require(
            "recipe",
            (
                marks == tuple(sorted(marks)),
                f"drops {self.drops} must rise between 0 and steps {self.steps}: write drops="
                f"{(self.steps // 2, self.steps * 3 // 4)}, the paper's shares, or make the recipe by "
                f"shortened(Recipe(), {self.steps})"
                if self.steps > 1
                else f"drops {self.drops} must rise between 0 and steps {self.steps}: write drops=()",
            ),
            (
                self.warmup_steps <= self.steps,
                f"warmup_steps {self.warmup_steps} must lie in 0..{self.steps}, such as warmup_steps="
                f"{min(400, max(0, self.steps))}",
            ),
            (
                self.batch % group == 0,
                f"batch {self.batch} must be a multiple of bn_group {self.bn_group}: write bn_group="
                f"{_divisor(self.batch, group)} or batch={max(1, round(self.batch / group)) * group}",
            ),
            (
                self.views is None or self.split == "50k",
                f"split {self.split!r} is CIFAR's: ImageNet has none, leave it out",
            ),
            (
                self.test_images <= MOST_TESTED,
                f"test_images {self.test_images} must lie in 1..{MOST_TESTED}: write test_images={MOST_TESTED} or less",
            ),
            (
                not part or (self.size, self.augment) == (32, "crop+flip"),
                f"size {self.size} and augment {self.augment!r} are of images in memory, and this recipe has {part}: "
                f"leave both out, {part} has its own fields",
            ),
            (
                self.test_every % every == 0,
                f"test_every {self.test_every} must be a multiple of curve_every {self.curve_every}: write curve_every="
                f"{_divisor(self.test_every, every)} or test_every={max(1, round(self.test_every / every)) * every}",
            ),
        )

    @property
    def side(self) -> int:
        """Height and width of an input in pixels."""
        part = self.views or self.faces
        return part.side if part else self.detection.min_size if self.detection else self.size

    @property
    def part(self) -> str:
        """The name of the part that it has, "" for none."""
        return next((name for name in ("views", "faces", "detection") if getattr(self, name)), "")


def _divisor(whole: int, most: int) -> int:
    """The largest divisor of `whole` that is at most `most`."""
    return next(d for d in range(min(most, max(1, whole)), 0, -1) if whole % d == 0)


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


EXAMPLE = "write shortened(Recipe(), 200)"


def shortened(recipe: Recipe, steps: int, **changes: Any) -> Recipe:
    """`recipe` with its drops at the same shares of fewer steps; `changes` replace further fields.

    Where its curve would have no point before the last step, it gets ten, and a test at every fifth of them.
    """
    what = "shortened(recipe, steps)"
    require(
        what,
        (isinstance(recipe, Recipe), f"recipe must be a Recipe, got {shown(recipe)}: {EXAMPLE}"),
        (type(steps) is int and steps > 0, f"steps must be a whole number above 0, got {shown(steps)}: {EXAMPLE}"),
    )
    require(what, (recipe.steps > 0, f"a recipe of 0 steps cannot be shortened; write Recipe(steps={steps}, drops=())"))
    drops = tuple(drop * steps // recipe.steps for drop in recipe.drops)
    asked = {name: changes.get(name, getattr(recipe, name)) for name in ("curve_every", "test_every")}
    if any(type(every) is int and every > steps for every in asked.values()):
        changes = {**often(steps, changes), **changes}
    return replace(recipe, **{"steps": steps, "drops": drops, **changes})


def often(steps: int, given: Mapping[str, Any]) -> dict[str, int]:
    """curve_every and test_every for so few steps: ten points of a curve and two tests, or as is `given` of the two."""
    tenth, (curve, test) = max(1, steps // 10), (given.get("curve_every"), given.get("test_every"))
    if type(curve) is not int or curve < 1:
        curve = _divisor(test, tenth) if type(test) is int and test > 0 else tenth
    return {"curve_every": curve, "test_every": curve * max(1, steps // 2 // curve)}
