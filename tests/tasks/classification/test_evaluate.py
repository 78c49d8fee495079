"""Published weights are tested on ImageNet's own classes only."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("simplejpeg", reason="needs simplejpeg")

from bench.data.locate import DataError
from bench.nets.timm_nets import imagenet_wnids
from bench.nets.weights import WeightsError
from bench.tasks.classification.evaluate import _require_official


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda wnids: ["tench", *wnids[1:]], r"1 of its classes are none of ImageNet's 1,000 \(tench\)"),
        (lambda wnids: [*wnids[:-1], "n99999999"], r"1 of its .* \(n99999999\)"),
        (lambda wnids: [*wnids[:-1], wnids[-1].upper()], r"1 of its .* \(N15075141\)"),
        (lambda wnids: wnids[1:], "tell 1,000 classes apart and imagenet has 999"),
        (lambda wnids: [*wnids, "n99999999"], "tell 1,000 classes apart and imagenet has 1,001"),
    ],
)
def test_only_imagenets_own_classes_are_the_weights_outputs(
    change: Callable[[list[str]], list[str]], message: str
) -> None:
    wnids = imagenet_wnids()
    _require_official(sorted(wnids), "imagenet", outputs=1000)

    with pytest.raises(DataError, match=message):
        _require_official(sorted(change(wnids)), "imagenet", outputs=1000)


@pytest.mark.parametrize("outputs", [1001, 11_821, 21_841])
def test_weights_of_other_classes_than_imagenets_are_refused(outputs: int) -> None:
    with pytest.raises(WeightsError, match=f"the weights tell {outputs:,} classes apart, not ImageNet's 1,000"):
        _require_official(imagenet_wnids(), "imagenet", outputs=outputs)
