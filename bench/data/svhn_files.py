"""The two official files of SVHN (Netzer et al. 2011), which torchvision downloads and whose MD5 it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.data.cifar_files import download
from bench.data.locate import AbsentError, DataError

ADDRESS = "http://ufldl.stanford.edu/housenumbers"
FILES = ("train_32x32.mat", "test_32x32.mat")


def locate(folder: Path, _: str) -> Path:
    """The folder of SVHN's files: `svhn` of the data folder, or that itself. Raises DataError where one is missing."""
    for place in (folder / "svhn", folder):
        missing = [name for name in FILES if not (place / name).is_file()]
        if not missing:
            return place
        if len(missing) < len(FILES):
            raise DataError(f"{place}: {missing[0]} is missing. Get it from {ADDRESS}/{missing[0]}")
    raise AbsentError(f"SVHN ({', '.join(FILES)}) is not in {folder / 'svhn'}", ("svhn",))


def check(found: Path) -> None:
    """Checks the MD5 of both files, as torchvision knows them. Raises DataError naming the bad file."""
    from torchvision.datasets.utils import check_integrity

    known = [_torchvision().split_list[part][1:] for part in ("train", "test")]
    if bad := [name for name, md5 in known if not check_integrity(str(found / name), md5)]:
        raise DataError(
            f"{found}: {', '.join(bad)} truncated or changed (MD5). Get it again from {ADDRESS}, or remove the files "
            "to have them downloaded"
        )


def fetch(folder: Path, _: str) -> Path:
    """Downloads both files into `svhn` through torchvision; MD5-checked. Raises DataError where they cannot be had."""
    home = folder / "svhn"

    def get() -> None:
        for part in ("train", "test"):
            _torchvision()(str(home), split=part, download=True)

    by_hand = f"Get {' and '.join(FILES)} from there into {home}, or name the folder that holds svhn/"
    download("SVHN", home, ADDRESS, get, f"{by_hand} with --data or BENCH_DATA")
    return home


def _torchvision() -> Any:
    from torchvision import datasets

    return datasets.SVHN
