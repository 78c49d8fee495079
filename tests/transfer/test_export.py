"""Weights for others: those of the result bit by bit, in the same bytes each time, or a reason why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from bench.cli.commands import main as bench
from bench.report.collect import collect
from bench.report.verify.published import Published
from bench.report.verify.weights import in_weights
from bench.spec import Net, run_from_json
from bench.spec.own import copy_name
from bench.store import RunFolder
from bench.train import checkpoint
from tests.builders import tiny_run
from tests.transfer.builders import RUN, make, trained

At = Callable[[int, str], RunFolder]


def export(place: Path, *options: str, to: str = "files") -> int:
    outs = [str(place / name) for name in ("there", "others") if (place / name).is_dir()]
    return bench(["export", "tiny", "--weights", "--out", *outs, "--to", str(place / to), *options])


def test_the_file_has_the_weights_of_the_result_and_says_of_what_run_they_are(at: At, tmp_path: Path) -> None:
    folder = at(12, "there")
    (folder.path / "manifest.json").write_text("{}\n")
    result, env = folder.result(), folder.env()
    assert result is not None
    assert env is not None

    assert export(tmp_path) == 0

    path = tmp_path / "files" / f"{RUN.id}.safetensors"
    assert checkpoint.weights_digest(load_file(path)) == result["weights_sha256"]
    with safe_open(path, "pt") as file:
        about = file.metadata()
    assert run_from_json(about["run"]) == RUN
    assert json.loads(about["test_error"]) == result["test_error"]
    assert {name: about[name] for name in ("id", "weights_sha256", "test_images", "data", "data_sha256")} == {
        "id": RUN.id,
        "weights_sha256": result["weights_sha256"],
        "test_images": "40",
        "data": "stand-in",
        "data_sha256": env["data_sha256"],
    }
    assert about["manifest_sha256"] == "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"
    assert "arXiv:1512.03385" in about["citation"]

    assert export(tmp_path, to="again") == 0
    assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_by_default_the_files_lie_beside_the_runs_and_are_no_run(
    at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at(12, "runs")
    monkeypatch.chdir(tmp_path)

    assert bench(["export", "tiny", "--weights"]) == 0

    names = sorted(path.name for path in Path("runs/tiny/weights").iterdir())
    assert names == [f"{RUN.id}.md", f"{RUN.id}.safetensors"]
    assert capsys.readouterr().out == "runs/tiny/weights: the weights of 1 run, 0.29 MiB\n"
    assert bench(["status", "tiny"]) == 0
    assert "1 run" in capsys.readouterr().out


def test_of_a_run_in_two_folders_the_first_that_has_its_weights_is_taken(at: At, tmp_path: Path) -> None:
    at(12, "there").checkpoint.unlink()
    at(12, "others")

    assert export(tmp_path) == 0
    assert (tmp_path / "files" / f"{RUN.id}.safetensors").is_file()


def test_a_run_without_the_weights_of_its_result_is_named(
    at: At, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = at(12, "there")
    state = checkpoint.loads(folder.checkpoint.read_bytes())
    first = next(iter(state["net"]))
    forged: dict[str, dict[str, Any]] = {
        "its weights are not those that the run ended with": {"net": {**state["net"], first: state["net"][first] + 1}},
        "it is of the run other": {"run": "other"},
        "it is damaged (it has no step, or no net)": {"net": []},
        "has no attribute 'detach'": {"net": {"a": 1}},
    }
    for words, change in forged.items():
        checkpoint.save(folder.checkpoint, {**state, **change})
        assert export(tmp_path) == 1
        assert words in capsys.readouterr().out
    folder.checkpoint.write_bytes(b"nothing")
    assert export(tmp_path) == 1
    assert "it is damaged (it is no file of torch.save" in capsys.readouterr().out
    folder.checkpoint.unlink()
    assert export(tmp_path) == 1
    assert "its weights were deleted, stayed on the machine that trained it" in capsys.readouterr().out
    assert not list((tmp_path / "files").iterdir())


def test_only_what_is_asked_for_and_done_is_written(at: At, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at(12, "there")
    make(tmp_path / "there", tiny_run(seed=1))

    assert export(tmp_path, "--only", "*-s1-*") == 1
    assert "the weights of 0 runs" in capsys.readouterr().out
    assert export(tmp_path, "--only", "plain-*") == 2
    assert "--only 'plain-*' matches none of 2 runs; ids are such as resnet-8-A-quick-s0-" in capsys.readouterr().err
    (tmp_path / "one").write_text("")
    assert bench(["export", "tiny", "--weights", "--out", str(tmp_path / "there"), "--to", str(tmp_path / "one")]) == 2
    assert "one is a file: give a folder" in capsys.readouterr().err
    assert bench(["export", "tiny", "--out", str(tmp_path / "there")]) == 2
    assert "nothing is exported: say what, --weights (the final weights" in capsys.readouterr().err
    assert bench(["export", "nothing", "--weights", "--out", str(tmp_path / "there")]) == 2


CODE = """from torch import nn

def build(depth, classes, width):
    features = nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*features, nn.Linear(width, classes))
"""


def test_code_of_ones_own_goes_with_the_weights_and_its_card_makes_the_net(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_nets.py").write_text(CODE)
    run = replace(tiny_run(), net=Net.own("my_nets.py:build", depth=2, name="gated", width=4))
    trained(tmp_path / "there", 12, run)
    results = tmp_path / "results" / "tiny"
    collect(results, [tmp_path / "there" / "tiny"], ())

    assert export(tmp_path, to="results/tiny/weights") == 0

    code = results / "weights" / copy_name(run.net.build, run.net.build_sha256)
    assert code.read_text() == CODE
    assert list(in_weights(Published.read(results))) == []
    monkeypatch.chdir(code.parent)
    known: dict[str, Any] = {}
    card = Path(f"{run.id}.md").read_text()
    exec(card.split("```python\n")[1].split("```")[0], known)
    assert known["net"](torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert "license" not in card

    code.write_text(CODE + "# changed")
    assert [line.split(" is no file")[0] for line in in_weights(Published.read(results))] == [str(code)]
