"""The learning rate at every corner (Section 4.2)."""

from __future__ import annotations

import pytest

from bench.spec.schedule import rate_at

PAPER = {"lr": 0.1, "drops": (32_000, 48_000)}


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.1), (1, 0.1), (31_999, 0.1), (32_000, 0.01), (47_999, 0.01), (48_000, 0.001), (63_999, 0.001)],
)
def test_the_rate_drops_at_32k_and_48k(step: int, rate: float) -> None:
    assert rate_at(step, **PAPER) == rate  # type: ignore[arg-type]  # a plain dict of keywords


@pytest.mark.parametrize(("step", "rate"), [(0, 0.01), (399, 0.01), (400, 0.1), (32_000, 0.01)])
def test_110_layers_warm_up_at_a_hundredth_for_400_steps_and_then_return_to_a_tenth(step: int, rate: float) -> None:
    assert rate_at(step, warmup_steps=400, warmup_lr=0.01, **PAPER) == rate  # type: ignore[arg-type]


def test_without_drops_the_rate_is_constant() -> None:
    assert {rate_at(step, lr=0.3, drops=()) for step in range(100)} == {0.3}
