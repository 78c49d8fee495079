"""Average precision from the outcome of each detection, by each of the field's definitions.

NumPy only: a task measures with it, and a report computes everything again from what was kept. AP is in percent, as
the paper prints it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.unsignedinteger[Any]]  # a byte each where the classes are few enough
# the recalls at which precision is read; None: the whole area under the curve
POINTS: Mapping[str, Floats | None] = {
    "11-point": np.linspace(0, 1, 11),  # VOC 2007
    "every-point": None,  # VOC 2010 on
    "101-point": np.linspace(0, 1, 101),  # COCO
}
IOUS = tuple(round(0.5 + 0.05 * k, 2) for k in range(10))  # COCO's
AREAS = ("all", "small", "medium", "large")  # of an object: below 32^2 pixels, from 32^2 to 96^2, and above


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The outcomes of one class's D detections, by falling score: `image` (D,) its index, `hit` (D,) bool.

    positives: (images,) the objects to find in each. Detections that count neither way are not among them.
    """

    image: NDArray[np.int64]
    hit: NDArray[np.bool_]
    positives: NDArray[np.int64]


def average_precision(matches: Matches, points: str, weights: NDArray[np.int64] | None = None) -> float:
    """AP of one class in percent; NaN where it has no object. points: one of POINTS.

    weights: (images,) how often each image counts, once by default. An image that counts twice is two images.
    """
    times = np.ones(len(matches.positives), np.int64) if weights is None else weights
    total = int(times @ matches.positives)
    if total == 0:
        return math.nan
    of_each = times[matches.image]
    seen = of_each > 0
    hits = np.cumsum(of_each * matches.hit)[seen]
    recall = hits / total
    precision = hits / np.cumsum(of_each)[seen]
    # the best precision at this recall or any higher one
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return 100 * _read_off(recall, envelope, POINTS[points])


def _read_off(recall: Floats, envelope: Floats, at: Floats | None) -> float:
    if at is None:
        return float(np.sum(np.diff(recall, prepend=0) * envelope))
    return float(np.append(envelope, 0)[np.searchsorted(recall, at, side="left")].mean())


def mean_ap(classes: Sequence[Matches], points: str, weights: NDArray[np.int64] | None = None) -> float:
    """The mean over the classes that have an object (mAP), in percent; NaN where none has."""
    each = np.array([average_precision(matches, points, weights) for matches in classes])
    there = each[~np.isnan(each)]
    return float(there.mean()) if there.size else math.nan


@dataclass(frozen=True, slots=True, eq=False)
class MatchTable:
    """The outcomes of all D detections of a test, by class and falling score: enough for every number made of it.

    label, image: (D,) the class from 1, and the image's index. hit, ignored: (AREAS, IOUS, D) by COCO's rules; what is
    ignored counts neither way. positives: (AREAS, K, images) the objects to find of each class.
    voc_label, voc_image, voc_hit: (V,) by VOC's rules at IoU .5, without those that count neither way.
    voc_positives: (K, images).
    """

    label: Labels
    image: NDArray[np.uint32]
    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    positives: NDArray[np.uint32]
    voc_label: Labels
    voc_image: NDArray[np.uint32]
    voc_hit: NDArray[np.bool_]
    voc_positives: NDArray[np.uint32]

    def matches(self, area: str = "all", iou: float = 0.5) -> tuple[Matches, ...]:
        """One a class by COCO's rules; area one of AREAS, iou one of IOUS."""
        a, t = AREAS.index(area), IOUS.index(iou)
        kept = ~self.ignored[a, t]
        return _by_class(self.label[kept], self.image[kept], self.hit[a, t][kept], self.positives[a])

    def voc_matches(self) -> tuple[Matches, ...]:
        """One a class by VOC's rules at IoU .5."""
        return _by_class(self.voc_label, self.voc_image, self.voc_hit, self.voc_positives)

    def coco_ap(self, area: str = "all", ious: Sequence[float] = IOUS) -> float:
        """COCO's AP of objects of this size, the mean over `ious`; AP50 with (0.5,)."""
        return float(np.mean([mean_ap(self.matches(area, iou), "101-point") for iou in ious]))

    def numbers(self) -> dict[str, float]:
        """Every AP that a report prints, by its column; NaN where there is nothing to find."""
        return {
            "ap": self.coco_ap(),
            "ap50": self.coco_ap(ious=(0.5,)),
            "ap75": self.coco_ap(ious=(0.75,)),
            **{f"ap_{area}": self.coco_ap(area) for area in AREAS[1:]},
            "voc07_map": mean_ap(self.voc_matches(), "11-point"),
            "voc12_map": mean_ap(self.voc_matches(), "every-point"),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The fields by name, the flags eight to a byte: for a file."""
        return {f.name: _packed(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> MatchTable:
        """The inverse of `arrays`. Raises ValueError where one is missing, or they do not fit together."""
        missing = [f.name for f in fields(cls) if f.name not in arrays]
        if missing:
            raise ValueError(f"{', '.join(missing)} missing")
        objects, found, voc = arrays["voc_positives"], arrays["label"].size, arrays["voc_label"].size
        classes, images = objects.shape if objects.ndim == 2 else (0, 0)
        flags = (len(AREAS), len(IOUS), -(-found // 8))
        expected = {  # shape, and from what to what
            "label": ((found,), 1, classes), "image": ((found,), 0, images - 1),
            "hit": (flags, 0, 255), "ignored": (flags, 0, 255),
            "positives": ((len(AREAS), classes, images), 0, math.inf),
            "voc_label": ((voc,), 1, classes), "voc_image": ((voc,), 0, images - 1),
            "voc_hit": ((-(-voc // 8),), 0, 255), "voc_positives": ((classes, images), 0, math.inf),
        }  # fmt: skip
        wrong = [words for name, about in expected.items() if (words := _fault(name, arrays[name], *about))]
        if wrong:
            raise ValueError(f"its arrays do not fit together: {', '.join(wrong)}")
        counts = {"hit": found, "ignored": found, "voc_hit": voc}
        unpacked = {name: _unpacked(arrays[name], count) for name, count in counts.items()}
        return cls(**{f.name: unpacked.get(f.name, arrays[f.name]) for f in fields(cls)})


def _fault(name: str, array: NDArray[Any], shape: tuple[int, ...], low: int, high: float) -> str:
    """What is wrong with an array of whole numbers from `low` to `high`; "" for nothing."""
    if array.dtype.kind not in "iu" or array.shape != shape:
        return f"{name} {array.dtype} {array.shape}"
    if array.size and not low <= int(array.min()) <= int(array.max()) <= high:
        return f"{name} from {array.min()} to {array.max()}"
    return ""


def _by_class(
    label: Labels, image: NDArray[np.uint32], hit: NDArray[np.bool_], positives: NDArray[np.uint32]
) -> tuple[Matches, ...]:
    return tuple(
        Matches(image[own].astype(np.int64), hit[own], objects.astype(np.int64))
        for k, objects in enumerate(positives, start=1)
        for own in [label == k]
    )


def _packed(array: NDArray[Any]) -> NDArray[Any]:
    return np.packbits(array, axis=-1) if array.dtype == bool else array


def _unpacked(array: NDArray[Any], count: int) -> NDArray[np.bool_]:
    return np.unpackbits(array.astype(np.uint8), axis=-1, count=count).astype(bool)
