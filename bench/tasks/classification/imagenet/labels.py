"""The classes of ImageNet's flat validation set, from any of the lists in circulation."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from bench.data.listing import first_line, read_list, same_form
from bench.data.locate import DEVKIT_TAR, DataError

GROUND_TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
KIT = "ILSVRC2012_devkit_t12/data"
LINES = ("val_labels.txt", "imagenet_2012_validation_synset_labels.txt")  # a wnid a line, in the files' order
LARGEST, SECONDS = 2**24, 120  # bytes of a file of the kit; for reading it
SCIPY = """
import io, json, resource, sys
most = resource.getrlimit(resource.RLIMIT_AS)[1]
resource.setrlimit(resource.RLIMIT_AS, (2**33 if most < 0 else min(most, 2**33), most))
from scipy.io import loadmat
synsets = loadmat(io.BytesIO(sys.stdin.buffer.read()), squeeze_me=True)["synsets"]
rows = [(int(s["ILSVRC2012_ID"]), str(s["WNID"])) for s in synsets if not int(s["num_children"])]
print(json.dumps(rows))
"""
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
    odd = [wnid for wnid in wnids if not re.fullmatch("n[0-9]{8}", wnid)]
    if odd:
        raise DataError(f"{source}: {odd[0]!r} is no wnid, such as n01440764")
    return dict(zip(files, wnids, strict=True))


def _lines(path: Path, _: Sequence[str]) -> list[str]:
    return [line for _, line in read_list(path)]


def _table(path: Path, files: Sequence[str]) -> list[str]:
    delimiter = "," if path.suffix == ".csv" else "\t"
    known: dict[str, str] = {}
    for where, line in read_list(path):
        file, _, rest = line.partition(delimiter)
        wnid = (rest.split() or [""])[0].strip('"')
        if known.setdefault(_key(file), wnid) != wnid:
            raise DataError(f"{where}: {file} is {wnid} here and {known[_key(file)]} above: get the list again")
    missing = [file for file in files if not known.get(_key(file))]
    if missing:
        raise DataError(f"{path}: {len(missing):,} of {len(files):,} images have no label, such as {missing[0]}")
    return [known[_key(file)] for file in files]


def _key(file: str) -> str:
    """A file in a list with or without its ending, in any Unicode form."""
    return same_form(Path(file.strip('"')).stem)


def _kit(path: Path, _: Sequence[str]) -> list[str]:
    if not (meta := path.with_name(META)).is_file():
        raise DataError(f"{meta} is missing: without it the numbers of {GROUND_TRUTH} mean nothing")
    try:
        return _wnids(path, *(_of_kit(file.open("rb")) for file in (path, meta)))
    except OSError as error:
        raise DataError(f"{path} or {META} cannot be read ({error.strerror}): get the kit again") from None


def _packed_kit(tar: Path, _: Sequence[str]) -> list[str]:
    try:
        with tarfile.open(tar) as kit:
            parts = [kit.extractfile(f"{KIT}/{name}") for name in (GROUND_TRUTH, META)]
            truth, meta = (_of_kit(part) for part in parts if part is not None)
    except Exception as error:  # a damaged archive raises whatever its bytes happen to say
        raise DataError(f"{tar}: {first_line(error)}. The development kit is damaged: get it again") from None
    return _wnids(tar, truth, meta)


def _of_kit(file: IO[bytes]) -> bytes:
    with file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(errno.EFBIG, f"more than {LARGEST:,} bytes, which no such kit has")
    return content


def _wnids(source: Path, truth: bytes, meta: bytes) -> list[str]:
    """The kit numbers its synsets (ILSVRC2012_ID); those with children are no classes."""
    try:
        classes = _classes(meta)
        wnids = dict(classes)
        if not len(classes) == len(wnids) == len(set(wnids.values())):
            raise ValueError("a number or a wnid is there twice")
        return [wnids[int(number)] for number in truth.decode("utf-8-sig").split()]
    except Exception as error:  # a damaged file raises whatever its bytes happen to say
        raise DataError(
            f"{source}: the labels or {META} cannot be read ({first_line(error)}). Get the kit again"
        ) from None


def _classes(meta: bytes) -> list[tuple[int, str]]:
    """Number and wnid of each class of meta.mat, by scipy in a process of its own: some damaged files end it."""
    # of many threads the stacks and buffers alone would reach the limit
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", SCIPY], input=meta, env=env, capture_output=True, timeout=SECONDS)
    if done.returncode:
        raise ValueError("scipy cannot read it")
    return [(int(number), str(wnid)) for number, wnid in json.loads(done.stdout)]
