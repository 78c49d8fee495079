"""Files of tensors: others read them, the same tensors make the same bytes, damaged ones are refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from bench.store import StoreError
from bench.store.tensor_file import dumps, loads, read
from bench.train.checkpoint import raw, weights_digest

TENSORS: dict[str, Tensor] = {
    "b.weight": torch.arange(6.0).reshape(2, 3),
    "a.count": torch.tensor(7),
    "a.half": torch.tensor([1.5, float("nan")], dtype=torch.bfloat16),
    "c.mask": torch.tensor([True, False, True]),
    "d.empty": torch.empty(0, 4),
}
ABOUT = {"run": '{"seed": 0}\n', "format": "pt", "näme": "ü"}


def test_the_library_reads_what_is_written_and_so_do_we_to_the_same_digest(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(dumps(raw(TENSORS), ABOUT))

    assert weights_digest(load_file(path)) == weights_digest(TENSORS) == read(path).digest
    with safe_open(path, "pt") as file:
        assert file.metadata() == ABOUT == read(path).about


def test_the_same_tensors_make_the_same_bytes_in_whatever_order_they_come() -> None:
    backwards = dict(reversed(list(TENSORS.items())))

    assert dumps(raw(backwards), dict(reversed(ABOUT.items()))) == dumps(raw(TENSORS), ABOUT)


def test_a_tensor_that_a_file_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="a tensor is of torch.complex64; a file holds torch.float64, torch.float32"):
        dumps(raw({"a": torch.zeros(2, dtype=torch.complex64)}), {})


def content(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def one(**changed: Any) -> dict[str, Any]:
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changed}}


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (b"", "it is empty"),
        (bytes(8), "its header is said to have 0 bytes, and the file has 8"),
        (b"PK\x03\x04" + bytes(40), "its header is said to have 67,324,752 bytes, and the file has 44"),
        (b"\xff" * 8 + b"{}", "bytes, and the file has 10"),
        (content(b"nothing"), "Expecting value"),
        (content(b"\xff\xfe{}"), "codec can't decode"),
        (content(b"[" * 100_000), "recursion"),
        (content([]), "its header is no JSON object"),
        (content({"__metadata__": {"a": 1}}), "its metadata are not texts"),
        (content(b'{"a": {}, "a": {}}'), "its header has a name twice"),
        (content({"a": 5}), "its header does not say where 'a' is"),
        (content(one(data_offsets=[0, True]), bytes(8)), "does not say where 'a' is"),
        (content(one(dtype="F7"), bytes(8)), "'a' has a type or a shape that no tensor here has"),
        (content(one(shape=[-2]), bytes(8)), "'a' has a type or a shape that no tensor here has"),
        (content(one(shape=[10**30]), bytes(8)), "too few or too many for its shape"),
        (content(one(shape=[3]), bytes(8)), "too few or too many for its shape"),
        (content(one(data_offsets=[8, 16]), bytes(16)), "the bytes of 'a' are not where its header says"),
        (content({**one(), "b": one()["a"]}, bytes(8)), "the bytes of 'b' are not where its header says"),
        (content(one(), bytes(7)), "its tensors have 8 bytes, and 7 follow the header"),
        (content(one(), bytes(9)), "its tensors have 8 bytes, and 9 follow the header"),
    ],
)
def test_a_damaged_file_is_refused_in_a_sentence(damaged: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(damaged)

    with pytest.raises(StoreError, match=f"a.safetensors is no safetensors file, or damaged: .*{words}"):
        read(tmp_path / "a.safetensors")


def test_a_file_cut_off_anywhere_is_refused() -> None:
    whole = dumps(raw(TENSORS), ABOUT)

    for end in range(len(whole)):
        with pytest.raises(ValueError, match=r"it is empty|its header is said|follow the header"):
            loads(whole[:end])
