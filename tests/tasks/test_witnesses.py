"""What a run leaves that others can check it by: its lines in the register, and its manifest."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.launch.worker import work
from bench.machine import commit
from bench.report.collect import collect
from bench.report.rows import read_rows, run_of
from bench.report.stored import read_arrays, read_table
from bench.spec import digest
from bench.store import RunFolder, StoreError, files, register, sha256
from bench.store.manifest import layers_digest
from tests.builders import make, tiny_run


def lines(folder: RunFolder) -> list[tuple[str, dict[str, Any]]]:
    return register.parsed((folder.path.parent / register.NAME).read_bytes())


def events(folder: RunFolder) -> list[str]:
    return [line["event"] for _, line in lines(folder)]


def manifest_of(folder: RunFolder) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(folder.manifest.read_text())
    return values


def test_a_trained_run_has_its_lines_and_a_manifest_of_what_it_left(tmp_path: Path) -> None:
    run = tiny_run()
    folder = make(tmp_path, run)
    folder.declare("claims")
    assert work(folder.path, tmp_path) == "done"

    (_, begun), (start, started), (_, done) = lines(folder)
    result, env, kept = folder.result(), folder.env(), manifest_of(folder)
    assert result is not None
    assert env is not None
    assert {name: started[name] for name in ("event", "run", "step")} == {"event": "started", "run": run.id, "step": 0}
    inputs = json.loads((folder.path / "inputs.json").read_text())
    assert started.items() >= {"commit": env["commit"], "dirty": env["dirty"], **inputs}.items()
    assert done.items() >= {name: result[name] for name in ("weights_sha256", "curve_sha256")}.items()
    assert done["manifest_sha256"] == sha256(folder.manifest.read_bytes())
    assert list(kept) == [
        *("format", "run", "run_sha256", "commit", "tree", "dirty", "data_sha256", "start_sha256", "claims_sha256"),
        *("environment", "curve_sha256", "layers_sha256", "matches_sha256", "predictions_sha256", "weights_sha256"),
        *("result", "started", "ended", "register"),
    ]
    assert (kept["format"], kept["run"], kept["claims_sha256"]) == (1, run.id, "claims")
    assert kept["run_sha256"].startswith(run.id[-8:])
    assert kept["register"] == {"chain": begun["chain"], "line": start}
    assert kept["curve_sha256"] == sha256(folder.curve.read_bytes())
    assert kept["layers_sha256"] == layers_digest(folder.layer_rows())
    assert kept["predictions_sha256"] == digest({"correct": result["correct"]})
    assert kept["matches_sha256"] is None
    assert kept["result"] == {name: result[name] for name in ("step", "test_error", "test_images", "seconds")}
    assert {name: kept[name] for name in commit()} == commit()


def test_every_value_of_a_manifest_follows_from_what_is_published(tmp_path: Path) -> None:
    folder = make(tmp_path, tiny_run())
    assert work(folder.path, tmp_path) == "done"
    kept, results = manifest_of(folder), tmp_path / "results"

    (row,) = read_rows(collect(results, [folder.path.parent], [folder.run()]))

    assert run_of(row).sha256 == kept["run_sha256"]
    same = ("commit", "tree", "dirty", "data_sha256", "claims_sha256", "curve_sha256", "layers_sha256", "started")
    for name in (*same, "weights_sha256", "ended"):
        assert row[name] == str("" if kept[name] is None else kept[name]), name
    assert {name: row[name] for name in kept["environment"]} == {k: str(v) for k, v in kept["environment"].items()}
    layers = read_table(results / "layers.parquet")
    assert layers_digest(layers.to_dict("records")) == kept["layers_sha256"]
    correct = {"correct": read_arrays(results / "correct.npz")[row["id"]].tobytes().hex()}
    assert digest(correct) == kept["predictions_sha256"]


def test_a_run_that_is_stopped_and_goes_on_is_started_once(tmp_path: Path) -> None:
    folder = make(tmp_path, tiny_run())
    assert work(folder.path, tmp_path, deadline=time.time() - 1) == "stopped"
    assert events(folder) == ["begun", "started"]

    assert work(folder.path, tmp_path) == "done"

    assert events(folder) == ["begun", "started", "done"]
    assert manifest_of(folder)["register"]["line"] == lines(folder)[1][0]


def test_a_run_that_was_begun_elsewhere_is_started_at_its_step(tmp_path: Path) -> None:
    folder = make(tmp_path, tiny_run(), "there")
    assert work(folder.path, tmp_path, deadline=time.time() - 1) == "stopped"
    here = tmp_path / "here" / folder.path.name
    here.parent.mkdir()
    folder.path.rename(here)

    assert work(here, tmp_path) == "done"

    (_, _), (_, started), _ = lines(RunFolder(here))
    assert started["step"] > 0


def test_a_run_that_diverges_or_fails_says_so_once_and_is_then_started_anew(tmp_path: Path) -> None:
    folder = make(tmp_path, tiny_run(lr=1e30))
    for _ in range(2):
        assert work(folder.path, tmp_path) == "failed"

    assert events(folder) == ["begun", "started", "diverged", "started", "diverged"]
    assert lines(folder)[2][1]["message"] == (folder.error() or {})["message"]
    assert not folder.manifest.exists()


def test_a_fault_of_the_machine_ends_no_start(tmp_path: Path) -> None:
    folder = make(tmp_path, tiny_run())
    assert work(folder.path, tmp_path, deadline=time.time() - 1) == "stopped"
    folder.fail("the disk is full", retry=True)

    assert events(folder) == ["begun", "started"]


@pytest.mark.parametrize("name", ["env.json", "manifest.json", "result.json"])
def test_whatever_is_interrupted_at_the_end_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = make(tmp_path, tiny_run())
    write = files.write_json

    def refuse(path: Path, value: Any) -> None:
        if path.name == name:
            raise StoreError("no room")
        write(path, value)

    monkeypatch.setattr("bench.store.run_folder.write_json", refuse)
    assert work(folder.path, tmp_path) == "failed"
    monkeypatch.undo()

    assert work(folder.path, tmp_path) == "done"

    assert events(folder) == ["begun", "started", "done"]
    assert lines(folder)[-1][1]["manifest_sha256"] == sha256(folder.manifest.read_bytes())


def test_a_finished_run_that_is_repaired_keeps_its_lines(tmp_path: Path) -> None:
    folder = make(tmp_path, tiny_run())
    assert work(folder.path, tmp_path) == "done"
    before = (folder.path.parent / register.NAME).read_bytes()
    folder.curve.write_bytes(folder.curve.read_bytes()[:-40])

    assert work(folder.path, tmp_path) == "done"

    assert (folder.path.parent / register.NAME).read_bytes() == before
    folder.checkpoint.unlink()
    folder.curve.write_bytes(b"")
    assert work(folder.path, tmp_path) == "done"
    assert events(folder) == ["begun", "started", "done", "started", "done"], "all of it was trained anew"


def test_a_register_that_cannot_be_written_is_the_machines_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path, tiny_run())

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(register, "_write", refuse)
    assert work(folder.path, tmp_path) == "failed"
    error = folder.error()
    assert error is not None
    assert error["retry"]
    assert "register.jsonl: No space left" in error["message"]
    monkeypatch.undo()

    assert work(folder.path, tmp_path) == "done"


def test_two_processes_of_one_run_write_one_start(tmp_path: Path) -> None:
    from tests.tasks.builders import done_by_two

    run = replace(tiny_run(), resources=replace(tiny_run().resources, tasks=2))

    assert events(done_by_two(tmp_path, run, tmp_path)) == ["begun", "started", "done"]
