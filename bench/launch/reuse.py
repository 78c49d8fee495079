"""Whether runs that have begun may be used here: their data and start weights must be those that are here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from bench.data.locate import DataError
from bench.launch.plan import Item, Plan
from bench.machine import commit
from bench.spec import Run, counted
from bench.spec.datasets import PARTS
from bench.store import BusyError, Inputs, RunFolder, StoreError

NAMED = 5


class Reuse:
    """The data in the folder `data`, and the start weights, held against those that runs began with.

    The data are read when the first run asks, once for all runs that share them.
    """

    def __init__(self, data: Path) -> None:
        self.data = data
        self._digests: dict[tuple[Any, ...], str] = {}

    def others(self, items: Sequence[Item], say: Callable[[str], object] = lambda _: None) -> dict[Item, str]:
        """The runs of a plan that train, or have trained, on other data or start weights, with what is other.

        Raises DataError where the data cannot be read.
        """
        begun = {item: inputs for item in items if (inputs := _begun_with(item.folder))}
        differing = {item: words for item, inputs in begun.items() if (words := inputs.unlike(self._here(item)))}
        if begun and not differing:
            say(f"data and start weights: by their SHA-256 those of the {counted(len(begun), 'run')} that have begun")
        if code := _other_code(items):
            say(code)
        return differing

    def check(self, plan: Plan) -> None:
        """Raises DataError or OwnCodeError where a run could not begin, before the first does.

        Runs that share data, or a net or task of the user's, are asked once, those that only test weights by these,
        too; data of runs that have begun are left to `others`, which reads them.
        """
        for run in {item.run.net: item.run for item in plan.todo if item.run.net.row.check}.values():
            from bench.tasks.inputs import check_net  # torch comes with it

            check_net(run)
        for item in {item.run.own_task: item for item in plan.todo if item.run.own_task}.values():
            from bench.tasks import own_task  # torch comes with it
            from bench.tasks.job import Job

            own_task.check(item.run, Job(item.folder, self.data, lambda: False))
        read = {_checked_alike(item.run) for item in plan.items if _begun_with(item.folder)}
        fresh = {alike: item for item in plan.todo if (alike := _checked_alike(item.run)) not in read}
        for item in fresh.values():
            if not item.run.dataset.made_up or not item.run.task_row.trains:
                from bench.nets.weights import WeightsError  # torch comes with the data
                from bench.tasks.inputs import check_data
                from bench.tasks.job import Job

                try:
                    check_data(item.run, Job(item.folder, self.data, lambda: False))
                except WeightsError as error:
                    raise DataError(f"{item.run.net.name}: {error}") from None

    def _here(self, item: Item) -> Inputs:
        # torch comes with the data
        from bench.nets.weights import WeightsError
        from bench.tasks.inputs import data_sha256, start_sha256
        from bench.tasks.job import Job

        job = Job(item.folder, self.data, lambda: False)
        shared = _read_alike(item.run)
        if shared not in self._digests:
            self._digests[shared] = data_sha256(item.run, job)
        try:
            start = start_sha256(item.run, job)
        except WeightsError:  # of a run that is done nobody needs them any more; another says so when it starts
            start = None
        return Inputs(self._digests[shared], start)

    def refuse(self, differing: dict[Item, str]) -> NoReturn:
        """Raises StoreError naming the runs that began with other data or start weights."""
        named = [item.run.id for item in differing][:NAMED]
        more = f" and {len(differing) - NAMED:,} more" if len(differing) > NAMED else ""
        words = "; ".join(dict.fromkeys(differing.values()))
        raise StoreError(
            f"{counted(len(differing), 'run')} here began with {words} than are here ({self.data}): "
            f"{', '.join(named)}{more}. Give theirs (--data), take another --out folder, or add --again, which moves "
            "these folders to aside/ beside them and trains the runs anew, and their results take the place of the old"
        )

    def set_aside(self, differing: dict[Item, str], say: Callable[[str], object]) -> None:
        """Moves the folders of such runs away, says where each is now, and makes new ones. Raises StoreError."""
        for item, words in differing.items():
            folder, begun = item.folder, item.folder.inputs()
            try:
                place = folder.set_aside(begun, f"set aside by --again: begun with {words}")
            except BusyError:
                raise StoreError(
                    f"{item.run.id} is being trained on {words}: wait for it, or stop it, and start again"
                ) from None
            if place is None:  # another start with --again came first
                continue
            folder.create(item.run)
            if begun is not None:
                folder.begin_again(begun)
            say(f"{item.run.id}: begun with {words}; set aside in {place}")


def _other_code(items: Sequence[Item]) -> str:
    """A line on finished runs that other code trained than is here, "" for none: a run's id says nothing of it."""
    here = commit()["commit"]
    commits = (str((item.folder.env() or {}).get("commit") or "unknown") for item in items if item.state == "done")
    others = Counter(one[:10] for one in commits if one != here)
    if not others:
        return ""
    named = ", ".join(f"{counted(count, 'run')} of commit {one}" for one, count in others.items())
    return (
        f"code: used again are {named} (here {str(here or 'unknown')[:10]}); a run's id covers its net, recipe, seed "
        "and data set, and not the code"
    )


def _begun_with(folder: RunFolder) -> Inputs | None:
    """What the run trains or has trained on; None where it has kept no step, or nobody knows."""
    return folder.inputs() if folder.has_trained or folder.lives() else None


def _checked_alike(run: Run) -> tuple[Any, ...]:
    """What it depends on whether it can begin."""
    return (*_read_alike(run), None if run.task_row.trains else run.net)


def _read_alike(run: Run) -> tuple[Any, ...]:
    """What the digest of its data may depend on."""
    return (run.task, run.data, *(getattr(run.recipe, part) for part in PARTS))
