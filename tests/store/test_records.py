"""Files of a run with values of another type or range are damaged files: no command ends in a traceback by them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.cli.commands import main
from bench.cli.sweep import main as sweep_main
from bench.launch.worker import work
from bench.store import RunFolder, StoreError
from tests.builders import make, tiny_run
from tests.fuzzing import FILES, mutated, mutated_json

FILES_OF_A_RUN = ("run.json", "result.json", "env.json", "curve.jsonl", "inputs.json", "declared.json", "layers.jsonl")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that is done, with each image's correctness."""
    folder = make(tmp_path_factory.mktemp("done"), tiny_run())
    assert work(folder.path, folder.path) == "done"
    return folder


@pytest.fixture
def copy(done: RunFolder, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(done.path, tmp_path / "runs" / "tiny" / done.path.name)))


ODD_RESULTS: dict[str, dict[str, Any]] = {
    "a number for bits": {"correct": 5},
    "bits of fewer images": {"correct": "ff"},
    "bits that are no hexadecimal": {"correct": "0x12345678"},
    "a list for a table": {"correct_by": []},
    "text for scores": {"pair_scores": "x"},
    "no images": {"test_images": 0, "correct": ""},
    "fewer than no images": {"test_images": -1},
    "text for images": {"test_images": "40"},
    "true for images": {"test_images": True},
    "no error": {"test_error": None},
    "no seconds": {"seconds": None},
    "half a step": {"step": 11.5},
    "a huge whole number": {"step": 10**30},
    "text for an error": {"train_error": "nan"},
    "another run": {"id": "resnet-8-A-quick-s0-00000000"},
    "a lone surrogate": {"pictures": "\ud800"},
}
ODD_ENVS: dict[str, dict[str, Any]] = {
    "long before 1970": {"started": -1e30},
    "after the year 9999": {"ended": 1e12},
    "a list for a text": {"torch": ["2.11"]},
    "no hardware": {"hardware": None},
    "fewer than no starts": {"sessions": -1},
    "a number for a digest": {"data_sha256": 5},
    "a word for threads": {"threads": "one"},
}


def change(path: Path, changes: dict[str, Any]) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("changes", ODD_RESULTS.values(), ids=ODD_RESULTS)
def test_an_odd_result_is_damaged_and_repaired(copy: RunFolder, changes: dict[str, Any]) -> None:
    kept = copy.result()
    change(copy.path / "result.json", changes)

    assert copy.result() is None
    assert "result.json is" in str(copy.damage())
    assert copy.state() == "stopped"
    if "id" in changes or "correct" in changes:  # of the others nothing differs
        assert work(copy.path, copy.path) == "done"
        repaired = copy.result()
        assert kept is not None
        assert repaired is not None
        assert repaired["weights_sha256"] == kept["weights_sha256"]


@pytest.mark.parametrize("changes", ODD_ENVS.values(), ids=ODD_ENVS)
def test_an_odd_provenance_is_damage(copy: RunFolder, changes: dict[str, Any]) -> None:
    change(copy.path / "env.json", changes)
    assert copy.env() is None
    assert "env.json is damaged" in str(copy.damage())


@pytest.mark.parametrize(
    "text", ['{"test_error": NaN}', "[" * 100_000, '{"a": 1e999}', "\xff", "", '{"step": ' + "9" * 5_000]
)
def test_what_is_no_json_is_damage(copy: RunFolder, text: str) -> None:
    for name in ("result.json", "env.json", "run.json", "inputs.json", "heartbeat.json", "error.json"):
        (copy.path / name).write_bytes(text.encode("latin-1"))
    for read in (copy.result, copy.env, copy.inputs, copy.heartbeat, copy.error, copy.readable_run):
        assert read() is None
    with pytest.raises(StoreError, match=r"run.json cannot be read"):
        copy.run()


ODD_ROWS = [
    '{"step": "x", "loss": 1.0}',
    '{"step": 6, "loss": []}',
    "5",
    "[1]",
    '{"loss": 1.0}',
    '{"step": 1e3}',
    "[" * 9_999,
]


@pytest.mark.parametrize("row", ODD_ROWS)
def test_rows_count_up_to_the_first_odd_one(copy: RunFolder, row: str) -> None:
    good = copy.curve.read_text().splitlines()
    copy.curve.write_text("\n".join([*good[:2], row, *good[2:]]) + "\n")
    assert copy.curve_rows() == [json.loads(line) for line in good[:2]]


def test_one_damaged_run_does_not_stop_the_table_of_a_sweep(
    copy: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make(copy.path.parents[1], tiny_run("none"), "tiny")
    (copy.path / "run.json").write_text("{")

    assert main(["status", "tiny", "--runs", str(copy.path.parents[1])]) == 0

    out = capsys.readouterr().out
    assert f"{copy.path.name}  damaged" in out
    assert "run.json cannot be read" in out
    assert other.path.name in out


READERS: tuple[tuple[str, Callable[[RunFolder], object]], ...] = (
    ("state", RunFolder.state),
    ("damage", RunFolder.damage),
    ("rows", lambda folder: (folder.curve_rows(), folder.layer_rows())),
    ("inputs", RunFolder.inputs),
)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", FILES_OF_A_RUN)
def test_damaged_files_of_a_run_stop_no_command(
    copy: RunFolder, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """status and collect answer, a plan is made, and no other file of the run changes."""
    monkeypatch.chdir(copy.path.parents[2])
    Path("sweeps").mkdir()
    Path("sweeps/tiny.py").write_text(TINY_SWEEP)
    (path := copy.path / name).touch()
    content, others = (
        path.read_bytes(),
        {p: p.read_bytes() for p in copy.path.iterdir() if p.is_file() and p.name != name},
    )
    lines = content.decode().splitlines() or ["{}"]
    odd = mutated_json(json.loads(lines[0] if name.endswith("l") else content or b"{}"), FILES // 2)
    for number, damaged in enumerate((*odd, *mutated(content or b"{}", FILES - FILES // 2))):
        path.write_bytes(damaged + b"\n" * name.endswith("l"))
        for what, read in READERS:
            assert read(copy) is not NotImplemented, what
        if number % 10 == 0:  # the commands read no more than that
            for command in (["status", "tiny"], ["report", "tiny"]):
                assert main(command) in (0, 1, 2), (command, damaged)  # 1: no run has ended
            assert sweep_main(["tiny", "--dry-run", "--scale", "quick", "--cluster", "inline", "--data", "."]) in (0, 2)
            capsys.readouterr()
    assert {p: p.read_bytes() for p in others} == others


TINY_SWEEP = """
from bench.spec import Scale, Sweep
from tests.builders import tiny_run
run = tiny_run()
SCALES = {"quick": Scale(((run.net, run.recipe),), (0,))}
SWEEP = Sweep("Tiny", "Does it run?", "It does.", SCALES, resources=run.resources)
"""
