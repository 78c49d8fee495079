"""AP by hand, by the official COCO API and by VOC's rules; what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("pycocotools", reason="needs pycocotools")

from bench.tasks.detection.average_precision import MatchTable, average_precision, mean_ap
from bench.tasks.detection.matching import matched, missed, voc_matches
from tests.tasks.detection.scored import NUMBERS, A, B, C, found, official, truth, voc_map


@pytest.mark.parametrize(
    ("objects", "detections", "places"),
    [
        (truth([A, B, C]), found([B], [0.9]), [0, 2]),
        (truth([A, B]), found([], []), [0, 1]),
        (truth([A]), found([A], [0.1]), []),
        (truth([A, B], [2, 1]), found([A, B], [0.9, 0.8]), [0]),  # of another class
        (truth([A, B, C], difficult=[0], crowd=[1]), found([], []), [2]),
        (truth([]), found([A], [0.9]), []),
    ],
)
def test_what_no_detection_hits_is_missed(objects: Any, detections: Any, places: list[int]) -> None:
    assert missed(objects, detections, ["thing", "other"]) == places


@pytest.mark.parametrize(
    ("truths", "predictions", "eleven", "every"),
    [
        ([truth([A])], [found([A], [0.9])], 100, 100),
        ([truth([A])], [found([], [])], 0, 0),
        ([truth([A]), truth([])], [found([A], [0.5]), found([A], [0.9])], 50, 50),
        # the same object twice: the second is false, and after full recall it costs nothing
        ([truth([A])], [found([A, A], [0.9, 0.8])], 100, 100),
        # … before it, it does: precision 1, 1/2, 2/3
        ([truth([A, B])], [found([A, A, B], [0.9, 0.8, 0.7])], 100 * (6 + 5 * 2 / 3) / 11, 100 * (0.5 + 0.5 * 2 / 3)),
        # an object of another class is no object
        ([truth([A, B], [1, 2])], [found([B, A], [0.9, 0.8])], 25, 25),
        # a difficult object is neither missed nor found
        ([truth([A, B], difficult=[1])], [found([B, A], [0.9, 0.8])], 100, 100),
    ],
)
def test_voc_ap_of_cases_done_by_hand(truths: Any, predictions: Any, eleven: float, every: float) -> None:
    assert voc_map(truths, predictions, ["thing", "other"], "11-point") == pytest.approx(eleven)
    assert voc_map(truths, predictions, ["thing", "other"]) == pytest.approx(every)


def test_a_detection_goes_to_the_object_that_it_overlaps_most_even_if_that_is_taken() -> None:
    """VOC's rule: it is then false, though another object overlaps it enough; COCO's gives it the other object."""
    truths = [truth([[0, 0, 10, 10], [0, 0, 10, 8]])]
    predictions = [found([[0, 0, 10, 10], [0, 0, 10, 10]], [0.9, 0.8])]

    assert voc_map(truths, predictions, ["thing"]) == pytest.approx(50)
    assert official(truths, predictions, ["thing"])["AP50"] == pytest.approx(100)


def test_an_iou_at_the_threshold_is_a_hit_and_below_it_is_none() -> None:
    half, less = [0, 0, 5, 10], [0, 0, 4.999, 10]

    assert voc_map([truth([A])], [found([half], [1.0])], ["thing"]) == 100
    assert voc_map([truth([A])], [found([less], [1.0])], ["thing"]) == 0


def test_a_class_without_an_object_has_no_ap_and_does_not_enter_the_mean() -> None:
    truths, predictions = [truth([A])], [found([A, B], [0.9, 0.9], [1, 2])]
    first, second = voc_matches(truths, predictions, ["a", "b"])
    theirs = official(truths, predictions, ["a", "b"])

    assert average_precision(first, "every-point") == 100
    assert math.isnan(average_precision(second, "every-point"))
    assert math.isnan(theirs["b"])
    assert mean_ap([first, second], "every-point") == 100
    assert theirs["AP50"] == pytest.approx(100)
    assert math.isnan(mean_ap([], "11-point"))


def test_coco_ignores_what_falls_into_a_crowd_or_on_a_difficult_box() -> None:
    inside = [52, 52, 60, 60]
    crowd = official([truth([A, C], crowd=[1])], [found([inside, inside, A], [0.9, 0.8, 0.7])], ["thing"])
    hard = official([truth([A, C], difficult=[1])], [found([C, A], [0.9, 0.7])], ["thing"])
    false = official([truth([A, C], difficult=[1])], [found([B, A], [0.9, 0.7])], ["thing"])

    assert crowd["AP50"] == hard["AP50"] == pytest.approx(100)
    assert false["AP50"] == pytest.approx(50)


def test_coco_numbers_without_any_detection_are_zero_and_without_an_object_of_a_size_missing() -> None:
    numbers = official([truth([A]), truth([])], [found([], []), found([], [])], ["thing"])

    assert numbers["AP"] == numbers["AP50"] == numbers["AR100"] == 0
    assert math.isnan(numbers["APlarge"])


def test_measuring_changes_nothing_of_what_is_measured() -> None:
    truths, predictions = [truth([B])], [found([B], [0.9])]

    matched(truths, predictions, ["thing"])

    assert truths[0]["boxes"].tolist() == predictions[0]["boxes"].tolist() == [B]


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="1 predictions for 2 images"):
        matched([truth([A]), truth([])], [found([A], [0.9])], ["thing"])
    with pytest.raises(ValueError, match="not finite: the net has diverged"):
        matched([truth([A])], [found([A], [math.nan])], ["thing"])
    with pytest.raises(ValueError, match="label 3 is not one of 1 to 2"):
        matched([truth([A], [3])], [found([], [])], ["a", "b"])


@pytest.fixture
def checks(bench_data: Path) -> Path:
    folder = bench_data / "evaluator_checks"
    if not folder.is_dir():
        pytest.skip("no evaluator_checks below BENCH_DATA")
    return folder


@pytest.mark.data
def test_coco_numbers_are_the_official_ones(checks: Path) -> None:
    expected = json.loads((checks / "expected.json").read_text())["coco"]
    content = json.loads((checks / expected["ground_truth"]).read_text())
    rows = json.loads((checks / expected["detections"]).read_text())["annotations"]
    order = sorted(c["id"] for c in content["categories"])
    truths, predictions = [], []
    for image in sorted(content["images"], key=lambda i: int(i["id"])):  # the API's order, which decides among ties
        own = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        mine = [r for r in rows if r["image_id"] == image["id"]]
        labels = [order.index(a["category_id"]) + 1 for a in own]
        one = truth([corners(a["bbox"]) for a in own], labels, crowd=[k for k, a in enumerate(own) if a["iscrowd"]])
        truths.append({**one, "area": torch.tensor([a["area"] for a in own])})
        of = [order.index(r["category_id"]) + 1 for r in mine]
        predictions.append(found([corners(r["bbox"]) for r in mine], [r["score"] for r in mine], of))

    numbers = official(truths, predictions, [str(k) for k in order])

    for name in NUMBERS:
        assert numbers[name] / 100 == pytest.approx(expected[name], abs=1e-6), name


def corners(bbox: Sequence[float], pixel: float = 0) -> list[float]:
    """[x, y, width, height] to corners; `pixel`: what an end that belongs to the box adds."""
    x, y, width, height = bbox
    return [x, y, x + width + pixel, y + height + pixel]


@pytest.mark.data
@pytest.mark.parametrize("points", ["11-point", "every-point"])
@pytest.mark.parametrize("iou", ["0.1", "0.3", "0.5", "0.75"])
def test_voc_numbers_are_the_published_ones(checks: Path, points: str, iou: str) -> None:
    expected = json.loads((checks / "expected.json").read_text())["pascal"]
    truths, predictions = [], []
    for path in sorted((checks / expected["ground_truth"]).glob("*.txt")):
        own = [[float(v) for v in line.split()[1:]] for line in path.read_text().splitlines()]
        mine = [
            [float(v) for v in line.split()[1:]]
            for line in (checks / expected["detections"] / path.name).read_text().splitlines()
        ]
        truths.append(truth([corners(box, 1) for box in own]))
        predictions.append(found([corners(row[1:], 1) for row in mine], [row[0] for row in mine]))

    [matches] = voc_matches(truths, predictions, ["object"], iou=float(iou))

    assert average_precision(matches, points) / 100 == pytest.approx(expected[points][iou], abs=1e-9)


@pytest.mark.parametrize("classes", [255, 256, 300, pytest.param(1_230, marks=pytest.mark.long)])
def test_ap_of_hundreds_of_classes_is_the_apis(classes: int) -> None:
    """The last class, and those that equal another in their lowest byte, are classes of their own."""
    labels = [1, classes, max(classes - 256, 2)]
    truths, names = [truth([A, B, C], labels)], [f"class {k}" for k in range(classes)]
    predictions = [found([A, B, C], [0.9, 0.8, 0.7], labels)]

    table = matched(truths, predictions, names)
    kept = MatchTable.of_arrays({name: array.copy() for name, array in table.arrays().items()})

    assert table.coco_ap(ious=(0.5,)) == pytest.approx(official(truths, predictions, names)["AP50"])
    assert table.coco_ap(ious=(0.5,)) == kept.coco_ap(ious=(0.5,)) == 100
    assert mean_ap(table.voc_matches(), "11-point") == mean_ap(kept.voc_matches(), "every-point") == 100


def test_labels_take_a_byte_where_the_classes_fit_into_one() -> None:
    """As in the files of earlier results, whose digests are of these bytes."""
    tables = [matched([truth([A])], [found([A], [0.9])], ["x"] * classes) for classes in (1, 255, 256)]

    assert [table.label.dtype.str for table in tables] == ["|u1", "|u1", "<u2"]
    assert [table.voc_label.dtype.str for table in tables] == ["|u1", "|u1", "<u2"]


@pytest.mark.parametrize(
    ("part", "name", "value", "words"),
    [
        (
            "truth",
            "difficult",
            torch.tensor([0]),
            r"truth 0: difficult: whole numbers \(1,\), where flags \(1,\) belong",
        ),
        ("truth", "crowd", torch.tensor([0.0]), r"truth 0: crowd: numbers \(1,\), where flags"),
        ("truth", "labels", torch.tensor([1.5]), r"truth 0: labels: numbers \(1,\), where whole numbers"),
        ("truth", "labels", torch.tensor(1), r"truth 0: labels: whole numbers \(\), where whole numbers \(1,\) belong"),
        ("truth", "boxes", torch.tensor(A), r"truth 0: boxes: whole numbers \(4,\), where numbers \(1, 4\) belong"),
        ("truth", "boxes", torch.tensor([[0, 0, math.nan, 9]]), "truth 0: boxes not finite"),
        ("truth", "area", torch.tensor([1.0, 2.0]), r"truth 0: area: numbers \(2,\), where numbers \(1,\) belong"),
        ("found", "labels", torch.tensor([True]), r"prediction 0: labels: flags \(1,\), where whole numbers"),
        ("found", "labels", torch.tensor([0]), "label 0 is not one of 1 to 300"),
        ("found", "labels", torch.tensor([301]), "label 301 is not one of 1 to 300"),
        (
            "found",
            "scores",
            torch.tensor([[0.5]]),
            r"prediction 0: scores: numbers \(1, 1\), where numbers \(1,\) belong",
        ),
        ("found", "scores", None, "prediction 0: scores missing"),
    ],
)
def test_columns_of_another_type_or_length_are_refused(part: str, name: str, value: Any, words: str) -> None:
    """Flags as numbers would count negative objects, labels as fractions none."""
    parts = {"truth": truth([A]), "found": found([A], [0.9])}
    parts[part] = {**parts[part], name: value}
    if value is None:
        del parts[part][name]

    with pytest.raises(ValueError, match=words):
        matched([parts["truth"]], [parts["found"]], ["x"] * 300)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int32])
def test_labels_of_narrow_types_are_compared_as_they_are(kind: torch.dtype) -> None:
    truths, predictions = [truth([A, B], [1, 200])], [found([A, B], [0.9, 0.8], [1, 200])]
    for part in (truths[0], predictions[0]):
        part["labels"] = part["labels"].to(kind)

    assert matched(truths, predictions, ["x"] * 256).numbers()["ap50"] == 100
