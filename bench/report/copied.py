"""What stands in results/ byte for byte as runs wrote it: registers of starts, manifests, lists of packages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.report.repeats import Choice, Found
from bench.spec.own import CODE_FOLDER, content_of, copy_name
from bench.store import RunFolder, make_folder, register, write_bytes
from bench.store.manifest import SIGNATURES, names_of

REGISTERS, MANIFESTS, REQUIREMENTS = "registers", "manifests", "requirements"
Say = Callable[[str], object]


def copy_all(results: Path, runs: Sequence[Path], chosen: Mapping[str, Choice], say: Say) -> None:
    """Copies them into `results`. runs: the sweep's folders; chosen: which result of each run stands."""
    for sweep in runs:
        _copy_registers(results, sweep, say)
    for name, choice in chosen.items():
        _copy_manifest(results, name, choice.stands, say)
        _copy_code(results, choice.stands)
    _copy_requirements(results, [one for each in chosen.values() for one in (each.stands, *each.repeats)])


def _copy_registers(results: Path, sweep: Path, say: Say) -> None:
    """Each chain beside the others. To a published one lines are only added."""
    for path, content in register.chains_in(sweep):
        chain = register.chain_of(content)
        if not chain:
            say(f"{path} is left out: its first line does not begin a register")
            continue
        place = make_folder(results / REGISTERS) / f"{chain[: register.SHORT]}.jsonl"
        if not register.keep(place, content):
            say(
                f"{path} is left out: it does not begin with the lines of {place}, so it was rewritten, or two copies "
                "of one folder went on by themselves; the published lines stay"
            )


def _copy_manifest(results: Path, name: str, stands: Found, say: Say) -> None:
    """That of the result which stands, with its signature and its time stamp; one of another result goes."""
    place, folder = results / MANIFESTS / f"{name}.json", stands.folder
    own, published = _bytes(folder.manifest) if folder else None, _bytes(place)
    if own is not None and not _is_of(own, stands):
        say(f"{stands.row['id']}: its manifest.json is left out: it is not of the result beside it")
        own = None
    if own is None and published is not None and _is_of(published, stands):
        return
    if own != published:
        for path in (place, *_signatures(place)):
            path.unlink(missing_ok=True)
    if folder and own is not None:
        make_folder(place.parent)
        write_bytes(place, own)
        for path, theirs in zip(_signatures(place), _signatures(folder.manifest), strict=True):
            if (signature := _bytes(theirs)) is not None:
                write_bytes(path, signature)


def _copy_code(results: Path, stands: Found) -> None:
    """The user's code that the run depends on, under its name and the beginning of its SHA-256."""
    for code, sha256 in stands.folder.run().codes.values() if stands.folder else ():
        write_bytes(make_folder(results / CODE_FOLDER) / copy_name(code, sha256), content_of(code, sha256))


def _copy_requirements(results: Path, found: Iterable[Found]) -> None:
    """Each list of packages that a row names, and no others."""
    named, place = set[str](), results / REQUIREMENTS
    for one in found:
        named.update(filter(None, str(one.row.get("requirements") or "").split("; ")))
        for text in _requirements(one.folder):
            make_folder(place)
            write_bytes(place / f"{names_of([text])}.txt", text.encode())
    for path in place.glob("*.txt"):
        if path.stem not in named:
            path.unlink()


def _requirements(folder: RunFolder | None) -> Sequence[str]:
    env = folder.env() if folder and folder.result() is not None else None
    return (env or {}).get("requirements") or ()


def _signatures(manifest: Path) -> list[Path]:
    return [manifest.with_name(manifest.name + suffix) for suffix in SIGNATURES]


def _is_of(content: bytes, stands: Found) -> bool:
    """Whether a manifest is of that result."""
    try:
        values: Any = json.loads(content)
    except (ValueError, RecursionError):
        return False
    wanted = {"run": stands.row["id"], **{name: stands.row.get(name) for name in ("weights_sha256", "ended")}}
    return stands.done and isinstance(values, dict) and wanted.items() <= values.items()


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
