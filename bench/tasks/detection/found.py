"""What a detector's tests found and what was to find: as arrays in a run's folder, and as COCO's files for others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.tasks.detection.annotations import Annotated, DetectionSet
from bench.tasks.detection.average_precision import MatchTable
from bench.tasks.detection.matching import FOUND, TRUTH, coco_rows, coco_truth, matched

Parts = Sequence[Mapping[str, Tensor]]
ABOUT = (
    "The ground truth of a test by resnet-bench: boxes as they were evaluated, without those that can be no object. A "
    "difficult object has an area beyond all that COCO's evaluation looks for, so that it counts neither way."
)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The N tested images, what is in each, and what each way to test found in it, by its option, "" for the plain one.

    names, files: of the images. sizes: (N, 2), width and height. classes: the names of labels 1, 2, …; categories:
    COCO's ids of them. truths, predictions: as bench.tasks.detection.matching has them.
    """

    names: Sequence[str]
    files: Sequence[str]
    sizes: NDArray[np.int64]
    classes: Sequence[str]
    categories: Sequence[int]
    truths: Parts
    predictions: Mapping[str, Parts]

    @classmethod
    def of(cls, images: Sequence[Annotated], tested: DetectionSet, predictions: Mapping[str, Parts]) -> Found:
        """Of the images of a set that were tested."""
        return cls(
            [image.id for image in images],
            [image.path.name for image in images],
            np.array([(image.width, image.height) for image in images]),
            tested.classes,
            tested.categories or range(1, len(tested.classes) + 1),
            [image.truth() for image in images],
            predictions,
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For a file."""
        parts = {"truth": (self.truths, TRUTH), **{option: (one, FOUND) for option, one in self.predictions.items()}}
        joined = {
            f"{of}:{name}": np.concatenate([image[name].numpy() for image in images])
            for of, (images, names) in parts.items()
            for name in names
        }
        counts = {f"{of}:count": np.array([len(one["labels"]) for one in images]) for of, (images, _) in parts.items()}
        texts = {name: np.array(getattr(self, name), str) for name in ("names", "files", "classes")}
        return {**texts, "sizes": self.sizes, "categories": np.array(self.categories), **counts, **joined}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Found:
        """The inverse of `arrays`."""
        kinds = dict.fromkeys(name.partition(":")[0] for name in arrays if name.endswith(":count"))
        parts = {of: _split(arrays, of, list(TRUTH if of == "truth" else FOUND)) for of in kinds}
        lists = {name: arrays[name].tolist() for name in ("names", "files", "classes", "categories")}
        return cls(sizes=arrays["sizes"], truths=parts.pop("truth"), predictions=parts, **lists)

    def tables(self) -> dict[str, MatchTable]:
        """The outcome of every detection, by option. Raises ValueError for what cannot be judged."""
        return {option: matched(self.truths, found, self.classes) for option, found in self.predictions.items()}

    def truth_json(self) -> dict[str, Any]:
        """COCO's file of instances."""
        whole = coco_truth(self.truths, self.classes)
        about = zip(self.ids, self.files, self.sizes.tolist(), strict=True)
        images = [{"id": key, "file_name": file, "width": w, "height": h} for key, file, (w, h) in about]
        named = zip(self.categories, self.classes, strict=True)
        categories = [{"id": key, "name": name} for key, name in named]
        rows = list(self._with_ids(whole["annotations"]))
        return {"info": {"description": ABOUT}, "images": images, "categories": categories, "annotations": rows}

    def results_json(self, option: str) -> list[dict[str, Any]]:
        """COCO's results of one way to test."""
        return list(self._with_ids(coco_rows(self.predictions[option])))

    def _with_ids(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        images, categories = self.ids, self.categories
        for row in rows:
            yield {
                **row,
                "image_id": images[row["image_id"]],
                "category_id": categories[row["category_id"] - 1],
            }

    @property
    def ids(self) -> Sequence[int]:
        """COCO's ids of the images: their names, where these are rising numbers, as COCO's own are; else 1, 2, …

        The order of images decides among equal scores.
        """
        numbers = [int(name) for name in self.names if name.isdecimal()]
        rising = len(numbers) == len(self.names) and numbers == sorted(set(numbers))
        return numbers if rising else range(1, len(self.names) + 1)


def _split(arrays: Mapping[str, NDArray[Any]], of: str, names: Sequence[str]) -> list[dict[str, Tensor]]:
    """The images' parts of the arrays `<of>:<name>`."""
    ends = np.cumsum(arrays[f"{of}:count"])
    pieces = {name: np.split(arrays[f"{of}:{name}"], ends[:-1]) for name in names}
    return [{name: torch.from_numpy(pieces[name][k]) for name in names} for k in range(len(ends))]
