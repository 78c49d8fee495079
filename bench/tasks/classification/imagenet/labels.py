"""The classes of ImageNet's flat validation set, whose files do not say them: from any of the lists that go round."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from bench.data.locate import DEVKIT_TAR, DataError

GROUND_TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
KIT = "ILSVRC2012_devkit_t12/data"
LINES = ("val_labels.txt", "imagenet_2012_validation_synset_labels.txt")
NAMED = ("val_annotations.txt", "LOC_val_solution.csv")


def of_files(folder: Path, files: Sequence[str]) -> dict[str, str]:
    """The wnid of each of `files` (sorted by name), from the first list found in `folder` or its val/.

    One wnid a line in the files' order (val_labels.txt, imagenet_2012_validation_synset_labels.txt); file and wnid a
    line (val_annotations.txt of Tiny-ImageNet, LOC_val_solution.csv of Kaggle); or the development kit, packed or not.
    Raises DataError where there is none, or where it does not fit the files.
    """
    for home in (folder, folder / "val"):
        for name in LINES:
            if (home / name).is_file():
                return _in_order(home / name, (home / name).read_text().split(), files)
        for name in NAMED:
            if (home / name).is_file():
                return _by_name(home / name, files)
    for home in (folder, folder / KIT):
        if (home / GROUND_TRUTH).is_file():
            kit = home / GROUND_TRUTH
            return _in_order(kit, _of_kit(kit, kit.read_text(), _bytes_of(home / META)), files)
    if (folder / DEVKIT_TAR).is_file():
        return _in_order(folder / DEVKIT_TAR, _of_packed_kit(folder / DEVKIT_TAR), files)
    raise DataError(
        f"{folder}: {len(files):,} validation pictures in one folder, and no list of their classes. Put one of "
        f"{', '.join((*LINES, *NAMED, DEVKIT_TAR))} beside them, or sort them into val/<wnid>/"
    )


def _in_order(source: Path, wnids: Sequence[str], files: Sequence[str]) -> dict[str, str]:
    if len(wnids) != len(files):
        raise DataError(f"{source}: {len(wnids):,} labels for {len(files):,} pictures. One of the two is incomplete")
    odd = [wnid for wnid in wnids if not (wnid.startswith("n") and wnid[1:].isdigit())]
    if odd:
        raise DataError(f"{source}: {odd[0]!r} is no wnid, such as n01440764")
    return dict(zip(files, wnids, strict=True))


def _by_name(source: Path, files: Sequence[str]) -> dict[str, str]:
    delimiter = "," if source.suffix == ".csv" else "\t"
    rows = [row for row in csv.reader(io.StringIO(source.read_text()), delimiter=delimiter) if len(row) > 1]
    known = {Path(row[0]).stem: row[1].split()[0] for row in rows if row[1].split()}
    missing = [file for file in files if Path(file).stem not in known]
    if missing:
        raise DataError(f"{source}: {len(missing):,} of {len(files):,} pictures have no label, such as {missing[0]}")
    return _in_order(source, [known[Path(file).stem] for file in files], files)


def _bytes_of(path: Path) -> bytes:
    if not path.is_file():
        raise DataError(f"{path} is missing: without it the numbers of {GROUND_TRUTH} mean nothing")
    return path.read_bytes()


def _of_packed_kit(tar: Path) -> list[str]:
    try:
        with tarfile.open(tar) as kit:
            parts = [kit.extractfile(f"{KIT}/{name}") for name in (GROUND_TRUTH, META)]
            truth, meta = (part.read() for part in parts if part is not None)
    except (tarfile.TarError, OSError, EOFError, KeyError, ValueError) as error:
        raise DataError(f"{tar}: {error}. The development kit is damaged: get it again") from None
    return _of_kit(tar, truth.decode(), meta)


def _of_kit(source: Path, truth: str, meta: bytes) -> list[str]:
    """The kit numbers its synsets (ILSVRC2012_ID); those with children are no classes."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        wnids = {int(s["ILSVRC2012_ID"]): str(s["WNID"]) for s in synsets if not int(s["num_children"])}
        return [wnids[int(number)] for number in truth.split()]
    except (ValueError, KeyError, TypeError, IndexError, NotImplementedError, MatReadError) as error:
        raise DataError(f"{source}: the labels or {META} cannot be read ({error!r}). Get the kit again") from None
