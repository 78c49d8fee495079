"""Sweep files: where they lie, what they declare, and their copies beside numbers."""

from __future__ import annotations

import difflib
import re
import traceback
from collections.abc import Sequence
from pathlib import Path

from bench.spec import Run, Sweep
from bench.store import write_text

DECLARATION = "sweep.py"  # the copy of a sweep file of one's own, in its folder of results
PROJECT = Path(__file__).resolve().parents[2]


class MistakeError(ValueError):
    """Something in the command or a sweep file that the user has to change."""


def project_folder() -> Path:
    """The checkout that holds sweeps/, results/ and reports/: this folder, else the one beside the package."""
    here = Path.cwd()
    return here if (here / "sweeps").is_dir() or not (PROJECT / "sweeps").is_dir() else PROJECT


def sweep_file(name: str, results: Path | None = None) -> Path:
    """The file of the sweep `name`: a path, one of the project's, or what lies beside its numbers in `results`.

    Raises MistakeError naming the sweeps there are.
    """
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise MistakeError(f"there is no sweep file {name}")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", path.stem):
            raise MistakeError(
                f"{name!r}: a sweep file's name becomes that of folders and numbers; use letters, digits, _ and - only"
            )
        return path
    folder = project_folder() / "sweeps"
    for path in (folder / f"{name}.py", (results or project_folder() / "results") / name / DECLARATION):
        if path.is_file():
            return path
    known = sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))
    raise MistakeError(f"there is no sweep {name!r} in {folder}; there are: {', '.join(known) or 'none'}")


def own_file(name: str) -> bool:
    """Whether `name` is the path of a sweep file that is none of the project's."""
    return name.endswith(".py") and not (project_folder() / "sweeps" / Path(name).name).is_file()


def kept_here(name: str) -> bool:
    """Whether `name` is a user's sweep whose numbers and file are stored in this folder, and none of the project's."""
    project = project_folder() / "sweeps" / f"{name}.py"
    return not name.endswith(".py") and not project.is_file() and (Path("results") / name / DECLARATION).is_file()


def load_sweep(name: str, results: Path | None = None) -> tuple[str, Sweep]:
    """The sweep's name and value. Raises MistakeError with the file's line where the file itself fails."""
    import runpy

    path = sweep_file(name, results)
    try:
        sweep = runpy.run_path(str(path)).get("SWEEP")
    except (Exception, SystemExit) as error:  # a user's file may raise anything, and must not end the command quietly
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        line = getattr(error, "lineno", None) or (frames[-1].lineno if frames else "?")
        raise MistakeError(f"{path}, line {line}: {type(error).__name__}: {error}") from None
    if not isinstance(sweep, Sweep):
        raise MistakeError(f"{path} defines no SWEEP = Sweep(...) of bench.spec")
    _check_numbers(path, sweep)
    return path.parent.name if path.name == DECLARATION else path.stem, sweep


def _check_numbers(path: Path, sweep: Sweep) -> None:
    """Raises MistakeError where a claim compares with a number that the paper has not, or not of that net."""
    from bench.paper import paper_numbers

    for claim in (claim for claim in sweep.claims if claim.number):
        number = paper_numbers().get(claim.number)
        if number is None:
            near = (
                ", ".join(difflib.get_close_matches(claim.number, paper_numbers(), n=3)) or "bench/paper.yaml has them"
            )
            raise MistakeError(f"{path}: claim {claim.id!r}: the paper has no number {claim.number!r}; near it: {near}")
        if number.get("net") != claim.nets[0].name:
            raise MistakeError(f"{path}: claim {claim.id!r}: {claim.number} is not of {claim.nets[0].name}")


def refuse_namesake(name: str) -> None:
    """Raises MistakeError where another sweep file would add its runs to those of one of the project's."""
    ours = project_folder() / "sweeps" / Path(name).name
    if name.endswith(".py") and ours.is_file() and ours.read_bytes() != Path(name).read_bytes():
        raise MistakeError(f"{name} has the name of {ours}, whose numbers are others: give it another name")


def known_sweeps(results: Path, **also: Sweep) -> dict[str, Sweep]:
    """Every sweep of the project, those declared beside their numbers in `results`, and `also`.

    A file that fails is said and left out, as it is not what was asked.
    """
    sweeps: dict[str, Sweep] = {}
    names = [path.stem for path in (project_folder() / "sweeps").glob("[!_]*.py")]
    for name in sorted({*names, *(path.parent.name for path in results.glob(f"*/{DECLARATION}"))}):
        if name not in also:
            try:
                sweeps |= [load_sweep(name, results)]
            except MistakeError as error:
                print(f"left out of the index: {error}")
    return dict(sorted({**sweeps, **also}.items()))  # the index must not depend on which sweep wrote it


def keep_declaration(name: str, results: Path) -> None:
    """Copies a user's sweep file beside its numbers, which mean nothing without it."""
    if own_file(name):
        write_text(results / DECLARATION, Path(name).read_text(encoding="utf-8"))


def declared_runs(declared: Sweep, scale: str, data: str, seeds: Sequence[int] | None = None) -> tuple[Run, ...]:
    """All that the sweep declares at this scale and on this data, with the seeds asked for besides."""
    return tuple(dict.fromkeys((*declared.runs(scale, None, data), *declared.runs(scale, seeds or (), data))))
