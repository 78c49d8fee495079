"""Work on many items in threads, in order, some items ahead of the one who takes the results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")
DEPTH = 4  # items ahead for each thread


def prefetch(work: Callable[[In], Out], items: Iterable[In], workers: int) -> Iterator[Out]:
    """`work(item)` of each item in order, by so many threads. An error in `work` comes when its turn does."""
    waiting = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        futures = deque(pool.submit(work, item) for item in islice(waiting, DEPTH * workers))
        try:
            while futures:
                yield futures.popleft().result()
                futures.extend(pool.submit(work, item) for item in islice(waiting, 1))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
