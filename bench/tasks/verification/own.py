"""A user's own faces: a folder of images for each person, some people to train on and pairs of others to test.

NAME/train/ and NAME/test/ hold the people where both are there, else NAME itself; NAME/pairs.txt lists the pairs, else
they are drawn (bench.tasks.verification.drawn). Images are taken whole, upright, stretched to a square.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch

from bench.data.images import ENDINGS, UPRIGHT, opened, orientation, upright
from bench.data.listing import by_form, entries_in, files_in, folders_in, same_form
from bench.data.locate import DataError, notice
from bench.spec import counted
from bench.tasks.verification.drawn import FOLDS, SEED, SHARE, FilePair, divided, drawn
from bench.tasks.verification.images import THREADS, WHOLE, file_bytes, of_files
from bench.tasks.verification.lfw import images_of, lfw_view2, listed_view2
from bench.tasks.verification.lists import Files, files_of, listed_pairs, natural
from bench.tasks.verification.people import Pairs, People, pairs_of_files

LISTED = "pairs.txt"
TREE = "a folder for each person, NAME/<person>/1.jpg, or NAME/train/<person>/1.jpg and NAME/test/<person>/1.jpg"


class _Seen(NamedTuple):
    """What a look at an image file tells. shape: its width over its height, upright."""

    sha256: bytes
    shape: float
    turned: bool


Seen = Mapping[Path, _Seen]


def own_faces(folder: Path, side: int) -> tuple[People, Pairs]:
    """The people of `folder` to train on, and pairs of others. Raises DataError."""
    parts = _parts(folder)
    seen = _survey(_all(parts.values()))
    train, pairs, how = _chosen(folder, parts, seen)
    names = dict.fromkeys(_person(path) for pair in pairs for path in pair.files)
    same, fold = [pair.same for pair in pairs], [pair.fold for pair in pairs]
    tested = (
        f"Tested on {sum(same):,} same and as many different pairs of {len(names):,} others, ten folds "
        f"{_of_folds(pairs)}. {how}"
    )
    people = _people(folder, train, side, tested, seen)
    files = [pair.files for pair in pairs]
    return people, pairs_of_files(files, same, fold, map(_named, sorted(names)), side, WHOLE)


def own_on_view2(folder: Path, side: int) -> tuple[People, Pairs]:
    """All people of `folder`, or of its train/, and the pairs of LFW's View 2 in lfw/ beside it. Raises DataError."""
    parts, lfw = _parts(folder), folder.parent / "lfw"
    train = parts.get("train", parts.get("", {}))
    listed = listed_view2(lfw)
    names = sorted({who for pair in listed for who, _ in (pair.left, pair.right)})
    files = files_of(lfw, images_of(lfw, names), listed)
    seen = _survey(_all([train]), {_sha256(file_bytes(path)): path for pair in files for path in pair})
    tested = "Tested on LFW's View 2, its images cut to the faces, where those trained on are whole."
    return _people(folder, _once(train, seen), side, tested, seen), lfw_view2(lfw, side)


def _parts(folder: Path) -> dict[str, Files]:
    """The people's images in train/ and in test/, or of "" where `folder` has neither."""
    here = {path.name: path for path in folders_in(folder) if path.name in ("train", "test")}
    if len(here) == 1:
        raise DataError(f"{folder}: only {next(iter(here))}/ is there, without the other: people are in {TREE}")
    parts = {name: _folders(here[name]) for name in ("train", "test")} if here else {"": _folders(folder)}
    if here and (shared := sorted(parts["train"].keys() & parts["test"].keys())):
        raise DataError(
            f"{folder}: {counted(len(shared), 'name')} in train/ and in test/: {_some(shared)}. Strangers are tested: "
            "put all images of a person into one of the two"
        )
    return parts


def _folders(folder: Path) -> Files:
    homes = by_form(folders_in(folder))
    if not homes:
        found = [entry.name for entry in entries_in(folder)]
        raise DataError(f"{folder}: no folder of a person, but {_some(found) or 'nothing'}; people are in {TREE}")
    people = {name: sorted(files_in(homes[name], ENDINGS), key=natural) for name in sorted(homes)}
    if empty := [name for name, images in people.items() if not images]:
        raise DataError(
            f"{folder}: {len(empty):,} of {counted(len(homes), 'folder')} without an image: {_some(empty)}. Delete "
            f"them, or put images there ({', '.join(ENDINGS)}); people are in {TREE}"
        )
    deeper = [home / sub.name for home in homes.values() for sub in folders_in(home) if files_in(sub, ENDINGS)]
    astray = [path.relative_to(folder).as_posix() for path in (*files_in(folder, ENDINGS), *deeper)]
    if astray:
        raise DataError(
            f"{folder}: images that are directly in no folder of a person: {_some(astray)}. Move them into a person's, "
            f"or take them out; people are in {TREE}"
        )
    return people


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + f" and {len(names) - 3:,} more" * (len(names) > 3)


def _all(parts: Iterable[Files]) -> list[Path]:
    return [path for people in parts for images in people.values() for path in images]


def _survey(paths: Sequence[Path], others: Mapping[bytes, Path] = MappingProxyType({})) -> Seen:
    """A look at every image. others: those of another set, by their digests.

    Raises DataError for one that is no image, and for the same file of two people.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        seen = dict(zip(paths, pool.map(_look, paths), strict=True))
    first = dict(others)
    twice = [(o, path) for path, s in seen.items() if (o := first.setdefault(s.sha256, path)).parent != path.parent]
    if twice:
        one, other = twice[0]
        raise DataError(
            f"{counted(len(twice), 'image')} the same, to the byte, as another person's: {one} is {other}. Find out "
            "whose each is, and delete the other"
        )
    return seen


def _look(path: Path) -> _Seen:
    data = file_bytes(path)
    with opened(data, str(path)) as image:
        width, height = upright(image).size
        return _Seen(_sha256(data), width / height, orientation(image) != UPRIGHT)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _once(people: Files, seen: Seen) -> Files:
    """The people without second copies of an image, to the byte."""
    once: dict[str, dict[bytes, Path]] = {who: {} for who in people}
    for who, images in people.items():
        for path in images:
            once[who].setdefault(seen[path].sha256, path)
    return {who: list(images.values()) for who, images in once.items()}


def _chosen(folder: Path, parts: Mapping[str, Files], seen: Seen) -> tuple[Files, list[FilePair], str]:
    """The people to train on, the pairs of others, and how both came about, as a sentence."""
    home, once = "test" if "test" in parts else "", {name: _once(people, seen) for name, people in parts.items()}
    listed = _listed(folder / LISTED, folder / home, parts[home], seen) if (folder / LISTED).exists() else []
    if home:
        train, test, how = once["train"], once["test"], "train/ and test/ say who is tested"
    elif listed:
        tested = {_person(path) for pair in listed for path in pair.files}
        train, test = {who: images for who, images in once[""].items() if who not in tested}, {}
        how = f"{LISTED} says who is tested"
    else:
        train, test = divided(folder, once[""])
        how = f"Who is tested, one of {SHARE} with two images or more, was drawn from seed {SEED} of the data set"
    by = f"the pairs are those of {LISTED}" if listed else f"the pairs were drawn from seed {SEED}"
    return train, listed or drawn(folder / home, test), f"{how}; {by}."


def _listed(path: Path, folder: Path, people: Files, seen: Seen) -> list[FilePair]:
    """The pairs of a list as ten folds or one, of at least ten of each kind. people: those of `folder`."""
    pairs = listed_pairs(path)
    folds, count = len({pair.fold for pair in pairs}), sum(pair.same for pair in pairs)
    if folds not in (1, FOLDS) or count < FOLDS:
        raise DataError(
            f"{path}: {counted(folds, 'fold')} with {count:,} pairs of each kind in all, where {FOLDS} folds, or one "
            f"that is dealt out into {FOLDS}, and {FOLDS} pairs of each kind or more must be"
        )
    files = files_of(folder, people, pairs)
    for pair, (left, right) in zip(pairs, files, strict=True):
        if seen[left].sha256 == seen[right].sha256:
            raise DataError(f"{pair.line}: {left.name} and {right.name} are the same image, to the byte: take it out")
    return [FilePair(ends, pair.same, pair.fold) for ends, pair in zip(files, pairs, strict=True)]


def _of_folds(pairs: Sequence[FilePair]) -> str:
    """Whether the ten folds share people, and whether a pair is there twice, as the end of a sentence."""
    folds = Counter(who for who, _ in {(_person(path), pair.fold) for pair in pairs for path in pair.files})
    if len({pair.fold for pair in pairs}) == 1:
        words = "that share people, the pairs dealt out in turn"
    elif shared := sum(count > 1 for count in folds.values()):
        words = f"that share {shared:,} of them"
    else:
        words = "of different people"
    twice = len(pairs) - len({frozenset(pair.files) for pair in pairs})
    return words + f", {counted(twice, 'pair')} more than once" * bool(twice)


def _people(folder: Path, people: Files, side: int, tested: str, seen: Seen) -> People:
    """Those who have two images or more, as a training set. tested: what its notice says of the test."""
    kept = {who: images for who, images in people.items() if len(images) > 1}
    if len(kept) < 2:
        raise DataError(
            f"{folder}: {len(kept)} of {len(people)} people to train on have two images or more, where two must: add "
            "images, or people who are in no pair"
        )
    paths = _all([kept])
    y = torch.tensor([who for who, images in enumerate(kept.values()) for _ in images])
    trained = f"Trained on {len(paths):,} images of {len(kept):,} people."
    said = " ".join(filter(None, (notice(folder), trained, tested, *_oddities(list(seen.values())))))
    few = len(people) - len(kept)
    return People(of_files(paths, side, WHOLE).held(), y, tuple(map(_named, kept)), few, said)


def _oddities(own: Sequence[_Seen]) -> Iterator[str]:
    """What a reader should know of all images of the set, a sentence each."""
    shapes = sorted(look.shape for look in own if look.shape != 1)
    if shapes:
        one, other = (f"{shape:.2f}" for shape in (shapes[0], shapes[-1]))
        yield (
            f"Of {len(own):,} images {len(shapes):,} are no squares and were stretched to one; their width over height "
            f"is {one if one == other else f'{one} to {other}: crop them alike, or faces are stretched in many ways'}."
        )
    if turned := sum(look.turned for look in own):
        yield f"Turned upright by their EXIF orientation: {turned:,}."
    if copies := len(own) - len({look.sha256 for look in own}):
        yield f"Second copies of an image, left out of training and of drawn pairs: {copies:,}."


def _person(path: Path) -> str:
    return same_form(path.parent.name)


def _named(person: str) -> str:
    """A name that can be compared within the set: a number is one of its people."""
    return person if any(map(str.isalpha, person)) else f"person {person}"
