"""A card follows from the weights beside it: a hub can read its metadata, and its snippet makes the net."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from bench.cli.places import PROJECT
from bench.report.card import card, card_problems, renew_cards, write_card
from bench.report.digests import differences, write_digests
from bench.report.frame import display_name
from bench.report.rows import read_rows, run_of
from bench.report.verify.published import Published
from bench.report.verify.weights import in_weights
from bench.spec import Faces, Net, Run
from bench.store import StoreError, tensor_file
from bench.store.tensor_file import TensorFile
from tests.builders import needs, tiny_run

PUBLISHED = PROJECT / "results" / "plain_vs_residual"
WEIGHTS = PUBLISHED / "weights" / "resnet-20-A-paper-s0-bc90003b.safetensors"
SOURCE = "https://example.org/suite/tree/c72059"


def file_of(run: Run, **about: str) -> TensorFile:
    told = {"id": run.id, "run": json.dumps(run.as_json()), "test_error": "12.5", "test_images": "40", **about}
    return TensorFile({}, told)


def front(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


@needs("huggingface_hub")
def test_a_hub_reads_the_metadata(tmp_path: Path) -> None:
    from huggingface_hub import EvalResult, ModelCard

    path = tmp_path / "card.md"
    path.write_text(card(WEIGHTS.name, tensor_file.read(WEIGHTS), SOURCE))

    data = ModelCard.load(path).data

    assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "pytorch", "image-classification")
    assert data.datasets == ["uoft-cs/cifar10"]
    assert data.model_name == WEIGHTS.stem
    result = EvalResult(
        task_type="image-classification",
        dataset_type="uoft-cs/cifar10",
        dataset_name="CIFAR-10",
        dataset_args={"test_images": 10_000},
        metric_type="test_error",
        metric_value=8.49,
        metric_name="test error, in percent",
        source_name="resnet-bench",
        source_url=SOURCE,
    )
    accuracy = replace(result, metric_type="accuracy", metric_value=91.51, metric_name="accuracy, in percent")
    assert data.eval_results == [result, accuracy]


def test_it_says_what_was_reached_by_how_many_trainings_on_what() -> None:
    text = card(WEIGHTS.name, tensor_file.read(WEIGHTS))

    assert "# ResNet-20 on CIFAR-10\n" in text
    assert "64,000 steps of 128 images at a learning rate of 0.1, divided by ten after 32,000 and 48,000, " in text
    assert "on the official CIFAR-10 (SHA-256 32e5966899bd)" in text
    assert "| 8.49 % | 10,000 | 1 |" in text
    assert "95 % interval over images (Wilson): 7.96 to 9.05 %." in text
    assert "Scale `" not in text
    assert "source" not in text
    assert "@inproceedings{he2016deep," in text


def made_up() -> Run:
    return tiny_run()


def of_faces() -> Run:
    run = tiny_run()
    return replace(run, task="verify", data="lfw-view1", recipe=replace(run.recipe, faces=Faces(side=32)))


@pytest.mark.parametrize(
    ("run", "metrics", "words"),
    [
        (made_up, {"test_error": 12.5, "accuracy": 87.5}, "**The images are procedural: the number below says nothing"),
        (of_faces, {"test_error": 12.5, "accuracy": 87.5}, "95 % interval over pairs"),
    ],
)
def test_a_number_that_says_less_is_called_that(run: Callable[[], Run], metrics: dict[str, float], words: str) -> None:
    text = card("a.safetensors", file_of(run()))

    (result,) = front(text)["model-index"][0]["results"]
    assert {metric["type"]: metric["value"] for metric in result["metrics"]} == metrics
    assert words in text


@pytest.mark.parametrize("path", sorted(PUBLISHED.parent.glob("*/runs.csv")), ids=lambda path: path.parent.name)
def test_runs_of_every_task_and_data_set_can_have_one(path: Path) -> None:
    for row in (row for row in read_rows(path) if row["state"] == "done"):
        text = card("a.safetensors", file_of(run_of(row), test_error=row["test_error"]))
        (named,) = front(text)["model-index"]
        assert named["name"] == row["id"]
        assert f"# {display_name(row['net'].partition('+')[0])} on " in text


def test_of_a_net_of_ones_own_it_says_what_it_is_built_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("def build(depth, classes, width): ...\n")
    own = Net.own("mine.py:build", depth=8, name="gated", width=32)

    text = card("a.safetensors", file_of(replace(tiny_run(), net=own)))

    assert 'gated-8 (a net of its author\'s, `mine.py:build` with `{"width":32}`), trained with resnet-bench' in text
    assert "resnet" not in front(text)["tags"]


def snippet(text: str) -> str:
    return text.split("```python\n")[1].split("```")[0]


def test_its_snippet_makes_the_net(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(WEIGHTS.parent)
    known: dict[str, Any] = {}

    exec(snippet(card(WEIGHTS.name, tensor_file.read(WEIGHTS))), known)

    assert known["net"](torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert not known["net"].training


def test_of_another_task_its_snippet_reads_the_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(WEIGHTS, tmp_path / "a.safetensors")
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {}
    text = card("a.safetensors", file_of(of_faces()))

    exec(snippet(text), known)

    assert "fc.weight" in known["tensors"]
    assert "`FacePairs.net` in `bench.tasks.verification.experiment`" in text


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The published numbers with a card beside the weights."""
    copy = Path(shutil.copytree(PUBLISHED, tmp_path / "plain_vs_residual"))
    write_card(copy / "weights" / WEIGHTS.name)
    write_digests(copy)
    return copy


def problems(results: Path) -> list[str]:
    return list(in_weights(Published.read(results)))


def test_published_cards_are_checked_and_written_once_more(results: Path) -> None:
    path = results / "weights" / f"{WEIGHTS.stem}.md"
    whole = path.read_text()
    assert problems(results) == []

    path.write_text(whole.replace("8.49 %", "7.49 %"))
    assert problems(results) == [f"{path}: it does not follow from {WEIGHTS.name}; `bench publish` writes it once more"]
    renew_cards(results)
    assert path.read_text() == whole
    assert differences(results) == []


def test_where_the_code_can_be_read_may_differ(results: Path) -> None:
    path = results / "weights" / f"{WEIGHTS.stem}.md"
    path.write_text(card(WEIGHTS.name, tensor_file.read(WEIGHTS), SOURCE))

    assert problems(results) == []


def test_a_card_of_no_weights_is_named(results: Path) -> None:
    path = results / "weights" / "other.md"
    path.write_text("")

    assert problems(results) == [
        f"{path} is no file of weights: {path.parent} holds ID.safetensors and ID.md, which bench export writes"
    ]


def test_weights_of_others_have_no_card(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(tensor_file.dumps((), {}))

    with pytest.raises(StoreError, match="has no metadata of a run that `bench export` writes"):
        write_card(path)
    (tmp_path / "a.md").write_bytes(b"\xff")
    assert len(list(card_problems(tmp_path / "a.md"))) == 1
