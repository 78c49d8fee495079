"""A task of the user's: what is refused of it before anything trains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.data.locate import AbsentError
from bench.spec import Net, Run, own_task
from bench.spec.own import OwnCodeError
from bench.store import RunFolder
from bench.tasks.job import Job
from bench.tasks.own_task import check
from tests.builders import TINY
from tests.pages import files_on_pages

HEAD = """
import numpy as np
class Mine(Rotation):
"""
STREAM = "    def batches(self):\n        stream = super().batches()\n"
BAD = {
    "a stream that is not all saved": (
        STREAM + "        saved = stream.batches.state_dict\n"
        "        stream.state_dict = lambda: {'images': saved(), 'turns': torch.Generator().get_state()}\n"
        "        return stream",
        "draws another batch once its state was saved and loaded",
    ),
    "no state": (STREAM + "        del Turned.state_dict\n        return stream", "no attribute 'state_dict'"),
    "another seed": (
        STREAM + "        stream.generator.seed()\n        return stream",
        "another first batch",
    ),
    "labels out of range": (
        "    @property\n    def classes(self): return 2",
        "draws labels from 0 to 3, where whole numbers from 0 to 1 belong",
    ),
    "one class": ("    @property\n    def classes(self): return 1", "has classes 1, where a whole number from 2 on"),
    "no test": ("    def test(self, net): return 3.0", "its test() returns 3.0: return evaluate(…)"),
    "another end": (
        "    def test(self, net):\n        yield from super().test(net)\n        return 3.0",
        "its test ends in 3.0 without error, loss, seconds, count, kept: end it in an Evaluation",
    ),
    "a test by chance": (
        "    def test(self, net):\n        tested = yield from super().test(net)\n"
        "        return Evaluation(torch.rand(len(tested.correct)) < 0.5, 1.0)",
        "tests one net twice to two results",
    ),
    "no loss": (
        "    def test(self, net):\n        tested = yield from super().test(net)\n"
        "        return Evaluation(tested.correct, float('nan'))",
        "ends in an error of",
    ),
    "an error": (
        STREAM + "        return stream.nothing",
        "AttributeError: 'Turned' object has no",
    ),
    "an exit": ("    def batches(self): raise SystemExit(0)", "SystemExit: 0"),
}


def run_of(code: str, where: Path) -> tuple[Run, Job]:
    (where / "mine.py").write_text(files_on_pages()["rotation.py"] + HEAD + code + "\n")
    task = own_task(str(where / "mine.py:Mine"), name="mine", answers=4)
    run = Run("quick", Net("cifar", 8, "A"), "stand-in", replace(TINY, batch=32, bn_group=32), 0, "mine", own_task=task)
    return run, Job(RunFolder(where / "run"), where, lambda: False)


def test_the_example_passes_and_leaves_all_random_numbers_as_they_were(tmp_path: Path) -> None:
    before = torch.get_rng_state()

    check(*run_of("    pass", tmp_path))

    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("code", "words"), BAD.values(), ids=BAD.keys())
def test_a_task_whose_number_would_mean_nothing_is_refused(code: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(OwnCodeError) as refused:
        check(*run_of(code, tmp_path))

    assert words in str(refused.value)
    assert str(refused.value).startswith("mine.py")
    assert "\n" not in str(refused.value)


def test_data_that_are_not_there_are_said_as_of_any_task(tmp_path: Path) -> None:
    absent = "    @classmethod\n    def of(cls, *_):\n        from bench.data.locate import AbsentError\n"
    absent += "        raise AbsentError('not here')"

    with pytest.raises(AbsentError, match="^not here$"):
        check(*run_of(absent, tmp_path))
