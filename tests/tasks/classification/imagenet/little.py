"""ImageNet with three classes and images of a hundred pixels, in each of its layouts."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.tasks.classification.imagenet.files import ImageSet

WNIDS = ("n01440764", "n01443537", "n01484850")
TRUTH = (2, 0, 1, 1, 0, 2)  # classes of the validation images, in the order of their names
VAL = tuple(f"ILSVRC2012_val_{k:08}.JPEG" for k in range(1, 7))


def jpeg(seed: int, size: tuple[int, int] = (60, 48), mode: str = "RGB", form: str = "JPEG", **options: Any) -> bytes:
    """A smooth image of `size` (width, height) from a seed, coded."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    out = io.BytesIO()
    small.resize(size, Image.Resampling.BICUBIC).convert(mode).save(out, form, **options)
    return out.getvalue()


def train_files() -> dict[str, bytes]:
    """`<wnid>/<file>` and bytes of the training images: four of each class, each of a size of its own."""
    return {
        f"{wnid}/{wnid}_{k}.JPEG": jpeg(10 * c + k, (50 + 7 * k, 48 + 3 * c))
        for c, wnid in enumerate(WNIDS)
        for k in range(4)
    }


def val_files() -> dict[str, bytes]:
    """File and bytes of the validation images."""
    return {file: jpeg(100 + k) for k, file in enumerate(VAL)}


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Writes `files` below `folder`."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def folders(root: Path) -> Path:
    """train/<wnid>/ and val/<wnid>/ below root/imagenet."""
    write(root / "imagenet" / "train", train_files())
    write(
        root / "imagenet" / "val", {f"{WNIDS[c]}/{f}": d for c, (f, d) in zip(TRUTH, val_files().items(), strict=True)}
    )
    return root / "imagenet"


def flat(root: Path) -> Path:
    """train/<wnid>/ and a flat val/, without a list of labels."""
    write(root / "imagenet" / "train", train_files())
    write(root / "imagenet" / "val", val_files())
    return root / "imagenet"


def tars(root: Path) -> Path:
    """The two official tar files below root/ILSVRC2012, without the development kit."""
    folder = root / "ILSVRC2012"
    folder.mkdir(parents=True)
    inner: dict[str, bytes] = {}
    for wnid in reversed(WNIDS):
        of_class = {name.split("/")[1]: data for name, data in train_files().items() if name.startswith(wnid)}
        inner[f"{wnid}.tar"] = tar(of_class)
    (folder / "ILSVRC2012_img_train.tar").write_bytes(tar(inner))
    (folder / "ILSVRC2012_img_val.tar").write_bytes(tar(val_files()))
    return folder


def tar(files: dict[str, bytes], mode: str = "w") -> bytes:
    """A tar file of `files`; mode "w:gz" packs it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]  # a mode of several
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def kit(*, compressed: bool = False) -> dict[str, bytes]:
    """The two files of the development kit that say the labels; its numbers are not the order of the wnids."""
    from scipy.io import savemat

    numbers = {wnid: number for number, wnid in zip((3, 1, 2), WNIDS, strict=True)}
    rows = [(number, wnid, "words", 0) for wnid, number in sorted(numbers.items(), key=lambda item: item[1])]
    rows.append((4, "n00001740", "entity", 3))
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    meta = io.BytesIO()
    savemat(meta, {"synsets": np.array(rows, dtype=kind)[:, None]}, do_compression=compressed)
    truth = "".join(f"{numbers[WNIDS[c]]}\n" for c in TRUTH).encode()
    return {"ILSVRC2012_validation_ground_truth.txt": truth, "meta.mat": meta.getvalue()}


LINES = "".join(f"{WNIDS[c]}\n" for c in TRUTH)
CSV = "ImageId,PredictionString\n" + "".join(
    f"{file.removesuffix('.JPEG')},{WNIDS[c]} 1 2 3 4\n" for file, c in reversed(list(zip(VAL, TRUTH, strict=True)))
)
ANNOTATIONS = "".join(f"{file}\t{WNIDS[c]}\t0\t0\t62\t62\n" for file, c in zip(VAL, TRUTH, strict=True))
KIT = "ILSVRC2012_devkit_t12/data"
LISTS: dict[str, Callable[[], dict[str, bytes]]] = {
    "lines": lambda: {"val_labels.txt": LINES.encode()},
    "lines in val": lambda: {"val/imagenet_2012_validation_synset_labels.txt": LINES.encode()},
    "annotations": lambda: {"val/val_annotations.txt": ANNOTATIONS.encode()},
    "csv": lambda: {"LOC_val_solution.csv": CSV.encode()},
    "kit": kit,
    "compressed kit": lambda: kit(compressed=True),
    "kit's folder": lambda: {f"{KIT}/{name}": data for name, data in kit().items()},
    "packed kit": lambda: {"ILSVRC2012_devkit_t12.tar.gz": tar({f"{KIT}/{n}": d for n, d in kit().items()}, "w:gz")},
}


def content(found: ImageSet) -> dict[str, tuple[bytes, int]]:
    return {
        part.name(i): (part.read(i), int(part.labels[i])) for part in (found.train, found.val) for i in range(len(part))
    }


JUNK = b"\0\5\x16\7"  # how a Mac's ._ files begin
