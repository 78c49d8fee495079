"""The classes of ImageNet's flat validation set, from any of the lists in circulation."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.data.locate import DEVKIT_TAR, DataError

GROUND_TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
KIT = "ILSVRC2012_devkit_t12/data"
LINES = ("val_labels.txt", "imagenet_2012_validation_synset_labels.txt")  # a wnid a line, in the files' order
TABLES = ("val_annotations.txt", "LOC_val_solution.csv")  # file and wnid a line: Tiny-ImageNet's, Kaggle's


def of_files(folder: Path, files: Sequence[str]) -> dict[str, str]:
    """The wnid of each of `files` (sorted by name), from the first list found in `folder` or its val/.

    That is one of LINES or of TABLES, or the development kit, packed or not. Raises DataError where there is none, or
    where it does not fit the files.
    """
    lists: list[tuple[Path, Callable[[Path, Sequence[str]], list[str]]]] = [
        (home / name, read)
        for home in (folder, folder / "val")
        for read, names in ((_lines, LINES), (_table, TABLES))
        for name in names
    ]
    lists += [(folder / GROUND_TRUTH, _kit), (folder / KIT / GROUND_TRUTH, _kit), (folder / DEVKIT_TAR, _packed_kit)]
    for path, read in lists:
        if path.is_file():
            return _checked(path, read(path, files), files)
    raise DataError(
        f"{folder}: {len(files):,} validation images in one folder, and no list of their classes. Put one of "
        f"{', '.join((*LINES, *TABLES, DEVKIT_TAR))} beside them, or sort them into val/<wnid>/"
    )


def _checked(source: Path, wnids: Sequence[str], files: Sequence[str]) -> dict[str, str]:
    if len(wnids) != len(files):
        raise DataError(f"{source}: {len(wnids):,} labels for {len(files):,} images. One of the two is incomplete")
    odd = [wnid for wnid in wnids if not (wnid.startswith("n") and wnid[1:].isdigit())]
    if odd:
        raise DataError(f"{source}: {odd[0]!r} is no wnid, such as n01440764")
    return dict(zip(files, wnids, strict=True))


def _lines(path: Path, _: Sequence[str]) -> list[str]:
    return path.read_text().split()


def _table(path: Path, files: Sequence[str]) -> list[str]:
    delimiter = "," if path.suffix == ".csv" else "\t"
    rows = [row for row in csv.reader(io.StringIO(path.read_text()), delimiter=delimiter) if len(row) > 1]
    known = {Path(row[0]).stem: row[1].split()[0] for row in rows if row[1].split()}
    missing = [file for file in files if Path(file).stem not in known]
    if missing:
        raise DataError(f"{path}: {len(missing):,} of {len(files):,} images have no label, such as {missing[0]}")
    return [known[Path(file).stem] for file in files]


def _kit(path: Path, _: Sequence[str]) -> list[str]:
    if not (meta := path.with_name(META)).is_file():
        raise DataError(f"{meta} is missing: without it the numbers of {GROUND_TRUTH} mean nothing")
    return _wnids(path, path.read_bytes(), meta.read_bytes())


def _packed_kit(tar: Path, _: Sequence[str]) -> list[str]:
    try:
        with tarfile.open(tar) as kit:
            parts = [kit.extractfile(f"{KIT}/{name}") for name in (GROUND_TRUTH, META)]
            truth, meta = (part.read() for part in parts if part is not None)
    except (tarfile.TarError, OSError, EOFError, KeyError, ValueError) as error:
        raise DataError(f"{tar}: {error}. The development kit is damaged: get it again") from None
    return _wnids(tar, truth, meta)


def _wnids(source: Path, truth: bytes, meta: bytes) -> list[str]:
    """The kit numbers its synsets (ILSVRC2012_ID); those with children are no classes."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        wnids = {int(s["ILSVRC2012_ID"]): str(s["WNID"]) for s in synsets if not int(s["num_children"])}
        return [wnids[int(number)] for number in truth.split()]
    except (ValueError, KeyError, TypeError, IndexError, NotImplementedError, MatReadError) as error:
        raise DataError(f"{source}: the labels or {META} cannot be read ({error!r}). Get the kit again") from None
