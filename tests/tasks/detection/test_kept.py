"""What a run kept of its test: damaged arrays are one line that says which, of files old and new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("pycocotools", reason="needs pycocotools")

from bench.cli.sweep_files import load_sweep
from bench.report.evidence import load_sets
from bench.report.stored import read_arrays
from bench.report.verify import problems
from bench.store import StoreError
from bench.store.manifest import arrays_digest
from bench.tasks.detection.figures import boxes
from bench.tasks.detection.gains import table_of
from bench.tasks.detection.matching import matched
from tests.fuzzing import FILES, mutated
from tests.tasks.detection.scored import NAMES, made_up

ROOT = Path(__file__).resolve().parents[3]
Arrays = dict[str, NDArray[Any]]
KEPT = matched(*made_up(3), NAMES).arrays()
FIELDS = tuple(KEPT)


def of_run(arrays: Arrays) -> Arrays:
    return {f"run::{name}": array for name, array in arrays.items()}


def longer(array: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([array, array[:1]])


def with_last(value: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    def changed(array: NDArray[Any]) -> NDArray[Any]:
        wide = array.astype(np.int64)
        wide.flat[-1] = value
        return wide

    return changed


DAMAGE: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "floats": lambda array: array.astype(np.float64),
    "text": lambda array: array.astype(str),
    "objects": lambda array: array.astype(object),
    "flags": lambda array: array.astype(bool),
    "longer": longer,
    "flat": lambda array: array.reshape(-1, 1, 1, 1, 1),
    "a number": lambda array: np.array(int(array.flat[0])),
    "none": lambda array: array[:0],
    "negative": with_last(-1),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", FIELDS)
def test_an_array_of_another_type_shape_or_range_is_one_line(name: str, damage: str) -> None:
    with pytest.raises(
        StoreError, match=r"^the matches of run are damaged: its arrays do not fit together: .*"
    ) as error:
        table_of(of_run({**KEPT, name: DAMAGE[damage](KEPT[name])}), "run")

    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"), [("label", 4), ("label", 0), ("voc_label", 4), ("image", 30), ("voc_image", 30)]
)
def test_a_class_or_an_image_that_is_not_there_is_named(name: str, value: int) -> None:
    with pytest.raises(StoreError, match=f" {name} from "):
        table_of(of_run({**KEPT, name: with_last(value)(KEPT[name])}), "run")


@pytest.mark.parametrize("name", FIELDS)
def test_a_missing_array_is_named(name: str) -> None:
    with pytest.raises(StoreError, match=f"damaged: {name} missing"):
        table_of(of_run({field: array for field, array in KEPT.items() if field != name}), "run")


def test_the_committed_matches_are_read_and_written_to_the_same_bytes() -> None:
    arrays = read_arrays(ROOT / "results" / "detection" / "matches.npz")
    tests = {name.rpartition(":")[0] for name in arrays if name.endswith(":voc_positives")}

    assert len(tests) > 5
    for name in tests:
        own = {key.rpartition(":")[2]: array for key, array in arrays.items() if key.rpartition(":")[0] == name}
        own = {key: array for key, array in own.items() if key in FIELDS}
        run, _, option = name.partition(":")
        assert arrays_digest(table_of(arrays, run, option).arrays()) == arrays_digest(own)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A copy of the committed results of detection."""
    for path in (ROOT / "results" / "detection").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def problems_of(results: Path) -> list[str]:
    name, sweep = load_sweep(str(ROOT / "sweeps" / "detection.py"))
    return list(problems(name, sweep, results, ROOT / "reports" / name))


def damaged(arrays: Arrays, part: str, damage: str) -> Arrays:
    name = next(key for key in arrays if key.endswith(f":{part}"))
    return {**arrays, name: DAMAGE[damage](arrays[name])}


@pytest.mark.parametrize(("part", "damage"), [("voc_positives", "flat"), ("label", "negative")])
def test_verify_says_in_a_line_each_what_is_damaged(results: Path, part: str, damage: str) -> None:
    path = results / "matches.npz"
    np.savez(path, allow_pickle=False, **damaged(read_arrays(path), part, damage))

    found = problems_of(results)

    assert any("its matches are not those that the run wrote" in line for line in found)
    assert all(len(line.splitlines()) == 1 for line in found)


@pytest.mark.parametrize(
    ("part", "damage"),
    [
        *(
            (part, damage)
            for part in ("shown", "shown_missed", "shown_size", "shown_objects")
            for damage in ("flat", "text", "a number")
        ),
        *((part, damage) for part in ("shown_size", "shown_objects") for damage in ("longer", "none")),
    ],
)
def test_a_figure_of_damaged_boxes_is_one_line(part: str, damage: str) -> None:
    _, sweep = load_sweep(str(ROOT / "sweeps" / "detection.py"))
    [whole] = load_sets(ROOT / "results" / "detection", sweep)

    kept = {f"{name}:shown_missed": np.ones((1, 6), np.float32) for name in whole.done["id"]}

    with pytest.raises(StoreError, match="^what is shown of .* is damaged"):
        boxes(replace(whole, matches=damaged({**whole.matches, **kept}, part, damage)))


def test_an_archive_with_pickled_objects_runs_nothing(results: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (results / "ran",)

    np.savez(results / "matches.npz", x=np.array([Hostile()], object))

    assert any("matches.npz is damaged: Object arrays cannot be loaded" in line for line in problems_of(results))
    assert not (results / "ran").exists()


@pytest.mark.fuzz
def test_a_damaged_archive_is_read_or_one_line(tmp_path: Path) -> None:
    path = tmp_path / "matches.npz"
    np.savez_compressed(path, **of_run(KEPT))  # type: ignore[arg-type]  # no allow_pickle
    whole = path.read_bytes()
    for content in mutated(whole, FILES):
        path.write_bytes(content)
        try:
            table = table_of(read_arrays(path), "run")
        except StoreError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017  # some of the files are read
        else:
            assert table.numbers().keys()
