"""`--only`: the runs of a command by patterns of names."""

from __future__ import annotations

import argparse
import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from bench.cli.sweep_files import MistakeError
from bench.spec import counted
from bench.store import RunFolder, folders

Run = TypeVar("Run")


def patterns(text: str) -> list[str]:
    """The patterns between commas; a comma in brackets is a pattern's own."""
    return [part.strip() for part in re.split(r",(?![^\[]*\])", text) if part.strip()] or [text]


def matches(names: Iterable[str], pattern: str) -> bool:
    """Whether one of the names fits the pattern."""
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)


def only(named: Mapping[Run, Sequence[str]], asked: str | None, known: str) -> list[Run]:
    """Of runs by their names those asked for, all without `--only`, in the order that they have.

    known: what there is, which ends the MistakeError that is raised where a pattern matches none.
    """
    wanted = patterns(asked) if asked else ["*"]
    for pattern in wanted:
        if not any(matches(names, pattern) for names in named.values()):
            raise MistakeError(f"--only {pattern!r} matches none of {counted(len(named), 'run')}; {known}")
    return [run for run, names in named.items() if any(matches(names, pattern) for pattern in wanted)]


def some_folders(args: argparse.Namespace) -> list[RunFolder]:
    """The run folders of the sweep `args.name` below --out that `--only` names; none where there are no runs."""
    found = [folder for out in args.out for folder in folders(out.absolute(), Path(args.name).stem).values()]
    return by_id({folder: folder.path.name for folder in found}, args.only) if found else []


def by_id(ids: Mapping[Run, str], asked: str | None) -> list[Run]:
    """`only` of what has one name, its id."""
    some = list(dict.fromkeys(ids.values()))[:3]
    return only({run: [one] for run, one in ids.items()}, asked, f"ids are such as {', '.join(some)}")
