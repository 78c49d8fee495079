"""AP by hand, by the official COCO API and by VOC's rules; its bootstrap over images; what is refused."""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

pytest.importorskip("pycocotools", reason="needs pycocotools")

from bench.report.resampling import bootstrap
from bench.report.stats import Interval
from bench.tasks.detection.average_precision import (
    AREAS,
    Matches,
    MatchTable,
    average_precision,
    mean_ap,
)
from bench.tasks.detection.build import rate_warning, refuse_small_groups
from bench.tasks.detection.matching import coco_evaluation, matched, voc_matches

Rows = Sequence[Sequence[float]]
NUMBERS = (  # the API's twelve, in its own order
    *("AP", "AP50", "AP75", "APsmall", "APmedium", "APlarge"),
    *("AR1", "AR10", "AR100", "ARsmall", "ARmedium", "ARlarge"),
)


def official(truths: Any, predictions: Any, classes: Sequence[str]) -> dict[str, float]:
    """NUMBERS and each class's AP50 by its name, in percent, as the API prints them; NaN where it says -1."""
    evaluation = coco_evaluation(truths, predictions, classes)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
        evaluation.summarize()
    by_class = evaluation.eval["precision"][0, :, :, 0, -1].mean(0)  # of (recalls, classes) at IoU .5
    shares = map(float, (*evaluation.stats, *by_class))
    named = zip((*NUMBERS, *classes), shares, strict=True)
    return {name: math.nan if share < 0 else 100 * share for name, share in named}


def voc_map(truths: Any, predictions: Any, classes: Sequence[str], points: str = "every-point") -> float:
    return mean_ap(voc_matches(truths, predictions, classes), points)


def truth(
    boxes: Rows, labels: Sequence[int] | None = None, *, difficult: Sequence[int] = (), crowd: Sequence[int] = ()
) -> dict[str, Tensor]:
    b = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)
    n = range(len(b))
    return {
        "boxes": b,
        "labels": torch.tensor(labels or [1] * len(b), dtype=torch.int64),
        "difficult": torch.tensor([k in difficult for k in n], dtype=torch.bool),
        "crowd": torch.tensor([k in crowd for k in n], dtype=torch.bool),
        "area": (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]),
    }


def found(boxes: Rows, scores: Sequence[float], labels: Sequence[int] | None = None) -> dict[str, Tensor]:
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4),
        "scores": torch.tensor(scores, dtype=torch.float64),
        "labels": torch.tensor(labels or [1] * len(scores), dtype=torch.int64),
    }


A, B, C = [0, 0, 10, 10], [20, 20, 40, 40], [50, 50, 90, 90]  # three boxes that do not meet


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


def made_up(
    seed: int, images: int = 30, classes: int = 3, noise: float = 3.0
) -> tuple[list[dict[str, Tensor]], list[dict[str, Tensor]]]:
    """Images with up to six objects, and detections that are near them, or wrong."""
    rng = np.random.default_rng(seed)
    truths, predictions = [], []
    for _ in range(images):
        n = int(rng.integers(0, 7))
        corner = rng.uniform(0, 200, (n, 2))
        boxes = np.hstack([corner, corner + rng.uniform(15, 120, (n, 2))])
        labels = rng.integers(1, classes + 1, n)
        truths.append(truth(boxes.tolist(), labels.tolist(), crowd=[0] if n > 5 else []))
        near = np.vstack([boxes + rng.normal(0, noise, boxes.shape), boxes[: n // 2] + rng.normal(0, 9, (n // 2, 4))])
        of = np.where(rng.random(len(near)) < 0.1, 1, np.concatenate([labels, labels[: n // 2]]))
        predictions.append(found(near.tolist(), rng.random(len(near)).tolist(), of.tolist()))
    return truths, predictions


NAMES = ["a", "b", "c"]


@pytest.mark.parametrize("seed", range(4))
def test_the_matches_for_the_bootstrap_give_the_official_ap50(seed: int) -> None:
    truths, predictions = made_up(seed)

    expected, ours = official(truths, predictions, NAMES), matched(truths, predictions, NAMES).matches()

    assert 5 < expected["AP50"] < 95
    assert mean_ap(ours, "101-point") == pytest.approx(expected["AP50"], abs=1e-9)
    for matches, name in zip(ours, NAMES, strict=True):
        assert average_precision(matches, "101-point") == pytest.approx(expected[name], abs=1e-9)


def test_all_that_is_kept_of_a_test_gives_every_official_number_again() -> None:
    truths, predictions = made_up(3)
    expected = official(truths, predictions, NAMES)
    kept = MatchTable.of_arrays(matched(truths, predictions, NAMES).arrays())

    numbers = kept.numbers()

    names = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", **{f"ap_{size}": f"AP{size}" for size in AREAS[1:]}}
    assert {ours: numbers[ours] for ours in names} == pytest.approx(
        {ours: expected[theirs] for ours, theirs in names.items()}, abs=1e-9
    )
    assert numbers["voc07_map"] == pytest.approx(voc_map(truths, predictions, NAMES, "11-point"), abs=1e-12)
    assert numbers["voc12_map"] == pytest.approx(voc_map(truths, predictions, NAMES), abs=1e-12)


def test_a_test_in_which_nothing_was_found_is_kept_too() -> None:
    kept = MatchTable.of_arrays(matched([truth([A])], [found([], [])], ("one",)).arrays())

    assert (kept.numbers()["ap"], kept.numbers()["voc12_map"], math.isnan(kept.numbers()["ap_large"])) == (0, 0, True)


@pytest.mark.parametrize("points", ["11-point", "every-point", "101-point"])
def test_an_image_that_is_drawn_twice_counts_as_two_images(points: str) -> None:
    truths, predictions = made_up(7, images=12)
    times = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12))
    index = np.repeat(np.arange(12), times)

    once = matched(truths, predictions, NAMES)
    repeated = matched([truths[k] for k in index], [predictions[k] for k in index], NAMES)

    voc, coco = (mean_ap(matches, points, times) for matches in (once.voc_matches(), once.matches()))

    assert voc == pytest.approx(mean_ap(repeated.voc_matches(), points), abs=1e-9)
    assert coco == pytest.approx(mean_ap(repeated.matches(), points), abs=1e-9)


def over_images(*nets: tuple[Matches, ...], seed: int = 0) -> Interval:
    """Of the AP of one net, or of the second's minus the first's on the same images."""

    def statistic(times: NDArray[np.int64]) -> float:
        first, *more = (mean_ap(matches, "every-point", times) for matches in nets)
        return more[0] - first if more else first

    return bootstrap(statistic, len(nets[0][0].positives), np.random.default_rng(seed), draws=200)


def test_a_bootstrap_is_its_generators_and_holds_the_number() -> None:
    matches = voc_matches(*made_up(1), NAMES)

    first, again, other = (over_images(matches, seed=seed) for seed in (0, 0, 1))

    assert first == again != other
    assert first.low < mean_ap(matches, "every-point") < first.high


def test_the_bootstrap_interval_has_about_the_spread_of_other_test_sets() -> None:
    """Against the truth: 100 sets of the same kind, each measured."""
    others = [voc_map(*made_up(s), NAMES) for s in range(100, 200)]
    found = [over_images(voc_matches(*made_up(s), NAMES), seed=s) for s in range(5)]

    assert np.mean([one.high - one.low for one in found]) / (2 * 1.96) == pytest.approx(np.std(others), rel=0.35)


def test_two_trainings_on_the_same_images_are_compared_more_sharply_than_apart() -> None:
    truths, blurred = made_up(1, noise=6.0)
    _, sharp = made_up(1, noise=3.0)
    worse, better = (voc_matches(truths, p, NAMES) for p in (blurred, sharp))

    difference, apart = over_images(worse, better), [over_images(one) for one in (worse, better)]

    assert difference.high - difference.low < math.hypot(*(b.high - b.low for b in apart))
    assert (over_images(worse, worse).low, over_images(worse, worse).high) == (0, 0)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="1 predictions for 2 images"):
        matched([truth([A]), truth([])], [found([A], [0.9])], ["thing"])
    with pytest.raises(ValueError, match="not finite: the net has diverged"):
        matched([truth([A])], [found([A], [math.nan])], ["thing"])
    with pytest.raises(ValueError, match="label 3 is not one of 1 to 2"):
        matched([truth([A], [3])], [found([], [])], ["a", "b"])


def test_batch_norm_on_few_images_is_refused_and_an_odd_rate_is_said() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    refuse_small_groups(net, 16)
    refuse_small_groups(net[:1], 1)
    with pytest.raises(ValueError, match=r"1 batch norms \(1 …\) would be trained on 2 images"):
        refuse_small_groups(net, 2)
    for form, lr, images in (("c4", 0.001, 1), ("c4", 0.001, 8), ("c4", 0.001, 16), ("fpn", 0.02, 16)):
        assert rate_warning(form, lr, images) == ""
    assert "far above the usual 0.0025" in rate_warning("fpn", 0.02, 2)
    assert "far below" in rate_warning("c4", 1e-5, 16)


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
