"""Folders of faces: one folder a person to train on, and the pictures of lists of pairs (`pair_lists`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from bench.data.locate import DataError, notice
from bench.spec import counted
from bench.tasks.verification.images import LFW_REGION, MEMORY, SIDE, Files, OnDisk, Region, held
from bench.tasks.verification.pair_lists import Pair, lfw_pairs, lfw_people, lfw_person
from bench.tasks.verification.people import Pairs, People, make_pairs, make_people

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".pgm", ".ppm", ".webp")


def load_people(
    folder: Path,
    names: Sequence[str] | None = None,
    *,
    at_least: int = 2,
    side: int = SIDE,
    region: Region | None = None,
    memory: int = MEMORY,
) -> People:
    """A folder of identities, one folder of pictures a person, sorted by name.

    names: the people to take, None for all; those without a folder are counted as absent.
    at_least: people with fewer pictures are left out and counted, as the field's training sets are cleaned: one
    picture teaches a margin nothing about how a face varies. side, region: see bench.tasks.verification.images.decode.
    Raises DataError where nobody is left, or at a picture that cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. Name the folder that holds one folder of pictures a person")
    wanted = sorted(p.name for p in folder.iterdir() if p.is_dir()) if names is None else sorted(set(names))
    found = {name: _pictures(folder / name) for name in wanted}
    absent = sum(not paths for paths in found.values()) if names is not None else 0
    kept = {name: paths for name, paths in found.items() if len(paths) >= max(1, at_least)}
    if len(kept) < 2:
        raise DataError(
            f"{folder}: {len(kept)} of {len(wanted):,} people have {at_least} pictures or more, where at least two "
            "must: name another folder, or ask for fewer pictures a person"
        )
    few = sum(bool(paths) for paths in found.values()) - len(kept)
    paths = [path for own in kept.values() for path in own]
    y = torch.tensor([who for who, own in enumerate(kept.values()) for _ in own])
    x = held(Files(paths), side=side, region=region, memory=memory)
    return make_people(x, y, kept, few=few, absent=absent, notice=notice(folder))


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def load_pairs(
    folder: Path,
    pairs: Sequence[Pair],
    *,
    person: Callable[[str], str] | None = None,
    side: int = SIDE,
    region: Region | None = None,
) -> Pairs:
    """The pictures of `pairs` below `folder`, in memory, each once.

    person: whose picture a path is (lfw_person), None where paths do not tell. side, region: see
    bench.tasks.verification.images.decode. Raises DataError naming the pairs whose files are missing.
    """
    number: dict[str, int] = {}
    for pair in pairs:
        for path in (pair.left, pair.right):
            number.setdefault(path, len(number))
    files = {path: _file(folder / path) for path in number}
    missing = [f"{p.line}: {q}" for p in pairs for q in (p.left, p.right) if files[q] is None]
    if missing or not pairs:
        found = (
            f"{counted(len(missing), 'file')} of the pairs missing: {'; '.join(missing[:3])}" if missing else "no pairs"
        )
        raise DataError(f"{folder}: {found}. Get the whole data set, or the list that goes with it")
    x = OnDisk(Files([path for path in files.values() if path]), side, region).in_memory()
    left, right = (torch.tensor([number[getattr(p, end)] for p in pairs]) for end in ("left", "right"))
    same, fold = torch.tensor([p.same for p in pairs]), torch.tensor([p.fold for p in pairs])
    names = {person(path) for path in number} - {""} if person else ()
    return make_pairs(x, left, right, same, fold, names, notice(folder))


def _file(path: Path) -> Path | None:
    """The picture at `path`, with any suffix where the list gives none (aligned copies of LFW are often PNG)."""
    if path.suffix.lower() in SUFFIXES:
        return path if path.is_file() else None
    return next(filter(Path.is_file, (path.with_name(path.name + suffix) for suffix in SUFFIXES)), None)


def lfw_view1(folder: Path, side: int) -> tuple[People, Pairs]:
    """LFW's View 1: its training people with ten images or more, and its test pairs. Raises DataError."""
    trained = lfw_people(folder / "peopleDevTrain.txt")
    people = load_people(folder, trained, at_least=10, side=side, region=LFW_REGION)
    listed = lfw_pairs(folder / "pairsDevTest.txt")
    return people, load_pairs(folder, listed, person=lfw_person, side=side, region=LFW_REGION)
