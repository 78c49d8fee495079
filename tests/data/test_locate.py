"""Where data are looked for: also above a folder that is a part of a data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.data.cifar_files import LAYOUTS
from bench.data.locate import HOMES, AbsentError, home, own, own_beside_lfw
from bench.spec import DATASETS, dataset_of

PARTS = {  # by data set: what lies in the data folder, and what is given in the place of that folder
    "cifar10": [(f"{part}/x", part) for part in LAYOUTS["cifar10"].folders],
    "cifar100": [(f"{part}/x", part) for part in LAYOUTS["cifar100"].folders],
    "imagenet": [("imagenet/val/x", "imagenet"), ("ILSVRC2012/train/n1/x", "ILSVRC2012/train")],
    "tiny-imagenet": [("tiny-imagenet-200/train/x", "tiny-imagenet-200")],
    **{
        name: [(f"{place}/{file or 'x'}", str(part)) for part in (Path(place), *Path(place).parents[:-1])]
        for name, (places, file, _) in HOMES.items()
        for place in places
    },
}
CASES = [(name, *case) for name, cases in PARTS.items() for case in cases]


def put(folder: Path, file: str) -> Path:
    (folder / file).parent.mkdir(parents=True)
    (folder / file).touch()
    return folder


def test_every_data_set_that_is_found_on_disk_has_a_case() -> None:
    in_any_folder = {"svhn"}  # its files may lie in the data folder itself: tests/tasks/classification/test_svhn.py
    assert set(PARTS) | in_any_folder == {name for name, row in DATASETS.items() if not row.made_up}


@pytest.mark.parametrize(("name", "file", "part"), CASES)
def test_a_part_of_a_data_set_means_the_folder_above_it_and_that_is_said(
    tmp_path: Path, name: str, file: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, file)

    assert home(DATASETS[name], tmp_path / part) == tmp_path

    title = DATASETS[name].title
    assert capsys.readouterr().out == (
        f"data: {tmp_path / part} is a part of {title}; the folder that holds the data sets is {tmp_path}\n"
    )


@pytest.mark.parametrize(("name", "file", "part"), CASES)
def test_the_folder_that_holds_the_data_sets_is_taken_as_it_is(
    tmp_path: Path, name: str, file: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, file)
    (tmp_path / "empty").mkdir()

    if not part.startswith("ILSVRC2012") and name not in LAYOUTS:  # of CIFAR, files are missing
        assert home(DATASETS[name], tmp_path) == tmp_path
    assert home(DATASETS[name], tmp_path / "empty") == tmp_path / "empty"
    assert capsys.readouterr().out == ""


def test_own_data_are_the_folder_of_their_name_and_lie_above_it_where_that_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, "mine/s1/1.png")

    assert own(tmp_path, "faces:mine") == tmp_path / "mine"
    assert home(dataset_of("faces:mine"), tmp_path / "mine") == tmp_path
    assert "is a part of mine; the folder that holds the data sets is" in capsys.readouterr().out
    with pytest.raises(AbsentError, match="no folder other there, which data 'faces:other' is .*; there are: mine"):
        own(tmp_path, "faces:other")
    for name in "abcdefgh":
        put(tmp_path, f"{name}/1.png")
    with pytest.raises(AbsentError, match="there are: mine, a, b, c, d, e, f, g, …"):  # what may be meant comes first
        own(tmp_path, "folder:mien")
    with pytest.raises(AbsentError, match=r"no lfw/pairs.txt there, the list of View 2. Get it and LFW's images"):
        own_beside_lfw(tmp_path, "lfw-view2:mine")
    put(tmp_path, "lfw/pairs.txt")
    assert own_beside_lfw(tmp_path, "lfw-view2:mine") == tmp_path / "mine"
