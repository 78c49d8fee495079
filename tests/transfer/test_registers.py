"""Registers of starts travel with the runs, lie side by side, and only ever get longer."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.speed.made_up import finish
from bench.store import RunFolder, register
from bench.transfer import archive
from tests.builders import tiny_run, witnessed
from tests.transfer.builders import make, pack, unpack


def done(runs: Path, seed: int) -> RunFolder:
    run = tiny_run(seed=seed)
    folder = make(runs, run)
    finish(folder, run, error=50)
    return witnessed(folder)


def chains(runs: Path) -> dict[str, bytes]:
    return {path.name: content for path, content in register.chains_in(runs / "tiny")}


def test_a_manifest_and_the_register_arrive_beside_the_own_one(tmp_path: Path) -> None:
    there, here = done(tmp_path / "there", 0), done(tmp_path / "here", 1)
    (own,), (theirs,) = chains(tmp_path / "here").values(), chains(tmp_path / "there").values()
    there.path.joinpath("manifest.json.sig").write_text("signed")
    pack(tmp_path)

    assert unpack(tmp_path) == 0

    moved = RunFolder(here.path.parent / there.path.name)
    assert moved.manifest.read_bytes() == there.manifest.read_bytes()
    assert moved.path.joinpath("manifest.json.sig").read_text() == "signed"
    name = register.file_name(theirs)
    assert chains(tmp_path / "here") == {register.NAME: own, name: theirs}
    done(tmp_path / "there", 2)
    pack(tmp_path)
    assert unpack(tmp_path) == 0
    assert chains(tmp_path / "here") == {register.NAME: own, name: chains(tmp_path / "there")[register.NAME]}


def test_what_comes_back_adds_no_copy_of_the_own_register(tmp_path: Path) -> None:
    done(tmp_path / "there", 0)
    pack(tmp_path)
    done(tmp_path / "there", 1)

    assert unpack(tmp_path, runs="there") == 0

    assert list(chains(tmp_path / "there")) == [register.NAME]


def test_all_chains_of_a_folder_go_on_to_a_third_machine(tmp_path: Path) -> None:
    done(tmp_path / "there", 0)
    done(tmp_path / "here", 1)
    pack(tmp_path)
    unpack(tmp_path)
    pack(tmp_path, runs="here", out="on")

    assert unpack(tmp_path, "on", runs="third") == 0

    assert sorted(chains(tmp_path / "third").values()) == sorted(chains(tmp_path / "here").values())
    assert register.NAME not in chains(tmp_path / "third"), "nothing was started there"


def test_a_register_that_was_rewritten_is_refused_and_the_runs_are_placed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done(tmp_path / "there", 0)
    pack(tmp_path)
    unpack(tmp_path)
    before = chains(tmp_path / "here")
    path = tmp_path / "there" / "tiny" / register.NAME
    path.write_bytes(path.read_bytes().replace(b'"dirty": false', b'"dirty": true '))
    new = done(tmp_path / "there", 1)
    shutil.rmtree(tmp_path / "out")
    pack(tmp_path)
    capsys.readouterr()

    assert unpack(tmp_path) == 1

    (name,) = before
    assert f"{tmp_path / 'here' / 'tiny' / name}: left as it is here: the register that" in capsys.readouterr().out
    assert chains(tmp_path / "here") == before
    assert RunFolder(tmp_path / "here" / "tiny" / new.path.name).state() == "done"


def test_an_archive_of_before_registers_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = done(tmp_path / "there", 0)
    monkeypatch.setattr(archive, "FORMAT", 1)
    (there.path.parent / register.NAME).unlink()
    pack(tmp_path)
    monkeypatch.undo()

    assert unpack(tmp_path) == 0

    assert chains(tmp_path / "here") == {}
