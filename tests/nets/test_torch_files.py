"""No refusal of a file passes on torch's advice to load it with weights_only=False, which would run what is in it."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bench.nets.convert import load_pytorch_cifar
from bench.nets.torch_files import unpickled
from bench.nets.weights import WeightsError, read_weights
from bench.train.checkpoint import loads
from tests.fuzzing import FILES, mutated

LINEAR = nn.Linear(2, 2)
ADVICE = re.compile(r"weights_only|torch\.load|trust|safe_globals|load failed|option", re.IGNORECASE)


def saved(value: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def scripted() -> bytes:
    out = io.BytesIO()
    torch.jit.save(torch.jit.trace(LINEAR, torch.ones(1, 2)), out)
    return out.getvalue()


KINDS: dict[str, Callable[[], bytes]] = {
    "a module": lambda: saved(LINEAR),
    "a module, older": lambda: saved(LINEAR, _use_new_zipfile_serialization=False),
    "TorchScript": scripted,
    "a function": lambda: saved({"a": torch.ones(2), "f": partial(int, base=2)}),
    "a bare pickle": lambda: pickle.dumps(partial(int, base=2)),
    "a name without a module": lambda: b"\x80\x02cnothere\nf\n.",
    "a persistent id": lambda: b"\x80\x02U\x01aQ.",
    "an opcode of another protocol": lambda: b"\x80\x05\x95\0\0\0\0\0\0\0\0\x96.",
    "a web page": lambda: b"<!DOCTYPE html>",
    "cut": lambda: saved({"a": torch.ones(100)})[:-50],
}
READERS: dict[str, Callable[[Path], Any]] = {
    "weights": read_weights,
    "the converter": lambda path: load_pytorch_cifar(path, 20),
    "checkpoints": lambda path: loads(path.read_bytes()),
}


@pytest.mark.filterwarnings("ignore")  # torch's, of its own TorchScript
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_is_one_line_without_torchs_advice(tmp_path: Path, kind: str, reader: str) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(KINDS[kind]())

    with pytest.raises((ValueError, WeightsError)) as error:
        READERS[reader](path)

    assert not ADVICE.search(str(error.value).replace(str(path), ""))
    assert not set("\n\x1b") & set(str(error.value))


@pytest.mark.fuzz
@pytest.mark.parametrize("zipped", [True, False])
def test_a_damaged_file_gives_tensors_or_one_line_without_advice(zipped: bool) -> None:
    content = saved({"a": torch.arange(4.0), "n": 3}, _use_new_zipfile_serialization=zipped)
    refusals = []
    for damaged in mutated(content, FILES):
        try:
            unpickled(damaged)
        except ValueError as error:
            refusals.append(str(error))

    assert refusals
    assert not [said for said in refusals if ADVICE.search(said) or "\n" in said]
