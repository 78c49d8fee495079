"""A net's tensors in a safetensors file: bytes that depend on nothing else, read without torch. Standard library only.

Such a file is a length of 8 bytes, a JSON header of that length, and the tensors' bytes one after the other. The
library's own writer puts the metadata in another order at each call.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.store.files import StoreError

SUFFIX = ".safetensors"
LENGTH = 8  # bytes of the header's length, and what the header is padded to
ABOUT = "__metadata__"
TYPES = {  # torch's names: what the file calls them, and their bytes
    "torch.float64": ("F64", 8),
    "torch.float32": ("F32", 4),
    "torch.float16": ("F16", 2),
    "torch.bfloat16": ("BF16", 2),
    "torch.int64": ("I64", 8),
    "torch.int32": ("I32", 4),
    "torch.int16": ("I16", 2),
    "torch.int8": ("I8", 1),
    "torch.uint8": ("U8", 1),
    "torch.bool": ("BOOL", 1),
}
NAMES = {name: (ours, size) for ours, (name, size) in TYPES.items()}


class Raw(NamedTuple):
    """A tensor as bytes. dtype: torch's name of it."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class TensorFile:
    """What such a file holds. about: its metadata."""

    tensors: Mapping[str, Raw]
    about: Mapping[str, str]

    @property
    def digest(self) -> str:
        """That of the tensors, as `weights_sha256` of a result is."""
        return digest(sorted(self.tensors.items()))


def digest(tensors: Iterable[tuple[str, Raw]]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors, given in the order of their names."""
    sha = hashlib.sha256()
    for name, raw in tensors:
        sha.update(f"{name} {raw.dtype} {raw.shape}\n".encode())
        sha.update(raw.data)
    return sha.hexdigest()


def dumps(tensors: Iterable[tuple[str, Raw]], about: Mapping[str, str]) -> bytes:
    """The content of a file. Raises ValueError for a type of tensor that it cannot hold."""
    header: dict[str, Any] = {ABOUT: dict(sorted(about.items()))}
    parts: list[bytes] = []
    at = 0
    for name, raw in sorted(tensors, key=lambda one: (-_size(one[1].dtype), one[0])):  # so that all are aligned
        header[name] = {
            "dtype": TYPES[raw.dtype][0],
            "shape": list(raw.shape),
            "data_offsets": [at, at + len(raw.data)],
        }
        at += len(raw.data)
        parts.append(raw.data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % LENGTH)
    return b"".join((len(text).to_bytes(LENGTH, "little"), text, *parts))


def _size(dtype: str) -> int:
    if dtype not in TYPES:
        raise ValueError(f"a tensor is of {dtype}; a file holds {', '.join(TYPES)}")
    return TYPES[dtype][1]


def read(path: Path) -> TensorFile:
    """What is in the file. Raises StoreError, in a sentence, where it is no such file, or one that is damaged."""
    try:
        return loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path} is no safetensors file, or damaged: {error}") from None


def loads(content: bytes) -> TensorFile:
    """What is in a file of this content: its tensors fill it without a gap. Raises ValueError."""
    length = int.from_bytes(content[:LENGTH], "little")
    body = memoryview(content)[LENGTH + length :]
    if not content:
        raise ValueError("it is empty")
    if len(content) < LENGTH + length or not length:
        raise ValueError(f"its header is said to have {length:,} bytes, and the file has {len(content):,}")
    header = json.loads(content[LENGTH : LENGTH + length].decode(), object_pairs_hook=_without_doubles)
    about = header.pop(ABOUT, {}) if isinstance(header, dict) else None
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise ValueError("its header is no JSON object, or its metadata are not texts by name")
    at, tensors = 0, {}
    for name, entry in sorted(header.items(), key=lambda one: _start(*one)):
        dtype, shape, end = _entry(name, entry, at)
        tensors[name] = Raw(dtype, shape, bytes(body[at:end]))
        at = end
    if at != len(body):
        raise ValueError(f"its tensors have {at:,} bytes, and {len(body):,} follow the header")
    return TensorFile(tensors, about)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("its header has a name twice")
    return dict(pairs)


def _start(name: str, entry: Any) -> tuple[int, int]:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or [type(value) for value in offsets] != [int, int]:
        raise ValueError(f"its header does not say where {name!r} is")
    return offsets[0], offsets[1]


def _entry(name: str, entry: Mapping[str, Any], at: int) -> tuple[str, tuple[int, ...], int]:
    """Type, shape and end of a tensor that has to begin at `at`."""
    dtype, size = NAMES.get(str(entry.get("dtype")), ("", 0))
    shape = entry.get("shape")
    if not dtype or not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError(f"{name!r} has a type or a shape that no tensor here has")
    start, end = _start(name, entry)
    if start != at or end - start != size * math.prod(shape):
        raise ValueError(f"the bytes of {name!r} are not where its header says, or too few or too many for its shape")
    return dtype, tuple(shape), end
