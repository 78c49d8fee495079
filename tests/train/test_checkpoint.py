"""A checkpoint is kept with the one before it; what is damaged is set aside, and what lies there runs no code."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.store import StoreError
from bench.train import checkpoint
from bench.train.checkpoint import newest, save
from tests.fuzzing import FILES, mutated

STATE = {"run": "a", "step": 3, "net": {"w": torch.arange(4.0)}, "curve": [{"step": 3, "loss": 0.5}], "seconds": 1.0}


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint of step 3 and the one before, of step 2."""
    path, previous = tmp_path / "checkpoint.pt", tmp_path / "checkpoint.previous.pt"
    for step in (1, 2, 3):
        save(path, {**STATE, "step": step}, previous)
    return path, previous


def step_of(path: Path) -> int:
    return int(checkpoint.loads(path.read_bytes())["step"])


def test_each_checkpoint_leaves_the_one_before_beside_it(paths: tuple[Path, Path]) -> None:
    path, previous = paths

    assert (step_of(path), step_of(previous)) == (3, 2)
    assert sorted(p.name for p in path.parent.iterdir()) == ["checkpoint.previous.pt", "checkpoint.pt"]
    assert newest(path, previous)[1] == ""


def test_on_a_file_system_without_links_too(paths: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", no_links)
    path, previous = paths

    save(path, {**STATE, "step": 4}, previous)

    assert (step_of(path), step_of(previous)) == (4, 3)


def test_a_disk_that_refuses_the_new_one_loses_neither(
    paths: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    path, previous = paths

    with pytest.raises(StoreError, match="No space left"):
        save(path, {**STATE, "step": 4}, previous)
    assert (step_of(path), step_of(previous)) == (3, 2)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def one_bit(content: bytes) -> bytes:
    """In a weight, where only a checksum can see it."""
    found = bytearray(content)
    found[content.index(torch.arange(4.0).numpy().tobytes())] ^= 1
    return bytes(found)


def other_format(content: bytes) -> bytes:
    return bytes(checkpoint.dumps({**checkpoint.loads(content), "format": "one"}))


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": cut,
    "empty": lambda _: b"",
    "a block of zeros": lambda content: content[:100] + bytes(400) + content[500:],
    "a bit of a weight": one_bit,
    "a web page": lambda _: b"<html>404</html>",
    "no dict": lambda _: bytes_of([1, 2]),
    "another's": lambda _: bytes_of({"state_dict": {}}),
    "another format": other_format,
}


def bytes_of(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_taken(
    paths: tuple[Path, Path], damage: Callable[[bytes], bytes]
) -> None:
    path, previous = paths
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)

    state, words = newest(path, previous)

    assert state is not None
    assert state["step"] == 2
    assert step_of(path) == 2, "from now on the last one"
    (aside,) = path.parent.glob("checkpoint.pt.damaged-*")
    assert aside.read_bytes() == damaged, "nothing is lost"
    assert words.startswith(f"{path} cannot be used: it is ")
    assert words.endswith(f"set aside as {aside.name}")
    assert "\n" not in words
    assert newest(path, previous)[1] == "", "said once"


def test_where_both_are_damaged_there_is_none(paths: tuple[Path, Path]) -> None:
    for path in paths:
        path.write_bytes(cut(path.read_bytes()))

    state, words = newest(*paths)

    assert state is None
    assert words.count("was set aside as") == 2
    assert newest(*paths) == (None, "")


def test_where_the_last_one_is_gone_the_one_before_takes_its_place(paths: tuple[Path, Path]) -> None:
    """A kill between two renames, where there are no links."""
    path, previous = paths
    path.unlink()

    assert (newest(path, previous)[0] or {})["step"] == 2
    assert step_of(path) == 2


def test_a_state_that_the_training_cannot_use_is_damaged_as_well(paths: tuple[Path, Path]) -> None:
    def check(state: dict[str, Any]) -> None:
        if state["step"] == 3:
            raise ValueError("its step is odd")

    assert (newest(*paths, check)[0] or {})["step"] == 2


def test_a_checkpoint_of_a_later_version_and_a_disk_error_leave_all_as_it_is(paths: tuple[Path, Path]) -> None:
    path, previous = paths
    path.write_bytes(bytes_of({**STATE, "format": 2}))
    with pytest.raises(StoreError, match=r"a checkpoint of format 2, this version reads 1: use the version"):
        newest(path, previous)
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        newest(path, previous)

    assert not list(path.parent.glob("*damaged*"))


@pytest.mark.parametrize("size", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "older"])
def test_where_memory_is_lacking_no_checkpoint_is_taken_for_damaged(
    paths: tuple[Path, Path], size: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, previous = paths
    path.write_bytes(bytes_of({"format": 1, **STATE}, **size))

    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(torch, "load", full)
    with pytest.raises(MemoryError):
        newest(path, previous)
    assert not list(path.parent.glob("*damaged*"))


def bomb() -> bytes:
    """A hundred megabytes of zeros in a hundred kilobytes."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(bytes_of(STATE))) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as to,
    ):
        for part in source.infolist():
            to.writestr(part.filename, bytes(10**8) if part.filename.endswith("data/0") else source.read(part))
    return buffer.getvalue()


def claiming(numel: int) -> bytes:
    """In torch's older format, a tensor that says that it has so many numbers."""
    return bytes_of(STATE, _use_new_zipfile_serialization=False).replace(
        b"K\x04N", b"\x8a\x08" + numel.to_bytes(8, "little") + b"N"
    )


def growing() -> bytes:
    """torch's own reader makes, and fills, what this asks for."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02cbuiltins\nbytearray\nJ\x00\x00\x00\x70\x85R.")
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


class Evil:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("owned"),))


HOSTILE = {
    "a zip bomb": bomb(),
    "a pickle": pickle.dumps(Evil()),
    "torch's pickle": bytes_of({"format": 1, "evil": Evil()}),
    "in torch's older format": bytes_of({"format": 1, "evil": Evil()}, _use_new_zipfile_serialization=False),
    "a module": bytes_of({"format": 1, "net": torch.nn.Linear(1, 1)}),
    "a bytearray": growing(),
    "a terabyte": claiming(2**40),
    "more than can be counted": claiming(2**62),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_checkpoint_is_set_aside_runs_nothing_and_fills_no_memory(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on
    before = peak()

    assert checkpoint.load(path) is None

    assert peak() - before < 50, "MiB"
    assert not Path("owned").exists()
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1
    assert capfd.readouterr().err.count("\n") == 1


def peak() -> float:
    """The most memory that this process had, in MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@pytest.mark.fuzz
@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "older"])
def test_damaged_checkpoints_are_read_right_or_set_aside(tmp_path: Path, options: dict[str, Any]) -> None:
    path, valid = tmp_path / "checkpoint.pt", bytes_of({"format": 1, **STATE}, **options)
    for content in mutated(valid, FILES):
        path.write_bytes(content)

        state, words = newest(path)

        if state is None:
            (aside,) = tmp_path.iterdir()
            assert aside.read_bytes() == content
            assert "cannot be used" in words
            assert "\n" not in words
            aside.unlink()
        else:
            assert not options or state["format"] == 1
            assert options or state["net"]["w"].tolist() == [0, 1, 2, 3]


@pytest.mark.fuzz
def test_of_a_damaged_checkpoint_of_a_done_run_nothing_is_made(tmp_path: Path) -> None:
    net: dict[str, torch.Tensor] = STATE["net"]  # type: ignore[assignment]  # of the values some are tensors
    momentum = {0: {"momentum_buffer": torch.ones(4)}}
    digest = checkpoint.weights_digest(net)
    whole = {"format": 1, **STATE, "optimizer": {"state": momentum}, "batches": {}}
    valid, path = bytes_of(whole), tmp_path / "checkpoint.pt"
    light = checkpoint.finished(valid, "a", digest)
    assert len(light) < len(valid)
    for content in mutated(valid, FILES):
        path.write_bytes(content)
        checkpoint.has_momentum(path)

        try:
            made = checkpoint.finished(content, "a", digest)
        except (ValueError, StoreError):
            continue

        assert checkpoint.weights_digest(checkpoint.of_run(made, "a")["net"]) == digest
