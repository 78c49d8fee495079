"""Weights against the row of their run: files that are of another, and which images may fall to the other side."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.report.collect import collect
from bench.report.digests import differences
from bench.report.rows import read_rows
from bench.report.verify.published import Published
from bench.report.verify.weights import TOLERANCE, in_weights, judge, run_to_test, weight_files
from bench.store import RunFolder, tensor_file
from bench.store.tensor_file import Raw, TensorFile
from tests.builders import tiny_run
from tests.report.builders import fake

ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20
RUNS = (tiny_run(), tiny_run(seed=1))
TENSORS = {run.id: {"a": Raw("torch.float32", (2,), bytes([run.seed] * 8))} for run in RUNS}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two made-up runs with their weights, which collecting once more keeps."""
    root = tmp_path_factory.mktemp("published")
    for run in RUNS:
        finish(fake(root / "runs" / "made_up", run, 10.0))
    collect(root / "results", [root / "runs" / "made_up"], ())
    for row in read_rows(root / "results" / "runs.csv"):
        write(root / "results", row["id"], TENSORS[row["id"]], about(row))
    collect(root / "results", [root / "runs" / "made_up"], ())
    assert differences(root / "results") == []
    return root / "results"


def finish(folder: RunFolder) -> None:
    """The run ended with its tensors."""
    path = folder.path / "result.json"
    digest = TensorFile(TENSORS[folder.path.name], {}).digest
    path.write_text(json.dumps({**json.loads(path.read_text()), "weights_sha256": digest}))


def about(row: Mapping[str, str]) -> dict[str, str]:
    names = ("id", "weights_sha256", "test_error", "test_images", "data", "data_sha256", "commit")
    run = next(run for run in RUNS if run.id == row["id"])
    return {"run": json.dumps(run.as_json()), **{name: row[name] for name in names}}


def write(results: Path, name: str, tensors: Mapping[str, Raw], about: Mapping[str, str]) -> Path:
    path = results / "weights" / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(tensor_file.dumps(tensors.items(), about))
    return path


def problems(results: Path) -> list[str]:
    return list(in_weights(Published.read(results)))


def test_published_weights_have_no_fault_and_are_among_the_digests(results: Path) -> None:
    assert problems(results) == []
    assert (results / "SHA256SUMS").read_text().count("  weights/") == 2
    assert len(weight_files(results / "weights")) == 2


Forge = Callable[[TensorFile, TensorFile], TensorFile]  # of the first run's file, and another run's


def with_tensor(file: TensorFile, **changed: Any) -> TensorFile:
    return replace(file, tensors={"a": file.tensors["a"]._replace(**changed)})


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (lambda _, other: other, f"its tensors are those of {RUNS[1].id}; the run ended with those of SHA-256"),
        (lambda one, other: replace(one, tensors=other.tensors), f"its tensors are those of {RUNS[1].id}"),
        (lambda one, other: replace(one, about=other.about), f"its metadata are of {RUNS[1].id}"),
        (lambda one, _: with_tensor(one, data=b"\1" + bytes(7)), "its tensors are no weights that are published here"),
        (lambda one, _: with_tensor(one, shape=(1, 2)), "its tensors are no weights that are published here"),
        (lambda one, _: replace(one, tensors={}), "its tensors are no weights that are published here"),
        (lambda one, _: replace(one, about={}), "its metadata are of no"),
        (
            lambda one, _: replace(one, about={**one.about, "test_error": "1.0"}),
            "its metadata say test_error 1.0, its row 10.0",
        ),
        (lambda one, _: replace(one, about={**one.about, "run": "[" * 99_999}), "its metadata are of no run"),
        (
            lambda one, _: replace(one, about={**one.about, "manifest_sha256": "0" * 64}),
            "its metadata name another manifest",
        ),
    ],
)
def test_a_file_that_is_not_the_runs_is_named(forge: Forge, words: str, results: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(results, tmp_path / "results"))
    first, other = (copy / "weights" / f"{run.id}.safetensors" for run in RUNS)
    (copy / "manifests").mkdir()
    (copy / "manifests" / f"{first.stem}.json").write_text("{}")
    forged = forge(tensor_file.read(first), tensor_file.read(other))

    first.write_bytes(tensor_file.dumps(forged.tensors.items(), forged.about))

    found = problems(copy)
    assert [line for line in found if words in line], found
    assert all(line.startswith(f"{first}: ") for line in found)


def test_what_is_no_file_of_weights_is_named(results: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(results, tmp_path / "results"))
    first, other = (copy / "weights" / f"{run.id}.safetensors" for run in RUNS)

    first.write_bytes(b"PK\x03\x04" + bytes(99))
    other.rename(other.with_name("run.safetensors"))
    (first.parent / "notes").mkdir()

    notes, unread, of_none = problems(copy)
    assert notes.startswith(f"{first.parent / 'notes'} is no file of weights: ")
    assert unread.startswith(
        f"{first}: is no safetensors file, or damaged: its header is said to have 67,324,752 bytes"
    )
    assert of_none.startswith(f"{first.parent / 'run.safetensors'}: {copy} has no finished run of this name")


@dataclass
class Made:
    """A test of 10,000 images. wrong: which are judged otherwise than published, with the margin of each."""

    wrong: Mapping[int, float] = field(default_factory=dict)
    error: float = 50.0
    by_image: bool = True
    of_classes: bool = True

    @property
    def correct(self) -> NDArray[np.bool_] | None:
        if not self.by_image:
            return None
        found: NDArray[np.bool_] = PUBLISHED ^ np.isin(np.arange(10_000), list(self.wrong))
        return found

    @property
    def margins(self) -> NDArray[np.float32] | None:
        if not self.of_classes:
            return None
        found = np.full(10_000, 5, np.float32)
        found[list(self.wrong)] = list(self.wrong.values())
        return found

    @property
    def here(self) -> Mapping[str, Any]:
        return HERE


PUBLISHED = np.arange(10_000) % 2 == 0
HERE: dict[str, Any] = {"data_sha256": "d", "hardware": "c", "torch": "t", "threads": 1, "kernels": "eager", "isa": "i"}


def verdict(made: Made, **row: str) -> tuple[bool, str]:
    ours = (ROOT / "results" / "plain_vs_residual" / "runs.csv", "resnet-20-A-paper-s0-bc90003b")
    full = next(one for one in read_rows(ours[0]) if one["id"] == ours[1])
    known = {name: str(value) for name, value in HERE.items()}
    return judge({**full, **known, "test_error": "50.0", "isa": "", **row}, np.packbits(PUBLISHED), made)


BOUND = TOLERANCE["bf16"]
MOST = round(10_000 * BOUND.share)


def test_the_same_images_agree_and_others_only_where_rounding_explains_them() -> None:
    near = dict.fromkeys(range(MOST), BOUND.margin)

    assert verdict(Made()) == (True, "each of 10,000 images as published, test error 50.00 %")
    assert verdict(Made(error=50.01))[0] is False
    fine, words = verdict(Made({7: 0.0, 9: BOUND.margin}, 50.02))
    assert fine
    assert words.startswith("2 of 10,000 images not as published, test error 50.02 %, published 50.00 %; each lies")
    assert verdict(Made(near))[0] is True
    assert f"moves at most {MOST} of so many" in verdict(Made({**near, MOST: 0.0}))[1]
    fine, words = verdict(Made({7: 0.0, 9: BOUND.margin * 1.1}))
    assert not fine
    assert "image 9 lies" in words
    assert verdict(Made({7: 0.01}), precision="fp32")[0] is False
    assert verdict(Made({7: float("nan")}))[0] is False


def test_images_that_all_fall_to_one_side_are_no_rounding() -> None:
    """Published as right: every even one."""
    assert verdict(Made(dict.fromkeys(range(0, 18, 2), 0.0)))[0] is True
    fine, words = verdict(Made(dict.fromkeys(range(0, 20, 2), 0.0)))
    assert not fine
    assert words.endswith("10 of them are wrong here, and rounding moves as many to either side")


def test_where_the_run_was_made_no_bit_may_differ() -> None:
    one = Made({7: 0.0})

    assert "where no bit differs" in verdict(one, isa="i")[1]
    assert verdict(one, isa="i")[0] is False
    for elsewhere in ({"isa": "j"}, {"isa": ""}, {"torch": "u"}, {"kernels": "compiled"}, {"threads": "2"}):
        assert verdict(one, **{"isa": "i", **elsewhere})[0] is True


def test_what_no_tolerance_was_measured_for_is_said_and_held_to_the_bit_on_the_same_machine_alone() -> None:
    pairs, detector = Made({7: 0.0}, of_classes=False), Made(by_image=False)

    assert verdict(detector) == (True, "the images are not judged one by one; test error 50.00 %")
    for made in (pairs, Made(by_image=False, error=51.0)):
        fine, words = verdict(made)
        assert fine
        assert words.endswith("not judged, as nobody has measured how far another machine moves such a test")
        assert verdict(made, isa="i")[0] is False


def test_other_data_and_another_number_of_images_are_no_test_of_the_run() -> None:
    assert verdict(Made(), data_sha256="e") == (
        False,
        "the data here are others (SHA-256 d): give those of the run",
    )
    assert verdict(Made(), test_images="9999")[1] == "its test has 10,000 images here, and 9,999 in its row"


def test_a_run_is_tested_with_the_kernels_and_threads_that_it_had() -> None:
    rows = read_rows(ROOT / "results" / "plain_vs_residual" / "runs.csv")
    row = next(row for row in rows if row["kernels"] == "compiled")

    assert run_to_test(row).resources.compile
    assert run_to_test(row).resources.cpus == 1
    assert not run_to_test({**row, "kernels": "eager"}).resources.compile
    assert run_to_test({**row, "kernels": "graph, compiled, fused batch norm"}).resources.compile
    assert run_to_test({**row, "threads": ""}).id == row["id"]


def test_the_tracked_weights_stay_small() -> None:
    sizes = [path.stat().st_size for path in (ROOT / "results").rglob("*.safetensors")]

    assert 0 < sum(sizes) <= 6 * MIB
