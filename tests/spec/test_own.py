"""Code of the user's own: what may be declared, what is refused, and that a run knows its code by the digest alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.spec import Claim, Detection, Net, Recipe, Run, Scale, SpecError, Sweep, own_task, run_from_json
from bench.spec.own import OwnCodeError, beside, content_of, keep, keep_file, load
from bench.store import RunFolder

CODE = "def build(depth, classes, width=1):\n    return depth, classes, width\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_nets.py").write_text(CODE)


def own(**more: object) -> Net:
    return Net.own("my_nets.py:build", **{"depth": 20, "name": "gated", **more})  # type: ignore[arg-type]


def test_a_run_is_another_when_the_code_is() -> None:
    first, run = own(), Run("quick", own(), "cifar10", Recipe(), 0)
    Path("my_nets.py").write_text(CODE + "# changed\n")
    changed = own()

    assert first.name == changed.name == "gated-20"
    assert replace(run, net=changed).id != run.id
    assert run_from_json(str(run.as_json()).replace("'", '"').replace("None", "null").replace("False", "false")) == run
    assert load(first.build, first.build_sha256)(20, 10) == (20, 10, 1), "the code that was declared"
    assert content_of(changed.build, changed.build_sha256).endswith(b"# changed\n")


def test_options_are_in_the_id_and_given_to_build() -> None:
    wide = own(width=2, name="wide")

    assert wide.arguments == {"width": 2}
    assert wide.options == '{"width":2}'
    assert wide != own(name="wide")


def test_a_net_without_batch_norm_and_from_weights_is_named_so() -> None:
    assert own(norm="none").name == "gated-20-nobn"
    assert own(weights="file:mine.pth").name == "gated-20-file.mine.pth"
    assert not own().plain


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "my_net.py:build",
            "there is no file my_net.py beside the sweep file or here; there are: broken.py, my_nets.py",
        ),
        ("my_nets.py", "'my_nets.py' must be FILE.py:NAME, such as 'my_nets.py:build'"),
        ("my_nets.py:bild", "my_nets.py defines no bild; did you mean my_nets.py:build?"),
        ("broken.py:build", "broken.py, line 1: no Python:"),
        ("split.py:build", "split.py, line 1: it imports my_nets from its own folder, whose changes no run's id would"),
        ("relative.py:build", "relative.py, line 1: it imports my_nets from its own folder"),
    ],
)
def test_code_that_cannot_be_meant_is_refused(code: str, words: str) -> None:
    Path("broken.py").write_text("def build(:\n")
    Path("split.py").write_text("import my_nets\nbuild = my_nets.build\n")
    Path("relative.py").write_text("from .my_nets import build\n")

    with pytest.raises(OwnCodeError) as refused:
        Net.own(code, depth=20, name="gated")

    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": "plain"}, "name 'plain' is that of nets of this suite: take another"),
        ({"name": "two-words"}, "name 'two-words' must begin with a small letter and be of letters and digits"),
        ({"depth": 0}, "depth 0 is not one of: 1 or more"),
        ({"depth": "20"}, "depth must be a whole number"),
        ({"sizes": [1, 2]}, "options must be texts, finite numbers, True or False, got sizes=[1, 2]"),
        ({"scale": float("nan")}, "options must be texts, finite numbers, True or False, got scale=nan"),
        ({"classes": 10}, "classes cannot be an option: the data set says how many classes build is to make"),
        ({"norm": "layer"}, "norm 'layer' is not one of: bn, none"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(more: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError) as refused:
        own(**more)

    assert words in str(refused.value)


def test_fields_of_own_nets_are_of_no_other() -> None:
    with pytest.raises(SpecError, match="build, label: of nets of one's own alone: write Net.own"):
        Net("cifar", 20, "A", build="my_nets.py:build", label="gated")


def test_the_code_lies_beside_the_sweep_file(tmp_path: Path) -> None:
    other = tmp_path / "study"
    other.mkdir()
    (other / "my_nets.py").write_text(CODE + "# beside\n")

    with beside(other):
        assert content_of("my_nets.py:build", own().build_sha256).endswith(b"# beside\n")


def test_a_runs_folder_has_its_code_and_a_changed_copy_is_refused(tmp_path: Path) -> None:
    run = Run("quick", own(), "cifar10", Recipe(), 0)
    folder = RunFolder(tmp_path / "a" / run.id)
    folder.create(run)
    assert (folder.path / "net.py").read_text() == CODE
    assert "net.py" in folder.contents(), "it travels"

    (folder.path / "net.py").write_text(CODE + "# edited\n")
    keep_file("0" * 64, folder.path / "net.py")
    with pytest.raises(OwnCodeError, match="was changed: its SHA-256 is"):
        content_of("my_nets.py:build", "0" * 64)


def test_code_that_nobody_has_is_said() -> None:
    with pytest.raises(OwnCodeError, match=r"the code my_nets.py:build \(SHA-256 111111111111…\) is not here"):
        content_of("my_nets.py:build", "1" * 64)


def test_an_error_in_the_code_names_its_line() -> None:
    digest = keep(b"import torch\n\n1 / 0\n")

    with pytest.raises(OwnCodeError, match=r"my_nets.py, line 3: ZeroDivisionError: division by zero"):
        load("my_nets.py:build", digest)


def test_code_that_ends_the_process_does_not() -> None:
    with pytest.raises(OwnCodeError, match=r"my_nets.py, line 1: SystemExit: 3"):
        load("my_nets.py:build", keep(b"raise SystemExit(3)\n"))


def test_a_name_may_be_defined_in_any_way_and_encoding() -> None:
    text = "# coding: latin-1\ntry:\n    import nothing\nexcept ImportError:\n    build = lambda *_: '\xe9'\n"
    Path("odd.py").write_bytes(text.encode("latin-1"))
    net = Net.own("odd.py:build", depth=1, name="odd")

    assert load(net.build, net.build_sha256)() == "é"


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "my_nets.py").write_text(CODE + "# other\n")
    nets = own(), Net.own("other/my_nets.py:build", depth=20, name="second")

    with pytest.raises(SpecError, match="two files of code are both called my_nets.py"):
        sweep_of(*nets)


def sweep_of(*nets: Net, **more: object) -> Sweep:
    scale = Scale(tuple((net, Recipe()) for net in nets), (0, 1))
    return Sweep("Mine", "Does it?", "It does.", {"paper": scale}, **more)  # type: ignore[arg-type]


def test_two_variants_need_two_names() -> None:
    with pytest.raises(SpecError, match="named gated-20: give each a sweep of its own, or of your own another name="):
        sweep_of(own(width=8), own(width=9))

    assert sweep_of(own(width=8), own(width=9, name="wider"))


def test_a_claim_compares_any_two_kinds_of_nets() -> None:
    shallow, deep, residual = own(), own(depth=56), (Net("cifar", 20, "A"), Net("cifar", 56, "A"))
    claim = Claim("cost", "It costs less.", "ours", "depth costs first more", (*residual, shallow, deep))
    old = Claim("old", "As ever.", "Fig. 6", "interaction", (*PLAIN, *residual))

    assert sweep_of(shallow, deep, *residual, claims=(claim,)).judged_at("paper") == (claim,)
    assert [list(one.weights.values()) for one in claim.comparisons] == [[-1, 1, 1, -1]]
    assert [list(one.weights.values()) for one in old.comparisons] == [[-1, 1, 1, -1]]
    with pytest.raises(SpecError, match="compares plain with residual nets"):
        Claim("cost", "It costs less.", "ours", "interaction", (*residual, shallow, deep))


PLAIN = (Net("cifar", 20, "none"), Net("cifar", 56, "none"))


def test_an_own_task_is_one_on_the_data_of_the_task_it_is_like() -> None:
    Path("rotation.py").write_text("class Rotation: ...\n")
    task = own_task("rotation.py:Rotation", name="rotation", measure="rotation error", answers=4)
    run = sweep_of(PLAIN[0], task=task).runs("paper", (0,))[0]

    assert (run.task, run.task_row.measure, run.task_row.answers) == ("rotation", "rotation error", 4)
    assert run.task_row.work == "bench.tasks.training:train_run"
    assert run.codes == {"task.py": ("rotation.py:Rotation", task.sha256)}
    assert run.id != sweep_of(PLAIN[0]).runs("paper", (0,))[0].id


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": "classify"}, "that is a task of this suite: take another name"),
        ({"name": "My task"}, "name must be of small letters, digits, - and _"),
        ({"like": "detect"}, "like 'detect' is not one of: classify"),
        ({"measure": "a | b"}, "measure must be words for the head of a column, got 'a | b'"),
        ({"measure": ""}, "measure must be words for the head of a column, got ''"),
        ({"answers": 1}, "answers=1 leaves nothing to decide: write how many there are"),
    ],
)
def test_an_own_task_that_cannot_be_meant_is_refused(more: dict[str, object], words: str) -> None:
    Path("rotation.py").write_text("class Rotation: ...\n")

    with pytest.raises(SpecError) as refused:
        own_task("rotation.py:Rotation", **{"name": "rotation", **more})  # type: ignore[arg-type]

    assert words in str(refused.value)


def detects(net: Net, **more: object) -> Sweep:
    recipe = Recipe(detection=Detection(form="fpn"), batch=2, bn_group=2, **more)  # type: ignore[arg-type]
    return Sweep("Mine", "Does it?", "It does.", {"paper": Scale(((net, recipe),), (0,))}, task="detect", data="bccd")


def test_a_detector_takes_a_net_of_ones_own_without_batch_norm() -> None:
    assert detects(own(norm="none")).scales

    with pytest.raises(SpecError, match="batch norm without weights has no statistics to be fixed at"):
        detects(own())
    with pytest.raises(SpecError, match="plain-20-nobn is without batch norm, .*: leave norm out"):
        detects(Net("cifar", 20, "none", norm="none"))
    with pytest.raises(SpecError, match="a detector holds none of its images back: leave out split='45k/5k'"):
        detects(own(norm="none"), split="45k/5k")
