"""A run trained to some step, packed and unpacked."""

from __future__ import annotations

from pathlib import Path

import torch

from bench.cli.commands import main as bench
from bench.launch.worker import work, work_until
from bench.spec import Run
from bench.store import RunFolder
from bench.train import checkpoint
from tests.builders import StopAt, tiny_run

MIB = 2**20
RUN = tiny_run()
HOME = f"tiny/{RUN.id}"


def make(runs: Path, run: Run = RUN) -> RunFolder:
    folder = RunFolder(runs / "tiny" / run.id)
    folder.create(run)
    return folder


def trained(runs: Path, steps: int, run: Run = RUN) -> RunFolder:
    """A run in sweep `tiny` stopped after so many of its 12 steps, or done."""
    folder = make(runs, run)
    if steps == run.recipe.steps:
        assert work(folder.path, runs) == "done"
    else:
        assert work_until(folder.path, runs, StopAt(steps)) == "stopped"
    return folder


def pack(place: Path, *options: str, runs: str = "there", out: str = "out") -> int:
    return bench(["pack", str(place / out), "--runs", str(place / runs), *options])


def unpack(place: Path, *archives: str, runs: str = "here") -> int:
    return bench(["unpack", *(str(place / a) for a in archives or ("out",)), "--runs", str(place / runs)])


def carried(place: Path) -> RunFolder:
    """RUN as it arrives at here/ from there/."""
    assert pack(place) == 0
    assert unpack(place) == 0
    return RunFolder(place / "here" / "tiny" / RUN.id)


def files_of(place: Path) -> dict[str, bytes]:
    return {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()}


def noise(folder: RunFolder, run: Run, step: int, mib: float) -> None:
    """A checkpoint of this size, as far as a run's place in an archive goes."""
    rows = [{"step": step}] if step else []
    net = {"ballast": torch.zeros(int(mib * MIB), dtype=torch.uint8)}
    state = {"run": run.id, "step": step, "curve": rows, "net": net}
    folder.write_curve(rows)
    checkpoint.save(folder.checkpoint, state)


def archive_files(place: Path) -> list[Path]:
    return sorted((place / "out").iterdir())
