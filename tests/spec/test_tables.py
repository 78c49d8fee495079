"""The tables of data sets, tasks and families: what they name is there; another name is refused by those there are."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from bench.spec import DATASETS, FAMILIES, TASKS, Net, Recipe, Run, SpecError, dataset_of, task_of
from bench.spec.datasets import PARTS

ROOT = Path(__file__).resolve().parents[2]
ROWS: list[Any] = [*DATASETS.values(), *TASKS.values(), *FAMILIES.values()]
HOMES = sorted(
    {
        value
        for row in ROWS
        for f in fields(row)
        if isinstance(value := getattr(row, f.name), str) and value.startswith("bench.")
    }
)


@pytest.mark.parametrize("home", HOMES)
def test_what_is_imported_when_asked_for_is_where_it_is_said_to_be(home: str) -> None:
    module, _, name = home.partition(":")
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())

    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize("row", DATASETS.values(), ids=list(DATASETS))
def test_a_data_set_goes_by_tasks_parts_and_data_sets_that_there_are(row: Any) -> None:
    assert set(row.tasks) <= set(TASKS)
    assert {row.replaces, row.stand_in} - {""} <= set(DATASETS)
    assert row.part in ("", *PARTS)
    assert set(PARTS) <= {field.name for field in fields(Recipe)}


@pytest.mark.parametrize("name", ["cifar", "cifar100x", "imagenet-0", "bccd-3", "", None])
def test_an_unknown_data_set_is_never_taken_for_another(name: Any) -> None:
    with pytest.raises(SpecError, match="is not one of: cifar10, cifar100, stand-in, svhn, imagenet, tiny-imagenet"):
        dataset_of(name)
    with pytest.raises(SpecError, match="is not one of: cifar10, cifar100, stand-in|data must be a text, got None"):
        Run("quick", Net("cifar", 20, "A"), name, Recipe(), 0)


def test_an_unknown_task_is_refused_by_those_there_are() -> None:
    with pytest.raises(SpecError, match="task 'train' is not one of: classify, diagnose, evaluate, verify, detect"):
        task_of("train")


def test_the_first_classes_of_a_set_are_a_part_of_it() -> None:
    part = dataset_of("tiny-imagenet-100")

    assert (part.classes, part.replaces, part.of_paper, part.reader) == (
        100,
        "imagenet",
        False,
        DATASETS["imagenet"].reader,
    )
    assert (dataset_of("imagenet").of_paper, dataset_of("imagenet-100").of_paper) == (True, False)


def test_a_task_says_what_its_test_measured() -> None:
    assert task_of("classify").words(8.75) == "test error 8.75 %"
    assert task_of("detect").words(37.9) == "AP50 62.10 %"
