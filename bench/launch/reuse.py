"""Whether runs that have begun may be used here: their data and start weights must be those that are here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from bench.launch.plan import Item
from bench.spec import Run, counted
from bench.spec.datasets import PARTS
from bench.store import Inputs, StoreError

NAMED = 5


def others(items: Sequence[Item], data: Path, say: Callable[[str], object]) -> dict[Item, str]:
    """The runs of a plan that have trained on other data or start weights than those here, with what is other.

    Reads the data, once for all runs that share them. Raises DataError where they cannot be read.
    """
    begun = {item: inputs for item in items if item.folder.has_trained and (inputs := item.folder.inputs())}
    here = _inputs_here(list(begun), data)
    differing = {item: words for item, inputs in begun.items() if (words := inputs.unlike(here[item]))}
    if begun and not differing:
        say(f"data: those of the {counted(len(begun), 'run')} that have begun")
    return differing


def _inputs_here(items: Sequence[Item], data: Path) -> dict[Item, Inputs]:
    if not items:
        return {}
    # torch comes with the data
    from bench.nets.weights import WeightsError
    from bench.tasks.inputs import data_sha256, start_sha256
    from bench.tasks.job import Job

    digests: dict[tuple[Any, ...], str] = {}
    found = {}
    for item in items:
        job = Job(item.folder, data, lambda: False)
        shared = _read_alike(item.run)
        if shared not in digests:
            digests[shared] = data_sha256(item.run, job)
        try:
            start = start_sha256(item.run, job)
        except WeightsError:  # of a run that is done nobody needs them any more; another says so when it starts
            start = None
        found[item] = Inputs(digests[shared], start)
    return found


def _read_alike(run: Run) -> tuple[Any, ...]:
    """What the digest of its data may depend on."""
    return (run.task, run.data, *(getattr(run.recipe, part) for part in PARTS))


def refuse(differing: dict[Item, str], data: Path) -> NoReturn:
    """Raises StoreError naming the runs that began with other data or start weights."""
    named = [item.run.id for item in differing][:NAMED]
    more = f" and {len(differing) - NAMED:,} more" if len(differing) > NAMED else ""
    words = "; ".join(dict.fromkeys(differing.values()))
    raise StoreError(
        f"{counted(len(differing), 'run')} here began with {words} than {data} has: {', '.join(named)}{more}. Nothing "
        "was started. Name their data with --data, take another --runs folder, or add --again, which sets these "
        "folders aside and trains the runs anew"
    )


def set_aside(differing: dict[Item, str], say: Callable[[str], object]) -> None:
    """Moves the folders of such runs away, and says where each is now. Raises StoreError, BusyError."""
    for item, words in differing.items():
        say(f"{item.run.id}: begun with {words}; set aside in {item.folder.set_aside()}")
