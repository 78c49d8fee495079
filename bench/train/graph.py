"""A training step as one CUDA graph: the host's work on some thousand small kernels is done once and then replayed.

The kernels, their order and their numbers are those of the step it was captured from. Written after torch's rules for
whole-step capture; it has not been run on a GPU yet, and runs only where it is asked for (Resources.graph).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor

Work = Callable[[], Tensor]
Recorded = tuple[Callable[[], None], Tensor]
WARM = 3  # steps before the first capture: libraries get their handles and SGD its momentum buffers


@cache
def _side() -> torch.cuda.Stream:
    return torch.cuda.Stream()


def warm(work: Work) -> Tensor:
    """Does `work` on a side stream, as what is to be captured must have run before."""
    here, side = torch.cuda.current_stream(), _side()
    side.wait_stream(here)
    with torch.cuda.stream(side):
        made = work()
    here.wait_stream(side)
    return made


def capture(work: Work) -> Recorded:
    """Records `work` without doing it: what does it, and the tensor that it will leave its outcome in each time."""
    graph = torch.cuda.CUDAGraph()
    # thread_local: what the loader's thread does to pinned memory meanwhile is none of the capture's business
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        made = work()
    return graph.replay, made


class Captured:
    """Does `learn(inputs, targets)` by a captured graph after WARM calls; a new one for each learning rate.

    Rates are numbers baked into the optimiser's kernels; the paper's schedule has four at most.
    """

    def __init__(self, warm: Callable[[Work], Tensor] = warm, capture: Callable[[Work], Recorded] = capture) -> None:
        self._warm, self._capture = warm, capture
        self.forget()

    def forget(self) -> None:
        """Starts anew, as after a checkpoint was loaded: the optimiser has other tensors then."""
        self._calls, self._rate = 0, -1.0
        self._graph: Recorded | None = None

    def __call__(
        self, learn: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, targets: Tensor, rate: float
    ) -> Tensor:
        """One step; what `learn` returns, in a tensor of its own."""
        self._calls += 1
        if self._calls <= WARM:
            return self._warm(partial(learn, inputs, targets))
        if self._graph is None or rate != self._rate:
            self._inputs, self._targets = inputs.clone(), targets.clone()
            self._graph = None  # its memory is free before the next one takes its own
            self._graph, self._rate = self._capture(partial(learn, self._inputs, self._targets)), rate
        replay, made = self._graph
        self._inputs.copy_(inputs)
        self._targets.copy_(targets)
        replay()
        return made.clone()
