"""What a CUDA graph is, on a CPU: the operators of a piece of work with all their arguments, to be done again.

Like a graph it knows tensors by their place in memory and numbers by their value at the time of the capture, and it
refuses what would have to ask the device for a number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Recorder(TorchDispatchMode):
    """Notes every operator that is called inside, and what the tensors held that it changes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []
        self.before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default, "a capture cannot ask for a number"
        self._keep((args, kwargs))
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]))
        return out

    def _keep(self, args: Any) -> None:
        """Whole storages, since not every operator's schema says what it changes (batch norm's does not)."""
        for storage in {leaf.untyped_storage() for leaf in tree_leaves(args) if isinstance(leaf, Tensor)}:
            if storage.data_ptr() not in self.before:
                self.before[storage.data_ptr()] = storage, storage.clone()

    def undo(self) -> None:
        """A capture does nothing but note."""
        for storage, value in self.before.values():
            storage.copy_(value)

    def replay(self) -> None:
        """Does all of it again, into the same memory."""
        with torch.no_grad():
            for func, args, kwargs, made in self.calls:
                new = [leaf for leaf in tree_leaves(func(*args, **kwargs)) if isinstance(leaf, Tensor)]
                for old, value in zip(made, new, strict=True):
                    if old.data_ptr() != value.data_ptr():
                        old.copy_(value)


def capture(work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """In place of bench.train.graph.capture."""
    recorder = Recorder()
    with recorder:
        made = work()
    recorder.undo()
    return recorder.replay, made
