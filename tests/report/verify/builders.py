"""Made-up results with all their witnesses, and registers written anew as a forger would write them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from bench.report.collect import collect
from bench.report.digests import write_digests
from bench.report.verify.published import BESIDE, Published, Trusted
from bench.spec import Run, Scale
from bench.speed.made_up import official_digest
from bench.store import RunFolder, register, sha256
from bench.store.manifest import layers_digest, manifest
from tests.report.builders import CELLS as ALL_CELLS
from tests.report.builders import RECIPE, fake
from tests.report.builders import SWEEP as MADE_UP

NAME = "made_up"
FEW = replace(RECIPE, test_images=200)  # so that a verification takes a blink
CELLS = tuple((net, FEW) for net, _ in ALL_CELLS[:2])
SWEEP = replace(MADE_UP, claims=(), scales={"quick": Scale(CELLS, (0, 1)), "paper": Scale(CELLS, (0, 1))})
BEGAN = 1_793_000_000.0  # in October 2026
LIST = "# Python 3.11.4, resnet-bench 1.0 at commit {commit}\nnumpy==2.4.0\ntorch==2.14.1\ntorchvision==0.29.1\n"
Lines = list[dict[str, Any]]


@contextmanager
def at(seconds: float) -> Iterator[None]:
    """The clock of registers stands at that time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(register, "time", SimpleNamespace(time=lambda: seconds, time_ns=lambda: int(seconds * 1e9)))
        yield


def start(runs: Path, run: Run, began: float = BEGAN, step: int = 0, data: str = "") -> register.Start:
    """Says in the register that a run starts."""
    inputs = {"data_sha256": data or env_of(run)["data_sha256"], "start_sha256": ""}
    runs.mkdir(parents=True, exist_ok=True)
    with at(began):
        return register.start(runs, run.id, step, trains=True, commit="c" * 40, dirty=False, **inputs)


def env_of(run: Run, began: float = BEGAN) -> dict[str, Any]:
    """The environment of a made-up run."""
    return {
        **dict.fromkeys(("bench", "hardware", "kernels", "allocator", "notice"), "made up"),
        "commit": "c" * 40, "tree": "b" * 40, "dirty": False, "threads": 2, "processes": 1, "share": 1, "sessions": 1,
        "python": "3.11.4", "torch": "2.14.1+cu130", "torchvision": "0.29.1", "isa": "AVX2",
        "claims_sha256": "a" * 64, "data_sha256": official_digest(run.data), "start_sha256": "",
        "started": began, "ended": began + 200, "requirements": [LIST.format(commit="c" * 40)],
    }  # fmt: skip


def finish(runs: Path, run: Run, error: float, begun: register.Start, began: float = BEGAN, digest: str = "w") -> None:
    """Ends a run as the worker does: with a manifest and a line in the register."""
    folder = fake(runs, run, error, digest=digest)
    result, env = folder.result(), env_of(run, began)
    assert result is not None
    (folder.path / "result.json").unlink()
    digests = {"layers_sha256": layers_digest(folder.layer_rows()), "matches_sha256": None}
    with at(began + 202):
        folder.finish(result, env, manifest(run, result, env, begun, **digests))


def train(runs: Path, run: Run, error: float, began: float = BEGAN, digest: str = "w") -> None:
    """All of a run."""
    finish(runs, run, error, start(runs, run, began), began, digest)


def publish(root: Path, *runs: Path) -> Path:
    """The results of these folders of runs."""
    results = root / "results" / NAME
    collect(results, list(runs), ())
    return results


def trained(root: Path) -> Path:
    """The folder of all runs of the sweep, one after the other."""
    runs = root / "runs" / NAME
    for number, run in enumerate(run for scale in ("paper", "quick") for run in SWEEP.runs(scale)):
        train(runs, run, 10.0 + number, BEGAN + 300 * number)
    return runs


def problems(results: Path, check: Callable[[Published], Iterator[str]], trusted: Trusted = BESIDE) -> list[str]:
    """What one check finds."""
    return list(check(Published.read(results, trusted)))


def chain_in(results: Path) -> Path:
    """The one register."""
    (path,) = (results / "registers").glob("*.jsonl")
    return path


def lines_of(path: Path) -> Lines:
    return [json.loads(line) for line in path.read_text().splitlines()]


def chained(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Writes a register anew whose hashes follow, as a forger does."""
    previous, texts = "", []
    for line in lines:
        texts.append(json.dumps({**line, "previous": previous}))
        previous = sha256(texts[-1].encode())
    path.write_text("".join(f"{text}\n" for text in texts))
    write_digests(path.parents[1])


def edit_rows(results: Path, change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> None:
    """Writes runs.csv anew."""
    frame = pd.read_csv(results / "runs.csv", dtype=str, keep_default_na=False)
    changed = change(frame)
    (frame if changed is None else changed).to_csv(results / "runs.csv", index=False, lineterminator="\n")
    write_digests(results)


def copied(published: Path, root: Path) -> Path:
    """A copy of results that may be changed."""
    results = root / "results" / NAME
    shutil.copytree(published, results)
    return results


def folder_of(runs: Path, run: Run) -> RunFolder:
    return RunFolder(runs / run.id)
