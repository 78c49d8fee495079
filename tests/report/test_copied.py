"""What is published byte for byte: registers side by side and only ever longer, manifests and lists of packages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench.report.collect import collect
from bench.report.digests import read_digests
from bench.report.rows import read_rows
from bench.store import RunFolder, register, sha256, write_json
from tests.builders import witnessed
from tests.report.builders import SWEEP, fake, fake_sweep

RUNS = SWEEP.runs("quick")
TORCH = "# Python 3.11.7\ntorch==2.14.1\n"
NEWER = "# Python 3.12.1\ntorch==2.15.0\n"


def published(results: Path) -> dict[str, bytes]:
    """The files below the folders of `results`, by their path there."""
    return {str(path.relative_to(results)): path.read_bytes() for path in sorted(results.glob("*/*"))}


def done(sweep: Path, seed: int, error: float = 10.0, digest: str = "w") -> RunFolder:
    return witnessed(fake(sweep, RUNS[seed], error, digest=digest))


def with_packages(folder: RunFolder, *texts: str) -> None:
    env = folder.env()
    assert env is not None
    write_json(folder.path / "env.json", env | {"requirements": list(texts)})


def test_two_machines_give_two_registers_and_a_manifest_a_run(tmp_path: Path) -> None:
    one, two = done(tmp_path / "one", 0), done(tmp_path / "two", 1)
    two.path.joinpath("manifest.json.tsr").write_bytes(b"stamped")

    collect(tmp_path / "results", [tmp_path / "one"], RUNS)
    collect(tmp_path / "results", [tmp_path / "two"], RUNS)

    chains = [(tmp_path / name / register.NAME).read_bytes() for name in ("one", "two")]
    expected = {f"registers/{register.chain_of(chain)[:12]}.jsonl": chain for chain in chains}
    expected |= {f"manifests/{one.path.name}.json": one.manifest.read_bytes()}
    expected |= {f"manifests/{two.path.name}.json": two.manifest.read_bytes()}
    expected |= {f"manifests/{two.path.name}.json.tsr": b"stamped"}
    assert published(tmp_path / "results") == expected
    assert {name for name in read_digests(tmp_path / "results") if "/" in name} == set(expected)


def test_a_register_grows_when_it_is_published_again_and_never_shrinks(tmp_path: Path) -> None:
    results, said = tmp_path / "results", list[str]()
    done(tmp_path / "runs", 0)
    shutil.copytree(tmp_path / "runs", tmp_path / "earlier")
    done(tmp_path / "runs", 1)
    for folder in ("earlier", "runs", "earlier"):
        collect(results, [tmp_path / folder], RUNS, said.append)

    (path,) = (results / "registers").iterdir()
    assert path.read_bytes() == (tmp_path / "runs" / register.NAME).read_bytes()
    assert said == []


def test_a_register_that_was_rewritten_is_left_out_and_said(tmp_path: Path) -> None:
    results, said = tmp_path / "results", list[str]()
    done(tmp_path / "runs", 0)
    collect(results, [tmp_path / "runs"], RUNS)
    before = published(results)
    path = tmp_path / "runs" / register.NAME
    first, started, *_ = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + started.replace(b'"step": 0', b'"step": 9') + b"{}\n")

    collect(results, [tmp_path / "runs"], RUNS, said.append)

    (place,) = (results / "registers").iterdir()
    assert published(results) == before
    assert said == [
        f"{path} is left out: it does not begin with the lines of {place}, so it was rewritten, or two copies of one "
        "folder went on by themselves; the published lines stay"
    ]


def test_a_register_that_is_none_is_left_out_and_said(tmp_path: Path) -> None:
    said = list[str]()
    done(tmp_path / "runs", 0)
    (tmp_path / "runs" / register.NAME).write_text("{}\n")

    collect(tmp_path / "results", [tmp_path / "runs"], RUNS, said.append)

    assert said == [f"{tmp_path / 'runs' / register.NAME} is left out: its first line does not begin a register"]
    assert not (tmp_path / "results" / "registers").exists()


def test_a_manifest_of_another_result_is_left_out_and_said(tmp_path: Path) -> None:
    said, folder = list[str](), done(tmp_path / "runs", 0)
    folder.manifest.write_text(json.dumps(json.loads(folder.manifest.read_text()) | {"weights_sha256": "other"}))

    collect(tmp_path / "results", [tmp_path / "runs"], RUNS, said.append)

    assert said == [f"{folder.path.name}: its manifest.json is left out: it is not of the result beside it"]
    assert not (tmp_path / "results" / "manifests").exists()


def test_a_published_manifest_and_its_signature_stay_until_another_result_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, first = tmp_path / "results", done(tmp_path / "one", 0)
    collect(results, [tmp_path / "one"], RUNS)
    place = results / "manifests" / f"{first.path.name}.json"
    place.with_name(f"{place.name}.sig").write_text("signed")
    fake(tmp_path / "bare", RUNS[0], 10.0)
    other = done(tmp_path / "two", 0, 11.0, "other")

    for folder in ("one", "bare", "two"):
        collect(results, [tmp_path / folder], RUNS)
        assert place.read_bytes() == first.manifest.read_bytes()
        assert place.with_name(f"{place.name}.sig").exists()
    monkeypatch.setattr("bench.report.repeats.Found.replaces", lambda one, known: one.key != known.key)
    collect(results, [tmp_path / "two"], RUNS)

    assert place.read_bytes() == other.manifest.read_bytes() != first.manifest.read_bytes()
    assert not place.with_name(f"{place.name}.sig").exists()


def test_lists_of_packages_are_files_that_rows_name(tmp_path: Path) -> None:
    results, one, two = tmp_path / "results", fake(tmp_path / "one", RUNS[0], 9), fake(tmp_path / "two", RUNS[1], 9)
    with_packages(one, TORCH, NEWER)
    with_packages(two, NEWER)

    for folder in ("one", "two"):
        rows = read_rows(collect(results, [tmp_path / folder], RUNS))

    torch, newer = (sha256(text.encode())[:12] for text in (TORCH, NEWER))
    assert [row["requirements"] for row in rows if row["state"] == "done"] == [f"{torch}; {newer}", newer]
    expected = {f"requirements/{torch}.txt": TORCH.encode(), f"requirements/{newer}.txt": NEWER.encode()}
    assert published(results) == expected
    (results / "requirements" / "0123456789ab.txt").write_text("of no row")
    collect(results, [tmp_path / "two"], RUNS)
    assert published(results) == expected


def test_runs_older_than_registers_leave_none_of_it(tmp_path: Path) -> None:
    rows = read_rows(collect(tmp_path / "results", [fake_sweep(tmp_path)], RUNS))

    assert published(tmp_path / "results") == {}
    assert {(row["tree"], row["isa"], row["requirements"]) for row in rows} == {("", "", "")}
