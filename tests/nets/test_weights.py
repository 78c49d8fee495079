"""Weights are found under whatever wraps them, read without being run, and refused with what they are."""

from __future__ import annotations

import argparse
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from bench.nets import resnet
from bench.nets.weights import WeightsError, load_weights, read_weights
from bench.spec import Net
from tests.fuzzing import FILES, mutated

State = Mapping[str, Tensor]
NET = Net("cifar", 8, "B")


def state(net: Net = NET, classes: int = 10) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(resnet.build(net, classes).state_dict())


STATE = state()


def behind(prefix: str, tensors: State = STATE) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def taken(path: Path, content: Any, net: Net = NET) -> nn.Module:
    torch.save(content, path)
    return resnet.build(net, 10, path)


def same(net: nn.Module, tensors: State = STATE) -> bool:
    return all(torch.equal(value, tensors[name]) for name, value in net.state_dict().items())


def test_a_file_that_was_saved_without_checksums_is_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        assert same(taken(tmp_path / "mine.pth", {"net": STATE}))
    finally:
        torch.serialization.set_crc32_options(True)


WRAPPED: dict[str, Any] = {
    "kuangliu": {"net": STATE, "acc": 93.0, "epoch": 7},
    "pycls": {"epoch": 1, "model_state": STATE, "optimizer_state": {"state": {}, "param_groups": []}},
    "fvcore": {"model_state_dict": STATE, "loss": 0.1},
    "only an average": {"model_ema": behind("module.")},
    "compiled and distributed": {"state_dict": behind("module._orig_mod.")},
    "distributed twice": behind("module.module."),
    "compiled before distributed": {"model": behind("_orig_mod.module.")},
    "Lightning": {"state_dict": {**behind("model."), "criterion.weight": torch.ones(10)}, "callbacks": {}},
    "Lightning, compiled": {"state_dict": behind("model._orig_mod.")},
    "a part compiled": {name.replace("layer1.", "layer1._orig_mod."): value for name, value in STATE.items()},
    "three deep": {"state": 1, "model": {"state_dict": {"net": behind("backbone.")}}},
    "beside an optimiser's averages": {"model": STATE, "optimizer": {"exp_avg": STATE, "exp_avg_sq": STATE}},
    "beside what is no weights": {**STATE, "epoch": 3, "args": None},
    "an average of the same bits": {"model": STATE, "model_ema": behind("module.")},
    "parameters": OrderedDict((name, nn.Parameter(v, requires_grad=False)) for name, v in STATE.items()),
    "numpy's scalars": {"state_dict": STATE, "best_prec1": np.float64(91.7), "epoch": np.int64(3)},
    "numpy's arrays": {"state_dict": STATE, "history": np.ones(3), "flag": np.bool_(True)},
    "a namespace": {"state_dict": STATE, "args": argparse.Namespace(lr=0.1, data=Path("/data"), seed=np.int64(1))},
}  # fmt: skip


@pytest.mark.parametrize("content", WRAPPED.values(), ids=WRAPPED)
def test_weights_are_found_in_what_others_wrap_them(tmp_path: Path, content: Any) -> None:
    assert same(taken(tmp_path / "mine.pth", content))


def test_a_date_in_a_files_name_is_no_hash(tmp_path: Path) -> None:
    assert same(taken(tmp_path / "mine-20240131.pth", STATE))


@pytest.mark.parametrize("name", ["resnet-8-A-quick-s0-dcfd4260", "resnet-8-A-quick-s1-dcfd4260"])
def test_the_digest_in_the_name_of_an_exported_file_is_that_of_its_run(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.safetensors"
    safetensors.torch.save_file(STATE, path, {"id": "resnet-8-A-quick-s0-dcfd4260", "run": "{}", "weights_sha256": "0"})

    if "s0" in name:
        assert read_weights(path).run == name
    else:
        with pytest.raises(WeightsError, match="its name says that its SHA-256 begins with dcfd4260"):
            read_weights(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_finite_numbers_are_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(WeightsError, match=r"not all of these weights are finite numbers \(.*bn1.weight"):
        taken(tmp_path / "mine.pth", {**STATE, "bn1.weight": STATE["bn1.weight"] * value})


def test_in_torchs_older_format_and_in_safetensors_too(tmp_path: Path) -> None:
    torch.save({"state_dict": behind("module.")}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(behind("model."), tmp_path / "new.safetensors")

    assert same(resnet.build(NET, 10, tmp_path / "old.pth"))
    assert same(resnet.build(NET, 10, tmp_path / "new.safetensors"))


@pytest.mark.parametrize("prefix", ["backbone.", "module.encoder.", "model.backbone."])
def test_a_backbone_is_taken_from_beside_another_head(tmp_path: Path, prefix: str) -> None:
    content = {"state_dict": {**behind(prefix), "head.fc.weight": torch.ones(3, 64)}}
    torch.save(content, tmp_path / "mm.pth")

    found = resnet.features(NET, tmp_path / "mm.pth").state_dict()
    assert torch.equal(found["net.conv1.weight"], STATE["conv1.weight"])


OTHER = state()
OTHER["bn1.weight"] = OTHER["bn1.weight"] + 1


@pytest.mark.parametrize(
    ("content", "places"),
    [
        ({"model": STATE, "model_ema": behind("module.", OTHER)}, "model, model_ema"),
        ({"state_dict": STATE, "state_dict_ema": OTHER}, "state_dict, state_dict_ema"),
        ({"state_dict": {**behind("model."), **behind("ema.", OTHER)}}, "state_dict.model, state_dict.ema"),
        ({**STATE, "net": OTHER}, "net"),
    ],
)
def test_two_sets_of_weights_that_differ_are_refused(tmp_path: Path, content: Any, places: str) -> None:
    with pytest.raises(WeightsError, match=f"several sets of weights .* they differ: .*{places}. Save the one"):
        taken(tmp_path / "mine.pth", content)


@pytest.mark.parametrize(
    ("content", "net", "words"),
    [
        (STATE, Net("cifar", 8, "none"), "10 left over .layer2_0_downsample.*; they have projections"),
        (state(Net("cifar", 8, "none")), NET, "missing .*; they have no projections .downsample., as option A and"),
        (state(classes=100), NET, "2 of another shape .fc_bias, .*; they tell 100 classes apart and the net 10"),
        (state(Net("cifar", 14, "B")), NET, "they have 2, 2, 2 blocks by stage and the net has 1, 1, 1: give"),
        ({"teacher": STATE}, NET, "holds no state dict"),
        (behind("teacher."), NET, r"missing .* left over \(teacher_bn1_bias, .* Name the net that they were"),
        ({name: v.to(torch.int8) for name, v in STATE.items()}, NET, "of another type .bn1_bias"),
        ({name: v.to_sparse() if v.ndim > 1 else v for name, v in STATE.items()}, NET, "of another type .conv1_weight"),
        ({name: v.to("meta") for name, v in STATE.items()}, NET, "of another type .bn1_bias"),
        ({**STATE, "module.conv1.weight": STATE["conv1.weight"]}, NET, "two of its tensors are conv1.weight"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_with_what_it_is(tmp_path: Path, content: Any, net: Net, words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        taken(tmp_path / "mine.pth", content, net)


class Evil:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("owned"),))


def with_evil(path: Path) -> None:
    torch.save({"state_dict": STATE, "best": Evil()}, path)


def old_with_evil(path: Path) -> None:
    torch.save({"state_dict": STATE, "best": Evil()}, path, _use_new_zipfile_serialization=False)


def module(path: Path) -> None:
    torch.save(nn.Linear(2, 2), path)


def cut(path: Path) -> None:
    torch.save(STATE, path)
    path.write_bytes(path.read_bytes()[:100_000])


def cut_safetensors(path: Path) -> None:
    path.write_bytes(safetensors.torch.save(STATE)[:100_000])


UNREADABLE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a web page": ("a.pth", lambda path: path.write_bytes(b"<!DOCTYPE html><p>404</p>"), "begins with b'<!DOCTYPE"),
    "a pointer": ("a.pth", lambda path: path.write_bytes(b"version https://git-lfs.github.com"), "b'version http"),
    "empty": ("a.pth", Path.touch, "it is empty"),
    "none": ("a.pth", lambda _: None, "No such file"),
    "a folder": ("a.pth", Path.mkdir, "Is a directory"),
    "cut": ("a.pth", cut, "not a zip file"),
    "cut safetensors": ("a.safetensors", cut_safetensors, "[Ii]ncomplete|header|MetadataIncompleteBuffer"),
    "another's format": ("a.safetensors", lambda path: torch.save(STATE, path), "[Hh]eader"),
    "a module": ("a.pth", module, "it holds a torch.nn.modules.linear.Linear, which is not read: save"),
    "code": ("a.pth", with_evil, "it holds a pathlib.Path.touch|it holds a getattr"),
    "code, older": ("a.pth", old_with_evil, "it holds a pathlib.Path.touch|it holds a getattr"),
    "a bare pickle": ("a.pth", lambda path: path.write_bytes(pickle.dumps(Evil())), "it holds|Unsupported operand"),
    "a list": ("a.pth", lambda path: torch.save([torch.ones(3)], path), "holds no state dict"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "write", "words"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_one_line_with_its_file_and_runs_nothing(
    tmp_path: Path, name: str, write: Callable[[Path], object], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / name)

    with pytest.raises(WeightsError, match=words) as error:
        read_weights(tmp_path / name)

    assert str(error.value).startswith(str(tmp_path / name))
    assert not set("\n\x1b") & set(str(error.value))
    assert "[1m" not in str(error.value)
    assert not Path("owned").exists()


SMALL = {"w": torch.ones(9), "b": torch.ones(3)}


def flat(**options: Any) -> Callable[[Path], None]:
    return lambda path: torch.save({"state_dict": SMALL, "epoch": 1}, path, **options)


FORMATS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "zip": ("a.pth", flat()),
    "older": ("a.pth", flat(_use_new_zipfile_serialization=False)),
    "safetensors": ("a.safetensors", lambda path: safetensors.torch.save_file(SMALL, path)),
}  # fmt: skip


class Small(nn.Module):
    """Two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.zeros(9)), nn.Parameter(torch.zeros(3))


@pytest.mark.fuzz
@pytest.mark.parametrize(("name", "write"), FORMATS.values(), ids=FORMATS)
def test_damaged_files_are_loaded_whole_or_refused_in_one_line(
    tmp_path: Path, name: str, write: Callable[[Path], object]
) -> None:
    path = tmp_path / name
    write(path)
    for content in mutated(path.read_bytes(), FILES):
        path.write_bytes(content)
        net = Small()
        try:
            load_weights(net, path, "small")
        except WeightsError as error:
            assert "\n" not in str(error), content  # noqa: PT017 - either outcome is right
            assert not net.w.any(), "the net is unchanged"
        else:
            assert "zip" not in name or net.w.tolist() == [1] * 9
    assert [p.name for p in tmp_path.iterdir()] == [name]
