"""Tests published weights; see bench.tasks.retest, which needs torch and is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.spec import Run
from bench.store import StoreError
from bench.store.tensor_file import Raw

if TYPE_CHECKING:
    from bench.tasks.retest import Tested


def evaluated_with(run: Run, tensors: Mapping[str, Raw], data: Path) -> Tested:
    """The run's test with these weights. Raises DataError where its data are not there: nothing is downloaded.

    Raises StoreError where the tensors are not of the run's net.
    """
    run.dataset.resolve("locate")(data, run.data)
    from bench.nets.weights import WeightsError
    from bench.tasks import retest

    try:
        return retest.evaluated_with(run, tensors, data)
    except WeightsError as error:
        raise StoreError(str(error)) from None
