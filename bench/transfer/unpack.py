"""`python -m bench unpack`: what has arrived is verified as a whole, then each run takes its place.

A run that is not here yet comes as one folder by one rename. Where it is here already, it stays unless the arriving one
is further on: done, or at a later step. Then the arriving files replace those of the same names, the result last, as a
worker writes them. A checkpoint that the arriving one does not continue is kept beside it. What is done is never
replaced, and what is being trained is left alone. The registers of starts of other machines lie beside the own one.
"""

from __future__ import annotations

import errno
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from bench.store import BusyError, RunFolder, StoreError, exclusive, make_folder, register, write_bytes
from bench.store.contents import TESTS
from bench.transfer import archive
from bench.transfer.archive import Parcel
from bench.transfer.contents import CHECKPOINT, RESULT, check, continues, parcel_of
from bench.transfer.pack import archives_in, words


class _RefusedError(Exception):
    """An arriving run that does not take the place of the one that is here; says why."""


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A verified run, staged on the file system of the runs."""

    parcel: Parcel
    staged: RunFolder


def unpack(archives: Sequence[Path], runs: Path, say: Callable[[str], object]) -> bool:
    """Places the runs of the archives, or of those in a folder, below `runs`; says the outcome of each in a line.

    Returns False where a run that is further on, or another result, found its place taken. Raises StoreError, before
    anything is placed, where an archive or a run in it is damaged.
    """
    paths = [path for given in archives for path in _archives(given)]
    make_folder(runs)
    with tempfile.TemporaryDirectory(prefix=".arriving-", dir=runs) as place:
        arrived = [one for number, path in enumerate(paths) for one in _stage(path, Path(place, str(number)))]
        registers = [item for path in paths for item in archive.registers(path).items()]
        kept = [_keep_register(runs / name, content, say) for name, content in registers]
        taken = [_say_place(one, RunFolder(runs / one.parcel.name), say) for one in arrived]
    return all(taken) and all(kept)


def _keep_register(place: Path, content: bytes, say: Callable[[str], object]) -> bool:
    """Lays another machine's register beside the runs, or adds its new lines; False where its lines here are others."""
    with exclusive(make_folder(place.parent)):
        own = place.with_name(register.NAME)
        back = own.exists() and register.extends(own.read_bytes(), content)
        if back or register.keep(place, content):
            return True
    say(
        f"{place}: left as it is here: the register that arrives does not begin with its lines, so one of them was "
        "rewritten, or two copies of one folder went on by themselves"
    )
    return False


def _archives(given: Path) -> list[Path]:
    """The file, or a folder's archives. Raises StoreError where it has none."""
    found = archives_in(given) if given.is_dir() else [given]
    if not found:
        raise StoreError(f"{given} has no archive runs-N.tar; give files or folders that bench pack has written")
    return found


def _stage(path: Path, place: Path) -> Iterable[_Arrived]:
    """The runs of an archive, in folders of their own. Raises StoreError where one is not what it is said to be."""
    for parcel in archive.read(path):
        try:
            check(parcel)
        except (StoreError, *archive.DAMAGE) as error:
            raise archive.unusable(path, error) from None
        staged = RunFolder(make_folder(place / parcel.name))
        for name, content in parcel.files.items():
            write_bytes(staged.path / name, content)
        if (staged.result() is not None) != (parcel.state == "done"):
            raise archive.unusable(path, staged.damage() or f"{parcel.name} is not {parcel.state}")
        staged.beat(parcel.step, ended=True)  # no sign of life: `status` shows the step
        yield _Arrived(parcel, staged)


def _say_place(arrived: _Arrived, local: RunFolder, say: Callable[[str], object]) -> bool:
    name = arrived.parcel.name
    try:
        say(f"{name}: {_place(arrived, local)}")
    except (_RefusedError, BusyError, StoreError) as error:
        say(f"{name}: left as it is here: {error}")
        return False
    return True


def _place(arrived: _Arrived, local: RunFolder) -> str:
    """Brings the run to its place; says what was done. Raises _RefusedError, BusyError or StoreError."""
    make_folder(local.path.parent)
    try:
        arrived.staged.path.rename(local.path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return _merge(arrived, local)
    return f"placed, {words(arrived.parcel)}"


def _merge(arrived: _Arrived, local: RunFolder) -> str:
    """Where there is a folder already. Raises _RefusedError, BusyError or StoreError."""
    parcel = arrived.parcel
    local.run()  # a folder whose run cannot be read is for a person to look at
    with local.lock():
        if (result := local.result()) is not None:
            return _beside_done(arrived, local, str(result["weights_sha256"]))
        here = _here(local)
        if here.rank >= parcel.rank:
            return f"kept as it is here, {words(here)}; what arrives is {words(parcel)}"
        aside = _set_aside(parcel, local)
        if aside and register.last_event(local.path.parent, parcel.id) == "started":
            local.register("given up", reason="a run that began elsewhere and is further on took its place")
        if "error.json" not in parcel.files:
            local.clear_error()
        local.forget_start()
        for name in parcel.files:
            (arrived.staged.path / name).replace(local.path / name)
        local.beat(parcel.step, ended=True)
    return f"further on than here, {words(parcel)}; here it was {words(here)}{aside}"


def _beside_done(arrived: _Arrived, local: RunFolder, weights: str) -> str:
    """Adds weights and further tests that a done run lacks. Raises _RefusedError where another result arrives."""
    files = arrived.parcel.files
    if RESULT in files and json.loads(files[RESULT])["weights_sha256"] != weights:
        raise _RefusedError(
            "it is done with other weights than those that arrive; unpack with another --out, and `bench report` "
            "keeps both"
        )
    what = {CHECKPOINT: "its weights", **{name: "further tests" for name in files if fnmatchcase(name, TESTS)}}
    lacking = [name for name in what if RESULT in files and name in files and not (local.path / name).exists()]
    for name in lacking:
        (arrived.staged.path / name).replace(local.path / name)
    if not lacking:
        return "kept as it is here, done"
    return f"done here; {' and '.join(dict.fromkeys(what[name] for name in lacking))} have been added"


def _here(local: RunFolder) -> Parcel:
    """The run as it is here; one whose checkpoint is damaged is at step 0."""
    try:
        return parcel_of(local)
    except StoreError:
        return Parcel(local.path.parent.name, local.path.name, "pending", 0, {})


def _set_aside(parcel: Parcel, local: RunFolder) -> str:
    """Moves a checkpoint away that the arriving one does not continue; the words for it."""
    if not local.checkpoint.exists() or continues(parcel, local.checkpoint.read_bytes()):
        return ""
    aside = local.checkpoint.with_name(f"{CHECKPOINT}.before-{time.time_ns()}")
    local.checkpoint.replace(aside)
    return f", its checkpoint is kept as {aside.name}"
