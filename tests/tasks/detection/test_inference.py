"""Options at test time: refinement and voting, several scales."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.tasks.detection.inference import adjacent_scales, best_boxes, detect, detections, voted
from tests.tasks.detection.detectors import of_cifar, scene, small_c4, small_fpn, trained


@pytest.fixture(scope="module")
def briefly_trained() -> Any:
    torch.manual_seed(0)
    model = small_c4(of_cifar(), regions_per_image=16)
    model.roi_heads.score_thresh = 0.01
    trained(model, steps=3, lr=0.01)
    return model


@pytest.mark.parametrize("form", [small_c4, small_fpn])
def test_detecting_without_options_is_the_models_own_test(form: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    model = form(of_cifar())
    trained(model, steps=3, lr=0.01)
    image = scene()[0][0]

    found = detect(model, image)

    assert model.training
    [theirs] = model.eval()([image])
    assert len(found["scores"])
    assert all(torch.allclose(found[name], theirs[name], atol=1e-4) for name in ("boxes", "labels", "scores"))


def test_one_scale_twice_is_that_scale(briefly_trained: Any) -> None:
    """Maxout of two equal maps is the map: with neighbours a pixel apart the scores hardly move."""
    image = scene()[0][0]

    plain, doubled = detect(briefly_trained, image), detect(briefly_trained, image, sides=(63, 64))

    assert plain["scores"][:3] == pytest.approx(doubled["scores"][:3], rel=0.2)
    assert len(detect(briefly_trained, image, refine=True, sides=(48, 64, 96))["scores"])


def of(boxes: list[list[float]], scores: list[float], labels: list[int]) -> dict[str, Tensor]:
    return {"boxes": torch.tensor(boxes), "scores": torch.tensor(scores), "labels": torch.tensor(labels)}


def test_box_voting_is_the_mean_by_score_of_the_near_boxes_of_the_class() -> None:
    found = of([[0.0, 0, 10, 10]], [0.75], [1])
    voters = of(
        [[0.0, 0, 10, 10], [0, 0, 10, 14], [0, 0, 10, 30], [0, 0, 10, 12]], [0.75, 0.25, 0.9, 0.9], [1, 1, 1, 2]
    )

    assert voted(found, voters).tolist() == [[0, 0, 10, 11]]


def test_suppression_is_within_a_class_and_weak_boxes_have_no_vote() -> None:
    boxes = torch.tensor([[[0.0, 0, 10, 10]] * 2, [[0, 0, 10, 12]] * 2, [[0, 0, 10, 14]] * 2])
    scores = torch.tensor([[0.9, 0.0], [0.0, 0.8], [0.3, 0.01]])

    found, with_votes = (detections(boxes, scores, nms=0.3, vote=vote) for vote in (False, True))

    assert found["labels"].tolist() == [1, 2]
    assert found["boxes"].tolist() == [[0, 0, 10, 10], [0, 0, 10, 12]]
    assert with_votes["boxes"].flatten().tolist() == pytest.approx([0, 0, 10, 11, 0, 0, 10, 12])
    assert with_votes["scores"].tolist() == found["scores"].tolist()


def test_refinement_pools_the_regressed_box_of_the_most_likely_class() -> None:
    boxes = torch.tensor([[[0.0, 0, 1, 1], [0, 0, 2, 2]], [[3.0, 3, 4, 4], [0, 0, 9, 9]]])

    assert best_boxes(boxes, torch.tensor([[0.1, 0.9], [0.6, 0.2]])).tolist() == [[0, 0, 2, 2], [3, 3, 4, 4]]


def test_refinement_scores_all_regions_twice_and_keeps_both(
    briefly_trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watched(boxes: Tensor, scores: Tensor, **options: Any) -> dict[str, Tensor]:
        seen.append(boxes)
        return detections(boxes, scores, **options)

    monkeypatch.setattr("bench.tasks.detection.inference.detections", watched)
    for refine in (False, True):
        detect(briefly_trained, scene()[0][0], refine=refine)

    plain, both = seen
    assert len(both) == 2 * len(plain)
    assert torch.equal(both[: len(plain)], plain)


def test_a_region_is_pooled_in_the_two_scales_around_224_pixels() -> None:
    boxes = torch.tensor([[0.0, 0, 300, 300], [0, 0, 224, 224], [0, 0, 20, 20], [0, 0, 2000, 2000], [0, 0, 0, 0]])

    lower = adjacent_scales(boxes, 500, (200, 400, 600, 800, 1000))

    assert lower.tolist() == [0, 1, 3, 0, 3]  # 373 and 500 of 500 pixels; small objects in the largest scales
