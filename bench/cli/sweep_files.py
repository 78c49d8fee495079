"""Sweep files: where they lie, what they declare, and their copies beside numbers."""

from __future__ import annotations

import difflib
import re
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bench.spec
from bench.cli.places import DECLARATION, PROJECT, RUNS, Place, beside_runs, published
from bench.spec import Run, SpecError, Sweep
from bench.spec.advice import nearest, shown
from bench.spec.own import CODE_FOLDER as CODE
from bench.spec.own import beside, content_of
from bench.store import make_folder, write_bytes

SUITE = PROJECT / "sweeps"


class MistakeError(ValueError):
    """Something in the command or a sweep file that the user has to change."""


def sweep_file(name: str, out: Path = RUNS) -> Path:
    """The file of the sweep `name`: a path, one below sweeps/ here or of this suite, or the copy beside its numbers.

    out: the folder of the user's runs. Raises MistakeError naming the sweeps there are.
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
    if found := _of_name(name, beside_runs(out, name).results, published(name).results):
        return found
    known = known_names()
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else "."
    raise MistakeError(f"there is no sweep {name!r}{hint} There are: {', '.join(known)}; or give the path of a file")


def _of_name(name: str, *copies: Path) -> Path | None:
    """The file below sweeps/ here or of this suite, else a copy in one of these folders of its results."""
    places = (Path("sweeps") / f"{name}.py", SUITE / f"{name}.py", *(folder / DECLARATION for folder in copies))
    return next((path for path in places if path.is_file()), None)


def known_names() -> list[str]:
    """The names of the sweeps below sweeps/ here and of this suite."""
    files = (path for folder in (Path("sweeps"), SUITE) for path in folder.glob("[!_]*.py"))
    return sorted({path.stem for path in files})


def own_file(name: str, path: Path) -> bool:
    """Whether the file of the sweep `name` is the user's, and none of this suite's."""
    ours = SUITE / f"{name}.py"
    return not (ours.is_file() and ours.read_bytes() == path.read_bytes())


def load_sweep(name: str, out: Path = RUNS) -> tuple[str, Sweep]:
    """The sweep's name and value. Raises MistakeError with the file's line where the file itself fails."""
    return Path(name).stem if name.endswith(".py") else name, load_file(sweep_file(name, out))


def declared_in(place: Place) -> Sweep:
    """What the numbers of a place are of: by the copy of the file there, else by the one of that name."""
    copy = place.results / DECLARATION
    return load_file(copy if copy.is_file() else sweep_file(place.name))


def load_file(path: Path) -> Sweep:
    """What a sweep file declares. Raises MistakeError with the file's line where it fails."""
    import runpy

    try:
        with beside(path.parent):
            defined = runpy.run_path(str(path))
    except (Exception, SystemExit) as error:  # a user's file may raise anything, and must not end the command quietly
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        line = getattr(error, "lineno", None) or (frames[-1].lineno if frames else None)
        raise MistakeError(f"{path}{f', line {line}' if line else ''}: {_said(error)}") from None
    sweep = defined.get("SWEEP")
    if not isinstance(sweep, Sweep):
        raise MistakeError(f"{path} defines no SWEEP = Sweep(...) of bench.spec: {_instead(defined)}")
    _check_numbers(path, sweep)
    return sweep


def _said(error: BaseException) -> str:
    """What was raised, in one line."""
    if isinstance(error, SpecError):
        return str(error)
    said = f"{error.msg}, in {(error.text or '').strip()!r}" if isinstance(error, SyntaxError) else str(error)
    if isinstance(error, NameError) and error.name in bench.spec.__all__:
        said += f"; write from bench.spec import {error.name}"
    if isinstance(error, ImportError) and error.name == "bench.spec" and (wanted := re.search(r"name '(\w+)'", said)):
        near = nearest(wanted[1], bench.spec.__all__)
        said = f"bench.spec has no {wanted[1]}" + (f"; did you mean {near}?" if near else "")
    return " ".join(f"{type(error).__name__}: {said}".split())


def _instead(defined: Mapping[str, Any]) -> str:
    """What a sweep file has in the place of its sweep, and what to write."""
    if "SWEEP" in defined:
        return f"its SWEEP is {shown(defined['SWEEP'])}; write SWEEP = Sweep(title, question, claim, scales)"
    other = next((name for name, value in defined.items() if isinstance(value, Sweep)), None)
    if other:
        return f"its sweep is called {other}; write SWEEP = {other}"
    return "end it with SWEEP = Sweep(title, question, claim, scales), as sweeps/README.md shows"


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


def no_runs(name: str, *folders: Path) -> str:
    """What to say where a sweep has no runs in folders: of which there are."""
    there = sorted({path.parents[1].name for folder in folders for path in folder.glob("*/*/run.json")})
    known = f"; there are runs of: {', '.join(there)}" if there else ""
    return f"no runs of {name!r} in {', '.join(map(str, folders))}{known}; --out names the folder given to bench.sweep"


def refuse_namesake(name: str, path: Path) -> None:
    """Raises MistakeError where a sweep file would add its runs to those of another one of its name."""
    for ours in (Path("sweeps") / f"{name}.py", SUITE / f"{name}.py"):
        if ours.is_file() and ours.read_bytes() != path.read_bytes():
            raise MistakeError(f"{path} has the name of {ours}, whose numbers are others: give it another name")


def known_sweeps(results: Path, **also: Sweep) -> dict[str, Sweep]:
    """Every sweep below sweeps/ here and of this suite, those declared beside their numbers in `results`, and `also`.

    A file that fails is said and left out, as it is not what was asked.
    """
    sweeps: dict[str, Sweep] = {}
    for name in sorted({*known_names(), *(path.parent.name for path in results.glob(f"*/{DECLARATION}"))}):
        if name not in also and (path := _of_name(name, results / name)):
            try:
                sweeps[name] = load_file(path)
            except MistakeError as error:
                print(f"left out of the index: {error}")
    return dict(sorted({**sweeps, **also}.items()))  # the index must not depend on which sweep wrote it


def keep_declaration(path: Path, place: Place, declared: Sweep) -> None:
    """Copies the sweep file beside numbers, which mean nothing without it, and the user's code that it names.

    Published numbers of this suite's sweeps have the file already.
    """
    copy = place.results / DECLARATION
    for code, sha256 in declared.codes():
        write_bytes(make_folder(place.results / CODE) / code.rpartition(":")[0], content_of(code, sha256))
    if path.resolve() != copy.resolve() and (own_file(place.name, path) or not place.published):
        write_bytes(copy, path.read_bytes())


def declared_runs(declared: Sweep, scale: str, data: str, seeds: Sequence[int] | None = None) -> tuple[Run, ...]:
    """All that the sweep declares at this scale and on this data, with the seeds asked for besides."""
    return tuple(dict.fromkeys((*declared.runs(scale, None, data), *declared.runs(scale, seeds or (), data))))
