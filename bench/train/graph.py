"""A training step as one CUDA graph: the host's work on some thousand small kernels is done once and then replayed.

The kernels, their order and their results are those of the captured step. It runs where it is asked for (`--kernels
graph`, `Resources.graph`) or was measured to be fastest (`bench speed gpu`).
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

Work = Callable[[], Tensor]
Recorded = tuple[Callable[[], None], Tensor]
WARM = 3  # steps before the capture: libraries get their handles, SGD its momentum buffers, Triton its kernels


def capture(work: Work) -> Recorded:
    """Records `work` on this thread's stream, which must not be the default one, without running it.

    Returns a function that replays it and the tensor that each replay writes its result to.
    """
    graph = torch.cuda.CUDAGraph()
    gc.collect()
    gc.disable()  # a tensor or graph that is collected during a capture would break it
    try:
        # its own stream: torch's default is shared by all captures of the process. thread_local: a loader's thread may
        # use pinned memory meanwhile
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"):
            made = work()
    finally:
        gc.enable()
    return graph.replay, made


class Captured:
    """Runs `learn(*drawn)` as a captured graph after WARM calls.

    What changes from step to step must be a tensor at a fixed address: what was drawn is copied into the graph's own
    tensors, and the optimiser's learning rate is a tensor (Trainer.fused_sgd).
    """

    def __init__(self, capture: Callable[[Work], Recorded] = capture) -> None:
        self._capture = capture
        self.forget()

    def forget(self) -> None:
        """Starts anew, as after loading a checkpoint: the optimiser then has other tensors."""
        self._calls = 0
        self._graph: Recorded | None = None

    def __call__(self, learn: Callable[..., Tensor], *drawn: Any) -> Tensor:
        """One step; the result of `learn` in a tensor of its own."""
        self._calls += 1
        if self._calls <= WARM:
            return learn(*drawn)
        if self._graph is None:
            self._inputs = [part.clone() for part in drawn]
            self._graph = self._capture(partial(learn, *self._inputs))
        replay, made = self._graph
        for own, new in zip(self._inputs, drawn, strict=True):
            own.copy_(new)
        replay()
        return made.clone()
