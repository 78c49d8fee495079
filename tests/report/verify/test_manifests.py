"""A manifest that was changed, is missing or is of no row is found; so is a list of packages that does not fit."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.report.stored import read_arrays
from bench.report.verify import result_problems
from bench.report.verify.manifests import _predictions, in_manifests, in_requirements
from bench.report.verify.published import Published
from bench.store import sha256
from bench.store.manifest import predictions_digest
from tests.report.verify.builders import (
    LIST,
    SWEEP,
    chain_in,
    chained,
    edit_rows,
    lines_of,
    problems,
)

FIRST, SECOND = SWEEP.runs("paper")[0].id, SWEEP.runs("paper")[1].id
VALUES = (
    "format", "run", "run_sha256", "commit", "tree", "dirty", "data_sha256", "start_sha256", "claims_sha256",
    "curve_sha256", "layers_sha256", "matches_sha256", "predictions_sha256", "weights_sha256", "started", "ended",
    "environment.hardware", "environment.isa", "environment.threads", "environment.kernels", "environment.processes",
    "environment.python", "environment.torch", "environment.torchvision", "environment.requirements",
    "result.step", "result.test_error", "result.test_images", "result.seconds",
)  # fmt: skip


def manifest_of(results: Path, run: str = FIRST) -> Path:
    return results / "manifests" / f"{run}.json"


def edit(results: Path, change: Callable[[dict[str, Any]], object], run: str = FIRST) -> None:
    """Changes a manifest, and lets the register speak of the new one, as a forger does."""
    path = manifest_of(results, run)
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values, indent=1) + "\n")
    lines = lines_of(chain_in(results))
    for line in lines:
        if line.get("manifest_sha256") and line["run"] == run:
            line["manifest_sha256"] = sha256(path.read_bytes())
    before = chain_in(results).read_text()
    if lines != lines_of(chain_in(results)):
        chained(chain_in(results), lines)
        assert chain_in(results).read_text() != before


def put(values: dict[str, Any], name: str, value: object) -> None:
    part, _, inner = name.rpartition(".")
    (values[part] if part else values)[inner] = value


def test_every_value_of_a_manifest_is_tried(witnessed: Path) -> None:
    values = json.loads(manifest_of(witnessed).read_text())
    names = {f"{k}.{n}" for k, v in values.items() if isinstance(v, dict) for n in v}

    assert {*VALUES, "register.chain", "register.line"} == names | {
        k for k in values if not isinstance(values[k], dict)
    }


@pytest.mark.parametrize("name", VALUES)
def test_each_value_of_a_manifest_follows_from_the_results(results: Path, name: str) -> None:
    edit(results, lambda values: put(values, name, "another"))

    found = problems(results, in_manifests)

    assert any(f"{manifest_of(results)}: {name} is another, and the results say" in problem for problem in found)


def test_a_manifest_lacks_nothing_and_has_nothing_of_its_own(results: Path) -> None:
    edit(results, lambda values: values.pop("tree"))
    edit(results, lambda values: values.update(mood="good"))

    assert problems(results, in_manifests)[0] == f"{manifest_of(results)}: it lacks, or should not have: mood, tree"


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", "{", '{"environment": 3}', "[" * 100_000])
def test_a_manifest_that_is_none_is_a_problem_and_no_traceback(results: Path, text: str) -> None:
    manifest_of(results).write_text(text)

    found = problems(results, in_manifests)
    assert any(str(manifest_of(results)) in problem for problem in found)
    assert not any("object has no attribute" in problem for problem in found), "in words of its own"


def test_a_manifest_and_its_row_need_each_other(results: Path) -> None:
    shutil.copy(manifest_of(results), manifest_of(results, "other"))
    manifest_of(results, "stray.json.sig").write_text("x")
    manifest_of(results).unlink()
    (results / "manifests" / f"{FIRST}.json.sig").write_text("x")

    assert problems(results, in_manifests) == [
        f"{manifest_of(results, 'other')} is of no finished run in runs.csv",
        f"{results / 'manifests' / f'{FIRST}.json.sig'} is of no finished run in runs.csv that has a manifest",
        f"{manifest_of(results, 'stray.json.sig')} is of no finished run in runs.csv",
        f"{results / 'runs.csv'}: {FIRST}: its manifest is missing, and its isa and requirements are there",
    ]


def test_a_manifest_of_which_the_register_tells_cannot_be_taken_out(results: Path) -> None:
    """Though the row looks as one that is older than manifests."""
    manifest_of(results).unlink()
    edit_rows(results, lambda rows: rows.assign(tree="", isa="", requirements=""))

    wanted = f"{results / 'runs.csv'}: {FIRST}: its manifest is missing, of which a register tells"
    assert wanted in problems(results, in_manifests)


def test_rows_that_are_older_than_manifests_are_not_reproached(results: Path) -> None:
    for name in ("manifests", "registers", "requirements"):
        shutil.rmtree(results / name)
    edit_rows(results, lambda rows: rows.drop(columns=["tree", "isa", "requirements"]))

    assert list(result_problems(results)) == []


def test_a_register_that_does_not_know_the_run_is_a_problem(results: Path) -> None:
    edit(results, lambda values: values["register"].update(chain="0" * 32))
    edit(results, lambda values: values["register"].update(line="0" * 64), SECOND)
    name = chain_in(results).stem

    found = problems(results, in_manifests)

    assert f"{manifest_of(results)}: its register, 000000000000, is not among the published ones" in found
    line = f"{manifest_of(results, SECOND)}: the line that it names as its start is none of the register {name}"
    assert line in found


def relined(results: Path, **changes: Any) -> None:
    """The first run's start in the register with other facts, in a chain that follows; its manifest names it."""
    lines = lines_of(chain_in(results))
    lines[1] |= changes
    chained(chain_in(results), lines)
    digest = sha256(chain_in(results).read_bytes().splitlines()[1])
    edit(results, lambda values: values["register"].update(line=digest))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data_sha256": "e" * 64}, "it was started with another data_sha256 than its row has, says the register"),
        ({"start_sha256": "e" * 64}, "it was started with another start_sha256 than its row has, says the register"),
        ({"commit": "e" * 40}, "it was started at commit eeeeeeeeee, says the register"),
        (
            {"time": "2026-10-26T07:36:00Z"},
            "it started at 2026-10-26T07:33:20Z, and its first line in a register is of",
        ),
    ],
)
def test_the_start_in_the_register_is_that_of_the_row(results: Path, changes: dict[str, str], words: str) -> None:
    relined(results, **changes)

    assert any(words in problem for problem in problems(results, in_manifests)), problems(results, in_manifests)


def test_a_run_does_not_end_after_the_register_says_so(results: Path) -> None:
    lines = lines_of(chain_in(results))
    lines[2]["time"] = lines[1]["time"]
    chained(chain_in(results), lines)

    found = problems(results, in_manifests)

    assert any(re.search("it ended at .*, and the register says that it was done at", problem) for problem in found)


def test_a_run_cannot_train_for_longer_than_the_register_has_it(results: Path) -> None:
    edit_rows(results, lambda rows: rows.assign(seconds="3600.0"))
    edit(results, lambda values: put(values, "result.seconds", 3600.0))

    found = problems(results, in_manifests)

    assert any("it trained for 3600 s, and a register has it from 2026-10-26T07:33:20Z to" in one for one in found)


def test_a_manifest_that_was_edited_alone_is_not_the_one_of_the_register(results: Path) -> None:
    path = manifest_of(results)
    path.write_text(path.read_text().replace("\n", "\n\n"))

    (found,) = problems(results, in_manifests)

    assert "says that the run was done with this manifest (SHA-256)" in found


def test_predictions_are_those_of_the_arrays(results: Path) -> None:
    arrays = {name: bits.copy() for name, bits in read_arrays(results / "correct.npz").items()}
    arrays[FIRST][:2] = arrays[FIRST][1::-1]
    arrays[FIRST][3] ^= 3
    np.savez_compressed(results / "correct.npz", allow_pickle=False, **arrays)

    assert any("predictions_sha256 is " in problem for problem in problems(results, in_manifests))


def test_predictions_of_all_kinds_are_found_again_in_the_arrays(witnessed: Path) -> None:
    """By several protocols, and of pairs."""
    bits, scores = np.array([255, 1], np.uint8), np.array([0.25, 1 / 3])
    published = replace(
        Published.read(witnessed),
        correct={"a": bits, "a:top5_error": bits[::-1], "ab": bits},
        arrays={"a": scores, "a:same": bits, "a:fold": bits, "b": scores},
    )
    kept = {"correct": "ff01", "correct_by": {"top5_error": "01ff"}}

    assert _predictions(published, "a") == kept | {
        "pair_scores": scores.tolist(), "pair_same": [255, 1], "pair_fold": [255, 1]
    }  # fmt: skip
    assert predictions_digest(_predictions(published, "c")) is None


def test_a_list_of_packages_is_the_file_that_rows_name(results: Path) -> None:
    (path,) = (results / "requirements").glob("*.txt")
    stray = path.with_name(f"{sha256(b'x')[:12]}.txt")
    stray.write_text("x")
    path.write_text(path.read_text() + "\n")

    assert problems(results, in_requirements) == [
        f"{path} is not the file that was written (its name is not its SHA-256)",
        f"{stray} is named by no row",
    ]
    path.unlink()
    assert f"{results / 'runs.csv'}: {FIRST}: its list of packages, {path}, is missing" in problems(
        results, in_requirements
    )


@pytest.mark.parametrize(
    ("column", "version"),
    [("torch", "2.14.1"), ("torchvision", "0.29.1"), ("python", "3.11.4"), ("commit", "c" * 40)],
)
def test_a_list_of_packages_has_the_versions_of_its_rows(results: Path, column: str, version: str) -> None:
    edit_rows(results, lambda rows: rows.assign(**{column: "9.9"}))

    found = problems(results, in_requirements)

    assert f"{column} is 9.9, and its list of packages has {version}" in found[0]


def test_a_run_that_an_earlier_version_began_has_a_list_of_its_later_sessions(results: Path) -> None:
    earlier = {"commit": f"{'d' * 40}; {'c' * 40}", "torch": "2.13.0; 2.14.1+cu130", "python": "3.11.2; 3.11.4"}
    edit_rows(results, lambda rows: rows.assign(**earlier))

    assert problems(results, in_requirements) == []


def test_code_of_no_known_commit_has_a_list_that_says_so(results: Path) -> None:
    text = LIST.format(commit="x").replace("at commit x", "of no known commit")
    name = sha256(text.encode())[:12]
    (path,) = (results / "requirements").glob("*.txt")
    path.rename(path.with_name(f"{name}.txt")).write_text(text)
    edit_rows(results, lambda rows: rows.assign(requirements=name, commit=""))

    assert problems(results, in_requirements) == []


def test_a_list_of_packages_without_torch_is_a_problem(results: Path) -> None:
    text = LIST.format(commit="c" * 40).replace("torch==2.14.1\n", "")
    name = sha256(text.encode())[:12]
    (path,) = (results / "requirements").glob("*.txt")
    path.rename(path.with_name(f"{name}.txt")).write_text(text)
    edit_rows(results, lambda rows: rows.assign(requirements=name))

    assert "torch is 2.14.1+cu130, and its list of packages has none" in problems(results, in_requirements)[0]
