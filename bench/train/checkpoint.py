"""Resumable states on disk: written atomically, read as plain tensors and numbers (`weights_only=True`)."""

from __future__ import annotations

import io
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.nets.torch_files import unpickled
from bench.store import StoreError, atomic, tensor_file
from bench.store.tensor_file import Raw

FORMAT = 1


def save(path: Path, state: Mapping[str, Any], previous: Path | None = None) -> None:
    """Writes `state` (tensors, numbers, strings, lists, dicts) over `path`, atomically. Raises StoreError.

    previous: the name that the state before it gets.
    """
    # through memory: on a full disk torch's own writer keeps half a file open, and with it the space for an error file
    with atomic(path, previous) as temporary:
        temporary.write_bytes(dumps(state))


def dumps(state: Mapping[str, Any]) -> memoryview:
    """The content of a file with `state`."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    return buffer.getbuffer()


def load(path: Path) -> dict[str, Any] | None:
    """The state in `path`, None without a file or where it is damaged, which is then set aside and said; see newest."""
    state, damage = newest(path)
    if damage:
        print(f"bench: {damage}", file=sys.stderr, flush=True)
    return state


def newest(
    path: Path, previous: Path | None = None, check: Callable[[dict[str, Any]], object] = bool
) -> tuple[dict[str, Any] | None, str]:
    """The state in `path`, else that in `previous`, which is then `path`; None where neither is one. And the damage.

    check: raises ValueError for a state that cannot be used. Such a file, and a damaged one, is set aside as
    `<name>.damaged-<time>`; the damage is what was, in words, "" for none. A disk error, and a state of a later version
    (StoreError), leave the files where they are.
    """
    damage = []
    for place in filter(None, (path, previous)):
        try:
            content = place.read_bytes()
        except FileNotFoundError:
            continue
        try:
            check(state := loads(content))
        except ValueError as error:
            aside = place.with_name(f"{place.name}.damaged-{time.time_ns()}")
            place.replace(aside)
            damage.append(f"{place} cannot be used: {error}; it was set aside as {aside.name}")
        else:
            if place != path:
                place.replace(path)
            return state, "; ".join(damage)
    return None, "; ".join(damage)


def loads(content: bytes) -> dict[str, Any]:
    """The state in a file's content, its tensors on the CPU. Raises ValueError where it is damaged.

    Raises StoreError for one of a later version.
    """
    try:
        state = unpickled(content)
    except ValueError as error:
        raise ValueError(f"it is damaged ({error})") from None
    found = state.get("format") if isinstance(state, dict) else None
    if type(found) is int and found > FORMAT:
        raise StoreError(f"a checkpoint of format {found}, this version reads {FORMAT}: use the version that wrote it")
    if found != FORMAT:
        raise ValueError(f"it is no checkpoint of this suite, or damaged (its format is {found!r})")
    return dict(state)


def without_momentum(state: Mapping[str, Any]) -> dict[str, Any]:
    """The checkpoint of a finished training: half the bytes, without momentum and position in the data.

    It repairs a finished run as well as the whole one, since no step follows.
    """
    return {**state, "optimizer": {**state["optimizer"], "state": {}}, "batches": None}


def has_momentum(path: Path) -> bool:
    """Whether a checkpoint holds momentum, as those of earlier versions do after the last step, too.

    Reads none of its tensors; False where the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as parts:
            pickles = [part for part in parts.infolist() if part.filename.endswith(".pkl") and not part.compress_type]
            return any(b"momentum_buffer" in parts.read(part) for part in pickles)
    except Exception:  # zipfile's own, of many kinds
        return False


def of_run(content: bytes, run_id: str, weights_sha256: str | None = None) -> dict[str, Any]:
    """The state in a checkpoint of this run; of one that has ended with the weights of its result.

    Raises ValueError where it is not that, StoreError for one of a later version.
    """
    state = loads(content)
    if state.get("run") != run_id:
        raise ValueError(f"it is of the run {state.get('run')}")
    if type(state.get("step")) is not int or not isinstance(state.get("net"), dict):
        raise ValueError("it is damaged (it has no step, or no net)")
    if weights_sha256 is not None and weights_digest(state["net"]) != weights_sha256:
        raise ValueError("its weights are not those that the run ended with")
    return state


def finished(content: bytes, run_id: str, weights_sha256: str) -> bytes:
    """The checkpoint of a run that is done, without what no step needs any more. Raises as `of_run` does."""
    return bytes(dumps(without_momentum(of_run(content, run_id, weights_sha256))))


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes: equal if and only if every bit of every tensor is."""
    return tensor_file.digest(raw(tensors))


def raw(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Raw]]:
    """Each tensor as bytes, in the order of their names."""
    for name, value in sorted(tensors.items()):
        array = value.detach().cpu().contiguous()
        yield name, Raw(str(array.dtype), tuple(array.shape), array.flatten().view(torch.uint8).numpy().tobytes())
