"""What the benchmark says is true of what it measures; how fast anything is, no test asks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from bench.data import procedural
from bench.spec import Net
from bench.speed import agreement
from bench.speed.cases import profile
from bench.speed.paired import Case, measure

SMALL = replace(agreement.RECIPE, batch=4, bn_group=2, test_images=20)


def test_the_fast_path_has_the_plain_ones_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "STEPS", 3)
    monkeypatch.setattr(agreement, "EARLY", 2)
    monkeypatch.setattr(agreement, "RECIPE", SMALL)
    images = procedural.stand_in(200, 50)

    found = list(agreement.agreements(images, "fp32", compiled=False, seeds=1))

    assert [one.net for one in found] == ["resnet-20-A", "plain-20"]
    assert all(one.exact < 1e-10 for one in found), "one algorithm"
    assert all(one.early <= one.all for one in found)
    assert all(0 < one.loss < 1e-5 for one in found), "a step from the same weights"
    # with groups of two images a rounding that switches a ReLU moves the update by a percent
    assert all(0 < one.update < 0.1 for one in found)
    assert all(0 < one.statistics < 1e-4 for one in found)
    words = agreement.summary(found).splitlines()
    assert [line.split(",")[0] for line in words[::4]] == ["resnet-20-A", "plain-20"]
    assert f"{found[0].plain_error:.2f} ± 0.00 % plain" in words[3]


def test_a_profile_adds_up_and_knows_the_parts_of_a_step() -> None:
    shares = profile(Net("cifar", 8, "A"), procedural.stand_in(200, 50), "fp32", torch.device("cpu"), compiled=False)

    assert sum(shares.values()) == pytest.approx(100)
    assert {"convolutions, backward", "convolutions, forward", "batch norm, backward", "SGD"} <= set(shares)
    assert min(shares.values()) >= 0


def test_rounds_alternate_and_ratios_are_paired() -> None:
    turns: list[str] = []

    def turn(name: str) -> float:
        turns.append(name)
        return 1.0

    found = measure(Case("c", "units", partial(turn, "ours"), partial(turn, "theirs"), "reference", rounds=3))

    assert turns[:2] == ["ours", "theirs"], "both are warmed up"
    assert turns[2:] == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert found.ratio[1] <= found.ratio[0] <= found.ratio[2]
