"""The lists of ImageNet's validation labels: read as saved by any editor, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.data.locate import DataError
from bench.tasks.classification.imagenet.files import ImageSet, load
from tests.tasks.classification.imagenet import little
from tests.tasks.classification.imagenet.little import CSV, LINES, LISTS, WNIDS

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize("name", LISTS)
def test_a_list_saved_by_a_windows_editor_is_the_same(tmp_path: Path, expected: ImageSet, name: str) -> None:
    lists = LISTS[name]()
    text = {n: b"\xef\xbb\xbf" + d.replace(b"\n", b"\r\n") for n, d in lists.items() if n.endswith((".txt", ".csv"))}
    root = little.flat(tmp_path / "other")
    little.write(root, lists | text)

    assert load(root).digest == expected.digest


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({}, r"6 validation images in one folder, and no list of their classes. Put one of val_labels.txt"),
        ({"val_labels.txt": LINES[10:]}, r"val_labels.txt: 5 labels for 6 images"),
        ({"val_labels.txt": "1\n2\n3\n1\n2\n3\n"}, r"'1' is no wnid, such as n01440764"),
        ({"val_labels.txt": LINES.replace("\n", " tench\n")}, r"'n01484850 tench' is no wnid"),
        ({"val_labels.txt": LINES.replace("n0", "n0\u0660")}, "is no wnid"),
        ({"val_labels.txt": ""}, "val_labels.txt is empty"),
        ({"val_labels.txt": "\udcff"}, "val_labels.txt is not UTF-8"),
        (
            {"LOC_val_solution.csv": CSV + CSV[31:].replace(WNIDS[2], WNIDS[1])},
            r"line 13: .* is n01443537 here and n01484850",
        ),
        ({"val_annotations.txt": '"' * 200_000}, "6 of 6 images have no label"),
        ({"LOC_val_solution.csv": CSV[:-40]}, r"1 of 6 images have no label, such as ILSVRC2012_val_00000001"),
        ({"ILSVRC2012_validation_ground_truth.txt": "1\n" * 6}, r"meta.mat is missing"),
        ({"ILSVRC2012_validation_ground_truth.txt": "1\n" * 6, "meta.mat": "no"}, r"meta.mat cannot be read"),
        ({"ILSVRC2012_devkit_t12.tar.gz": "no"}, r"The development kit is damaged"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, lists: dict[str, str], message: str) -> None:
    root = little.flat(tmp_path)
    little.write(root, {name: text.encode(errors="surrogateescape") for name, text in lists.items()})

    with pytest.raises(DataError, match=message):
        load(root)
