"""Several processes measured at once."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from bench.nets.counts import multiply_adds
from bench.spec import Net
from bench.speed import processes
from bench.speed.command import measure_at_once
from tests.launch.builders import NET


@pytest.mark.team
def test_two_nets_train_at_once_and_a_death_is_no_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = measure_at_once(Net("cifar", 8, "A"), "fp32", (1, 2), tmp_path, seconds=0.3)

    assert [row.at_once for row, _, _ in found] == [1, 2]
    for row, rounds, peak in found:
        assert len(rounds) == 2
        assert min(rounds) <= row.images_per_s <= max(rounds)
        assert 0.1 < peak < 16
        assert asdict(row)["work"] == multiply_adds(Net("cifar", 8, "A"))

    monkeypatch.setattr(processes, "_train", _dies)
    assert measure_at_once(NET, "fp32", (1,), tmp_path, seconds=0.3) == []


def _dies(*_: object) -> None:
    raise SystemExit(1)
