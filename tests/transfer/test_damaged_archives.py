"""Archives that are not what they say: refused by name, with nothing placed."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.store import RunFolder, sha256
from tests.builders import tiny_run
from tests.transfer.builders import HOME, make, noise, pack, unpack


def rewritten(path: Path, change: Callable[[dict[str, bytes]], object], *, honest: bool) -> None:
    """Changes the members of an archive; `honest`: with the digests and sizes that the manifest would have then."""
    with tarfile.open(path) as tar:
        members = {m.name: (tar.extractfile(m) or io.BytesIO()).read() for m in tar}
    change(members)
    if honest:
        manifest = json.loads(members["manifest.json"])
        (entry,) = manifest["runs"]
        home = f"{entry['sweep']}/{entry['id']}/"
        files = {name.removeprefix(home): data for name, data in members.items() if name.startswith(home)}
        entry["files"] = {name: {"bytes": len(data), "sha256": sha256(data)} for name, data in files.items()}
        members["manifest.json"] = json.dumps(manifest).encode()
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def other_run(members: dict[str, bytes]) -> None:
    members[f"{HOME}/run.json"] = json.dumps(tiny_run(seed=1).as_json()).encode()


def unknown_scale(members: dict[str, bytes]) -> None:
    members[f"{HOME}/run.json"] = members[f"{HOME}/run.json"].replace(b'"quick"', b'"nope"')


def more_steps(members: dict[str, bytes]) -> None:
    members["manifest.json"] = members["manifest.json"].replace(b'"step": 8', b'"step": 9')


def not_a_checkpoint(members: dict[str, bytes]) -> None:
    members[f"{HOME}/checkpoint.pt"] = b"half of it"


def edited(members: dict[str, bytes]) -> None:
    members[f"{HOME}/curve.jsonl"] = members[f"{HOME}/curve.jsonl"].replace(b"loss", b"lost")


def later_format(members: dict[str, bytes]) -> None:
    members["manifest.json"] = members["manifest.json"].replace(b'"format": 2', b'"format": 3')


def another_chain(members: dict[str, bytes]) -> None:
    """A register, named in the manifest, whose first line begins another chain."""
    line, name = json.dumps({"event": "begun", "chain": "f" * 32}).encode() + b"\n", f"tiny/register-{'0' * 12}.jsonl"
    manifest = json.loads(members["manifest.json"])
    manifest["registers"][name] = {"bytes": len(line), "sha256": sha256(line)}
    members |= {name: line, "manifest.json": json.dumps(manifest).encode()}


FORGED: dict[str, tuple[Callable[[dict[str, bytes]], object], bool, str]] = {
    "edited": (edited, False, "curve.jsonl has not the SHA-256 of the manifest"),
    "another run": (other_run, True, f"{HOME} holds the run {tiny_run(seed=1).id}"),
    "no run": (unknown_scale, True, f"run.json of {HOME}: "),
    "more steps": (more_steps, True, "it is of step 8, not 9"),
    "no checkpoint": (not_a_checkpoint, True, f"checkpoint.pt of {HOME}: it is damaged"),
    "no manifest": (lambda m: m.pop("manifest.json"), False, "it has no manifest.json: it was cut off"),
    "no run.json": (lambda m: m.pop(f"{HOME}/run.json"), True, "run.json"),
    "later format": (later_format, False, "it has format 3, this version of the suite reads 2"),
    "empty manifest": (lambda m: m.update({"manifest.json": b"[]"}), False, "is damaged or no archive"),
    "not in the manifest": (lambda m: m.update({f"{HOME}/env.json": b"{}"}), False, "env.json is in the manifest or"),
    "result alone": (lambda m: m.update({f"{HOME}/result.json": b"{}"}), True, "its files say otherwise"),
    "above": (lambda m: m.update({"../x/run.json": b"{}"}), False, "'../x/run.json' is no file of a run"),
    "up": (lambda m: m.update({"tiny/../run.json": b"{}"}), False, "'tiny/../run.json' is no file of a run"),
    "register": (lambda m: m.update({"tiny/register.jsonl": b""}), False, "register.jsonl' is no file of a run"),
    "absolute": (lambda m: m.update({"/tiny/run.json": b"{}"}), False, "'/tiny/run.json' is no file of a run"),
    "another chain": (another_chain, True, "register-000000000000.jsonl does not begin that chain"),
    "unknown file": (lambda m: m.update({f"{HOME}/x.sh": b""}), False, "x.sh' is no file of a run"),
}


@pytest.mark.parametrize("case", FORGED)
def test_an_archive_that_is_not_what_it_says_is_refused_by_name_with_nothing_placed(
    at: Callable[[int, str], RunFolder], tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change, honest, words = FORGED[case]
    at(8, "there")
    run = tiny_run(seed=1)
    noise(make(tmp_path / "other", run), run, 3, 0.1)
    pack(tmp_path)
    pack(tmp_path, runs="other", out="good")
    rewritten(tmp_path / "out" / "runs-1.tar", change, honest=honest)

    assert unpack(tmp_path, "good", "out") == 2

    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "out/runs-1.tar" in error
    assert words in error
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize("left", [0.0, 0.3, 0.9])
def test_an_archive_that_was_cut_off_is_refused(
    at: Callable[[int, str], RunFolder], tmp_path: Path, left: float, capsys: pytest.CaptureFixture[str]
) -> None:
    at(8, "there")
    pack(tmp_path)
    path = tmp_path / "out" / "runs-1.tar"
    path.write_bytes(path.read_bytes()[: int(left * path.stat().st_size)])

    assert unpack(tmp_path) == 2
    assert re.search("bench: .*runs-1.tar is damaged or no archive of bench pack", capsys.readouterr().err)
