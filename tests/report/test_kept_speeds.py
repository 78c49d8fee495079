"""What results/speed/ keeps: the smallest form of the command writes it, and a page shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.cli.commands import main
from bench.report.kept_speeds import NONE, kept_speeds
from bench.spec import Net, Way
from bench.speed import cases
from bench.speed.gpu import Found, Rate
from bench.speed.kept import Kept
from bench.store import StoreError
from bench.tasks.classification import synthetic

ABOUT = {
    "command": "python -m bench speed train", "date": "2026-01-02", "machine": "Some CPU, 2 cores", "python": "3.11.9",
    "torch": "2.14.1", "bench": "1.0", "commit": "c0ffee" * 7, "dirty": False,
}  # fmt: skip


def test_the_command_keeps_what_it_measured_with_machine_versions_day_and_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "images_in", lambda _: synthetic.stand_in(200, 50))
    file = tmp_path / "new" / "small.json"
    words = ["speed", "checkpoint", "--depths", "8", "--threads", "1", "--json", str(file)]

    assert main(words) == 0

    kept = json.loads(file.read_text())
    assert kept["command"] == f"python -m bench speed checkpoint --depths 8 --threads 1 --json {file}"
    assert set(ABOUT) <= set(kept)
    assert [len(kept["date"]), kept["date"][:2]] == [10, "20"]
    (timing,) = kept["timings"]
    assert timing["ours"][1] <= timing["ours"][0] <= timing["ours"][2]
    shown = kept_speeds(file.parent, "there")
    assert shown.startswith("[small.json](there/small.json): ")
    assert shown.splitlines()[1] == f"`{kept['command']}`"
    assert "| checkpoint, resnet-8-A | checkpoints/s | torch.save, not synced | " in shown


def test_figures_that_cannot_be_kept_are_refused_before_they_are_measured(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert main(["speed", "start", "--json", str(tmp_path / "file" / "x.json")]) == 2


@pytest.mark.parametrize(
    ("group", "values", "row"),
    [
        ("limits", {"resnet-20-A": {"gflop_per_s": 81.3, "arithmetic_s": 0.384, "gb_per_s": 20.7, "traffic_s": 0.047}},
         "| resnet-20-A | 81.3 | 384 | 20.7 | 47 |"),
        ("growth", {"1000": {"plan": 1.0, "report": 4.5}}, "| 1,000 | 1.00 | 4.50 |"),
        ("together", [{"net": "resnet-20-A", "precision": "bf16", "at_once": 2, "threads": 1, "images_per_s": 1086.4,
                       "peak_memory_gib": 1.214}], "| resnet-20-A | bf16 | 2 | 1 | 1,086 | 1.21 |"),
        ("settings", [{"net": "resnet-20-A", "precision": "bf16", "way": "eager", "rates": [891.2, 825.0],
                       "compiled": None, "usual": 2.04}], "| resnet-20-A | bf16 | eager | 891, 825 | – | 2.04 |"),
        ("agreement", [{"net": "plain-20", "precision": "fp32", "seed": 0, "loss": 3e-6, "update": 0.0213,
                        "fast_error": 69.2, "plain_error": 69.9}],
         "| plain-20 | fp32 | 0 | 3e-06 | 2.1e-02 | 69.20 | 69.90 |"),
        ("checks", [{"name": "fused SGD", "passed": False, "words": "3e-2 from fp64"}],
         "| fused SGD | **WRONG** | 3e-2 from fp64 |"),
        ("convolutions", [{"name": "16 to 16", "kind": "bf16", "forward": 0.0312, "inputs": 0.04, "weights": 0.05}],
         "| 16 to 16 | bf16 | 0.031 | 0.040 | 0.050 |"),
        ("gains", {"4": 2.345}, "| 4 | 2.35 |"),
        ("failed", ["compiled: no compiler"], "| compiled: no compiler |"),
    ],
)  # fmt: skip
def test_every_group_has_a_table(group: str, values: Any, row: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**ABOUT, "timings": [], group: values}))

    text = kept_speeds(tmp_path, "there")

    assert text.splitlines()[0].endswith("resnet-bench 1.0, commit c0ffeec0ff, 2026-01-02.")
    assert row in text.splitlines()


def test_of_a_gpu_all_that_a_rehearsal_measures_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    net, way = Net("cifar", 20, "A"), Way(graph=True, batch_norm="fused")

    Found("A GPU", Kept(file, ["gpu"]), rates=[Rate(way, "bf16", net, 1.234)], way=way, gains={4: 2.0}).keep()

    lines = kept_speeds(tmp_path, "there").splitlines()
    assert "| resnet-20-A | bf16 | graph, fused batch norm | 1.23 |" in lines
    assert "| 4 | 2.00 |" in lines


def test_none_is_said_and_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    assert kept_speeds(tmp_path / "none", "there") == NONE
    (tmp_path / "a.json").write_text('{"command": "x"}')

    with pytest.raises(StoreError, match=r"a.json is no file of `bench speed --json`: KeyError: 'dirty'"):
        kept_speeds(tmp_path, "there")


def test_a_timing_without_its_lowest_and_highest_is_named(tmp_path: Path) -> None:
    timing = {"name": "x", "unit": "steps", "beside": "y", "ours": [1.0], "reference": [1.0], "ratio": [1.0]}
    (tmp_path / "a.json").write_text(json.dumps({**ABOUT, "timings": [timing]}))

    with pytest.raises(StoreError, match=r"a.json is no file of `bench speed --json`: IndexError"):
        kept_speeds(tmp_path, "there")
