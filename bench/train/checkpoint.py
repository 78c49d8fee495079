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
    # by way of memory: on a full disk torch's own writer keeps its half file open, and with it the space for any word
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load(path: Path) -> dict[str, Any] | None:
    """The state in `path` with its tensors on the CPU, None where there is none.

    A damaged file is set aside as `<name>.damaged-<time>` and StoreError raised: the next start trains again from
    step 0, to the same bits. An error of the disk leaves the file where it is.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if state["format"] != FORMAT:
            raise ValueError(f"format {state['format']}, this version reads {FORMAT}")
    except (OSError, MemoryError):
        raise
    except Exception as error:
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
        path.replace(aside)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StoreError(
            f"{path} is damaged ({reason}); it was set aside as {aside.name}. "
            "Start again: the run trains from its first step, to the same numbers"
        ) from None
    return state


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes and bytes: equal if and only if every bit of every tensor is."""
    sha = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        array = value.detach().cpu().contiguous()
        sha.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        sha.update(array.flatten().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
