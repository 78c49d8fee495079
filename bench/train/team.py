"""The processes of one run as one of them sees it. Here it is alone; bench.train.distributed has the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from torch import Tensor, nn

T = TypeVar("T")


class Team:
    """This process, `rank` of `size`; where it is alone every method gives back what it got."""

    rank = 0
    size = 1

    @contextmanager
    def together(self, net: nn.Module, groups: int) -> Iterator[None]:  # noqa: ARG002
        """Inside, `net` takes this process's part of a batch of `groups` batch-norm groups forward and backward.

        Afterwards its gradients and running statistics are those of one process that took all groups in turn.
        """
        yield

    def own(self, groups: int) -> slice:
        """This process's part of so many batch-norm groups of a batch, as many as any other's."""
        return slice(0, groups)

    def slice_of(self, count: int) -> slice:
        """This process's part of `count` things: no two processes have one of them, and together they have all."""
        return slice(0, count)

    def sum(self, part: Tensor) -> Tensor:
        """The sum of all processes' `part` (of one shape and type), the same bits in each."""
        return part

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process."""
        return flag

    def of_first(self, make: Callable[[], T]) -> T:
        """What `make` returns in the first process; the others do not call it."""
        return make()

    def each(self, value: T) -> list[T]:
        """Every process's `value`, in the order of their ranks."""
        return [value]


ALONE = Team()
