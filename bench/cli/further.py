"""Further test sets: after the runs of a start of a sweep, and by hand, `python -m bench test NAME`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.cli import numbers
from bench.cli.exits import FAILED, STOPPED, in_time
from bench.cli.only import some_folders
from bench.cli.request import Request
from bench.cli.sweep_files import MistakeError, load_sweep, no_runs
from bench.cli.terminal import say
from bench.data.locate import DataError, data_folder
from bench.launch.further import Testing, absent, absent_words, asked, to_do
from bench.launch.plan import Plan
from bench.launch.worker import HearingStop
from bench.spec import counted, dataset_of
from bench.spec.further import FurtherSet, further_sets, unfit
from bench.store import RunFolder


def announced(request: Request, plan: Plan) -> Iterator[str]:
    """What a start of a sweep says of its further test sets before anything runs."""
    rows: Sequence[FurtherSet] = further_sets(request.declared.tests)
    if not rows:
        return
    yield f"further test sets, for each run that is done: {', '.join(request.declared.tests)}"
    for of in dict.fromkeys(row.of for row in rows if row.of != request.data):
        yield f"left out: tests of nets trained on {dataset_of(of).title}, not on {dataset_of(request.data).title}"
    rows = [row for row in rows if row.of == request.data]
    every = any(item.state != "done" for item in plan.items)
    needed = rows if every else asked(to_do([item.folder for item in plan.items], rows))
    yield from absent_words(absent(needed, request.data_folder))


def test_after(request: Request, plan: Plan) -> bool:
    """Tests what is done on the sweep's further test sets; False where that was stopped.

    Sets that are not there, or cannot be used, are said and left out: they change nothing in what the start ends with.
    """
    rows = [row for row in further_sets(request.declared.tests) if row.of == request.data]
    ours = [item.folder for item in plan.items]
    lacking = absent(asked(to_do(ours, rows)), request.data_folder)
    todo = to_do(ours, [row for row in rows if row not in lacking])
    with HearingStop(request.deadline, request.time_limit) as stop:
        testing = _tested(todo, request.data_folder, stop) if todo else None
    for words in absent_words(lacking):
        say(f"not tested: {words}")
    return testing is None or not testing.stopped


def _tested(todo: Sequence[tuple[RunFolder, Sequence[FurtherSet]]], data: Path, stop: HearingStop) -> Testing:
    testing = Testing(data, stop, say)
    say(f"further tests of {counted(len(todo), 'run')} …")
    testing.all(todo)
    return testing


def _chosen(args: argparse.Namespace) -> list[RunFolder]:
    """The run folders of the sweep that `--only` names. Raises MistakeError."""
    if not (found := some_folders(args)):
        raise MistakeError(no_runs(Path(args.name).stem, *args.out))
    return found


def test(args: argparse.Namespace) -> int:
    """`python -m bench test`. Raises MistakeError, SpecError, and DataError where test data are not there."""
    deadline = time.time() + args.time_limit if args.time_limit else None
    with in_time(args.time_limit):
        chosen, data = _chosen(args), data_folder(args.data)
        declared = load_sweep(args.name, args.out[0])[1]
        names = [name.strip() for name in args.tests.split(",")] if args.tests else declared.tests
        rows = further_sets(names)
        trained = {(run.data, run.task) for folder in chosen if (run := folder.readable_run())}
        if not rows:
            raise MistakeError(f"{args.name} declares no further test sets: name some, as in --tests cifar10.1-v6")
        strange = [words for data, task in sorted(trained) if (words := unfit(names, [data], task))]
        if strange and len(strange) == len(trained):
            raise MistakeError(strange[0].replace("tests names", "--tests names"))
        todo = to_do(chosen, rows)
        if lacking := absent_words(absent(asked(todo), data)):
            raise DataError("; ".join(lacking))
    with HearingStop(deadline, args.time_limit) as stop:
        testing = _tested(todo, data, stop) if todo else None
    if testing is None:
        done = sum(folder.result() is not None for folder in chosen)
        each = f", each tested on {', '.join(names)}" if done else ""
        say(f"nothing to test: {done} of {counted(len(chosen), 'run')} done{each}")
        return 0
    numbers.report(args)
    if testing.stopped:
        return STOPPED
    return 0 if testing.tested == testing.total else FAILED
