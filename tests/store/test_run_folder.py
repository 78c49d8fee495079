"""Run folders: what is on disk says the state, and nothing that was there is lost."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.spec import Resources
from bench.store import RunFolder, StoreError, atomic, make_folder, read_json, write_json
from tests.builders import make, tiny_run


def folder(tmp_path: Path, name: str | None = None) -> RunFolder:
    run = tiny_run()
    made = RunFolder(tmp_path / (name or run.id))
    made.create(run)
    return made


def finish(made: RunFolder, **changes: Any) -> None:
    rows = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]
    numbers = {
        "test_error": 1.0,
        "images_per_s": 2.0,
        "weights_sha256": "w",
        "seconds": 1.0,
        "step": 2,
        "test_images": 4,
    }
    made.finish(
        {"id": made.path.name, "curve_sha256": made.write_curve(rows), **numbers, **changes},
        {"hardware": "h", "started": 0.0, "ended": 1.0},
    )


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"old": 1})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="cannot write .*value.json: No space left on device; nothing .* is lost"):
        write_json(path, {"new": 2})

    assert read_json(path) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["value.json"]


def test_a_write_interrupted_by_an_exception_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, 1)

    with pytest.raises(KeyboardInterrupt), atomic(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt

    assert read_json(path) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["value.json"]


def test_an_error_about_a_file_of_another_encoding_is_kept(tmp_path: Path) -> None:
    folder = make(tmp_path, tiny_run())

    folder.fail("/data/gr\udcf6n.jpg is damaged", retry=False)

    assert folder.state() == "failed"
    assert (folder.error() or {})["message"] == r"/data/gr\udcf6n.jpg is damaged"


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="cannot write .*: Not a directory"):
        make_folder(tmp_path / "file" / "runs")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that refuses even root")
def test_a_folder_that_cannot_be_written_is_named_and_none_of_our_files(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"^cannot write /proc: "):
        make_folder(Path("/proc"))
    with pytest.raises(StoreError, match=r"^cannot write /proc: "), RunFolder(Path("/proc")).lock():
        pass
    assert list(make_folder(tmp_path).iterdir()) == []


def test_a_missing_number_is_never_written_as_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "value.json", {"loss": float("nan")})


def test_the_state_follows_from_the_files(tmp_path: Path) -> None:
    made = folder(tmp_path)
    assert made.state() == "pending"
    made.checkpoint.write_bytes(b"")
    assert made.state() == "stopped"
    with made.lock():
        assert made.state() == "running"
    made.fail("nan", retry=False)
    assert made.state() == "failed"
    made.fail("disk full", retry=True)
    assert made.state() == "stopped"
    finish(made)
    assert made.state() == "done"
    assert made.error() is None


@pytest.mark.parametrize("damage", ["truncate", "edit", "remove"])
def test_a_done_run_whose_curve_was_damaged_is_done_no_more_and_says_why(tmp_path: Path, damage: str) -> None:
    made = folder(tmp_path)
    finish(made)
    text = made.curve.read_text()
    if damage == "remove":
        made.curve.unlink()
    else:
        made.curve.write_text(text[:-5] if damage == "truncate" else text.replace("1.0", "0.9"))

    assert made.result() is None
    assert "curve.jsonl is not what the run ended with" in str(made.damage())
    finish(made)
    assert made.damage() is None


def test_a_signature_stays_beside_its_manifest_and_goes_with_it(tmp_path: Path) -> None:
    made, result, env = folder(tmp_path), {"weights_sha256": "w", "curve_sha256": "c"}, {"hardware": "h"}
    made.finish(result, env, {"run": "a"})
    signature = made.path / "manifest.json.sig"
    signature.write_text("signed")

    made.finish(result, env, {"run": "a"})
    assert signature.exists(), "a run that is repaired is the same run"
    made.finish(result, env, {"run": "a", "ended": "later"})
    assert not signature.exists()


def test_a_cut_off_last_line_of_a_curve_is_left_out(tmp_path: Path) -> None:
    made = folder(tmp_path)
    made.curve.write_text('{"step": 1}\n{"step": 2, "lo')

    assert made.curve_rows() == [{"step": 1}]


def test_a_folder_that_holds_another_run_is_refused(tmp_path: Path) -> None:
    made = folder(tmp_path)

    with pytest.raises(StoreError, match="holds another run"):
        made.create(tiny_run(seed=1))


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("failed", [False, True])
def test_once_begun_a_run_keeps_its_threads_and_kernels(tmp_path: Path, begun: bool, failed: bool) -> None:
    made, run = folder(tmp_path), tiny_run()
    first = replace(run, resources=Resources(cpus=3, compile=begun, graph=begun))
    later = replace(run, resources=Resources(cpus=1, compile=not begun, graph=not begun, memory_gib=5.0))
    made.create(first)
    made.create(later)
    assert made.run().resources == later.resources, "nothing of it was trained yet"
    made.create(first)

    made.checkpoint.touch()
    if failed:
        made.fail("it diverged", retry=False)
    made.create(later)

    kept = made.run().resources
    assert (kept.cpus, kept.compile, kept.graph) == (3, begun, begun)
    assert kept.memory_gib == (5.0 if failed else 2.0)


@pytest.mark.parametrize("text", ["", "{", '{"scale": "quick"}'])
def test_a_damaged_run_json_is_named(tmp_path: Path, text: str) -> None:
    made = folder(tmp_path)
    (made.path / "run.json").write_text(text)

    with pytest.raises(StoreError, match=r"run\.json"):
        made.run()


def test_what_a_killed_writer_left_is_swept_by_the_next_holder(tmp_path: Path) -> None:
    made = folder(tmp_path)
    (made.path / ".checkpoint.pt.tmp123").write_bytes(b"half")

    with made.lock():
        assert not list(made.path.glob(".*tmp*"))
