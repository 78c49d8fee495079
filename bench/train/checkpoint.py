"""Resumable states on disk: written atomically, read as plain tensors and numbers (`weights_only=True`)."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.store import StoreError, atomic

FORMAT = 1


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Writes `state` (tensors, numbers, strings, lists, dicts) over `path`, atomically. Raises StoreError."""
    # through memory: on a full disk torch's own writer keeps half a file open, and with it the space for an error file
    with atomic(path) as temporary:
        temporary.write_bytes(dumps(state))


def dumps(state: Mapping[str, Any]) -> memoryview:
    """The content of a file with `state`."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    return buffer.getbuffer()


def load(path: Path) -> dict[str, Any] | None:
    """The state in `path` with its tensors on the CPU, None without a file.

    A damaged file is set aside as `<name>.damaged-<time>` and StoreError raised: the next start trains from step 0, to
    the same bits. A disk error leaves the file where it is.
    """
    if not path.exists():
        return None
    try:
        return _read(path)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
        path.replace(aside)
        raise StoreError(
            f"{path} is damaged ({_first_line(error)}); it was set aside as {aside.name}. "
            "Start again: the run trains from its first step, to the same numbers"
        ) from None


def loads(content: bytes) -> dict[str, Any]:
    """The state in a file's content, its tensors on the CPU. Raises ValueError where it is damaged."""
    try:
        return _read(io.BytesIO(content))
    except MemoryError:
        raise
    except Exception as error:  # pickle's and zip's own errors, of several kinds
        raise ValueError(f"it is damaged ({_first_line(error)})") from None


def _read(source: Path | io.BytesIO) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(source, map_location="cpu", weights_only=True)
    if state["format"] != FORMAT:
        raise ValueError(f"format {state['format']}, this version reads {FORMAT}")
    return state


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def without_momentum(state: Mapping[str, Any]) -> dict[str, Any]:
    """The checkpoint of a finished training: half the bytes, without momentum and position in the data.

    It repairs a finished run as well as the whole one, since no step follows.
    """
    return {**state, "optimizer": {**state["optimizer"], "state": {}}, "batches": None}


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes and bytes: equal if and only if every bit of every tensor is."""
    sha = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        array = value.detach().cpu().contiguous()
        sha.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        sha.update(array.flatten().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
