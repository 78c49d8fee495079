"""An honest copy of the project with its history, and what a forger does in it: edits, collects, publishes, commits.

    def a_better_number(base: Forged) -> None:
        "The error of a run is half a point lower, and so are its images and its curve."
        left = base.left("resnet-20-A-paper-s0")
        ...
        base.put(left)  # a run folder, collected by the suite in place of the row
        base.renew()  # digests and pages, by the suite

The numbers of the other sweeps stay; the index and the READMEs' blocks are made anew where a forgery says `index`, as
they follow from the results and are checked apart from them.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

import bench.paper
from bench.cli.places import DECLARATION
from bench.cli.sweep_files import known_sweeps, load_file
from bench.report import coverage, page, readme, verify
from bench.report.collect import collect
from bench.report.digests import differences, write_digests
from bench.report.render import style
from bench.report.rows import as_csv, read_rows
from bench.report.stored import read_arrays, read_table, write_arrays, write_table
from bench.report.verify import claims_dated, commits, older
from bench.report.verify.pages import report_problems
from bench.report.verify.published import Published
from bench.report.verify.sweep import CHECKS
from bench.spec import Run, SpecError, Sweep
from bench.store import StoreError, sha256, write_text
from tests.forgeries import weighed, witnesses_kept
from tests.forgeries.left import Left, read_left

# results published later would change what a forgery is: a seed that was not run then is run now
PINNED = "35d9d27580606b704f99ff13c996d324c8024af9"
PROJECT = Path(__file__).resolve().parents[2]
AUTHOR = ("Seed b78e29b9 maintainers", "maintainers@example.org")


@dataclass(frozen=True, slots=True)
class Forgery:
    """forge: its docstring says what is forged. kind: its class. consistent: whether all was made anew through bench.

    sweep: whose results. needs: what the suite has to publish for it to make sense, of witnesses_kept.SHOWN_BY.
    index: whether the index of all reports and the READMEs are made and checked, too.
    """

    forge: Callable[[Forged], None]
    kind: str
    consistent: bool
    sweep: str = "plain_vs_residual"
    needs: str = ""
    index: bool = False

    @property
    def name(self) -> str:
        return self.forge.__name__


def clone(folder: Path) -> Path:
    """The project as it was at PINNED, with its history until then: made once, copied for each forgery."""
    run_git(PROJECT, "clone", "--quiet", "--shared", "--no-tags", "--no-checkout", str(PROJECT), str(folder))
    run_git(folder, "checkout", "--quiet", "-B", "main", PINNED)
    return folder


def published_then() -> list[str]:
    """The sweeps with results at PINNED; none without the history, without which nothing of this is tested."""
    try:
        files = run_git(PROJECT, "ls-tree", "-r", "--name-only", PINNED, "--", "results").split("\n")
    except (OSError, subprocess.CalledProcessError):
        return []
    return sorted(Path(file).parent.name for file in files if file.endswith("/runs.csv"))


def run_git(folder: Path, *words: str, **env: str) -> str:
    """What git says in `folder`."""
    command = ["git", "-C", str(folder), "-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null", *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **env})
    return done.stdout.strip()


class Forged:
    """A copy of the project in which one forgery is made."""

    def __init__(self, honest: Path, root: Path, forgery: Forgery) -> None:
        if honest != root:
            shutil.copytree(honest, root, symlinks=True)
        self.root, self.name, self.index = root, forgery.sweep, forgery.index
        self.results, self.reports, self.runs = (root / part / self.name for part in ("results", "reports", "runs"))
        self.elsewhere = root / "runs" / "elsewhere" / self.name
        self.rng = np.random.default_rng(20151210)

    def git(self, *words: str, **env: str) -> str:
        return run_git(self.root, *words, **env)

    @property
    def sweep(self) -> Sweep:
        """What the sweep file says now."""
        own = self.results / DECLARATION
        return load_file(own if own.exists() else self.root / "sweeps" / f"{self.name}.py")

    # what is published, as it stands

    def rows(self) -> list[dict[str, Any]]:
        return read_rows(self.results / "runs.csv")

    def write_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        write_text(self.results / "runs.csv", as_csv(rows))

    def row(self, start: str) -> dict[str, Any]:
        """The one row whose id begins so."""
        (found,) = [row for row in self.rows() if row["id"].startswith(start)]
        return found

    def edit(self, start: str, **changes: str) -> None:
        """Other cells in the rows whose ids begin so; nothing else is made anew."""
        self.write_rows([row | (changes if row["id"].startswith(start) else {}) for row in self.rows()])

    def edit_done(self, **changes: str) -> None:
        """Other cells in the rows of all runs that are done."""
        self.write_rows([row | (changes if row["state"] == "done" else {}) for row in self.rows()])

    def arrays(self, file: str) -> dict[str, NDArray[Any]]:
        return read_arrays(self.results / file)

    def write_arrays(self, file: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        (self.results / file).unlink()
        write_arrays(self.results / file, {"": arrays}, ())

    def replace(self, file: str, old: str, new: str) -> None:
        """Another text in place of one, at its first place in a file of the project."""
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} has no {old!r} any more: the forgery has to be rewritten"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    # run folders

    def left(self, start: str) -> Left:
        """What the run whose id begins so left."""
        return read_left(self.results, self.row(start))

    def planned(self, start: str, scale: str = "") -> Run:
        """The run of the sweep whose id begins so, whether or not it was run."""
        found = (run for each in ([scale] if scale else self.sweep.scales) for run in self.sweep.runs(each))
        return next(run for run in found if run.id.startswith(start))

    def put(self, *runs: Left) -> None:
        """Writes run folders and collects them as the suite does, in place of what is published of these runs."""
        names = {one.run.id for one in runs}
        scales, ended = dict.fromkeys((one.run.scale, one.run.data) for one in runs), set[str]()
        if (self.results / "runs.csv").exists():
            rows = self.rows()
            ended = {row["id"] for row in rows if row["state"] in ("done", "failed")}
            scales |= dict.fromkeys((row["scale"], row["data"]) for row in rows)
            self._forget(names)
        known = {path.stem for path in witnesses_kept.there(self.results, "manifest")} | ended
        for one in runs:
            if one.run.id in known:
                witnesses_kept.unpack(self.results, self.runs, one.run.id)
                one.write(self.runs)
        # a run that was not there before has all that the worker writes today, on a machine of its own
        new = [one for one in runs if one.run.id not in known]
        witnesses_kept.witness(*(one.write(self.elsewhere) for one in new if not one.error))
        for one in new:
            if one.error:
                one.write(self.elsewhere)
        self.collect(scales)
        states = {row["id"]: row["state"] for row in self.rows()}
        assert all(states[one.run.id] == ("failed" if one.error else "done") for one in runs), states

    def witness(self, *starts: str) -> None:
        """Gives runs the register's lines and the manifest that the worker of today would have written."""
        witnesses_kept.witness(*(left.write(self.runs) for left in map(self.left, starts)))
        self.collect(dict.fromkeys((row["scale"], row["data"]) for row in self.rows()))

    def drop(self, *starts: str) -> None:
        """Takes runs out of the results; those that the sweep declares become pending again."""
        rows = self.rows()
        scales = dict.fromkeys((row["scale"], row["data"]) for row in rows)
        self._forget({row["id"] for row in rows if row["id"].startswith(starts)})
        self.collect(scales)

    def _forget(self, names: Container[str]) -> None:
        """Takes all out of the results that is of these runs."""
        kept = [row for row in self.rows() if row["id"] not in names]
        self.write_rows(kept)
        ids = [row["id"] for row in kept]
        for path in (self.results / "curves.parquet", self.results / "layers.parquet"):
            write_table(path, list(map(str, read_table(path))), {}, ids)
        for file in ("correct", "pairs", "matches"):
            write_arrays(self.results / f"{file}.npz", {}, ids)

    def collect(self, scales: Mapping[tuple[str, str], object]) -> None:
        """Merges the run folders into results/, as `bench publish` does."""
        sweep = self.sweep
        declared = [run for scale, data in scales for run in sweep.runs(scale, None, data)]
        collect(self.results, [self.runs, self.elsewhere], declared, ensembles=sweep.ensembles, made_up=False)

    # what the suite makes of it

    def renew(self, draw: str = "") -> None:
        """Digests and pages made anew through bench. draw: the label of the set whose figures are drawn, too.

        Figures of other sets stay where their results do, else a stand-in says what they were drawn from: drawing is
        most of a report's time, and nothing looks at it yet. BENCH_FORGED_FIGURES=1 draws all.
        """
        write_digests(self.results)
        with (
            self.as_checkout(),
            patch.object(page, "report", partial(weighed.report, draw)),
            patch.object(style, "save", weighed.save),
        ):
            page.write_report(self.name, self.sweep, self.results, self.reports)
            if self.index:
                studies = coverage.load(known_sweeps(self.root / "results"), self.root / "results")
                coverage.write_index(studies, self.root / "reports")
                readme.write_blocks(readme.Project(studies, self.root))

    def verdict(self, *, figures: bool = False) -> dict[str, str]:
        """The first problem that each check of `bench verify` finds, by the check's name.

        Those of the sweep, and beside it; where the forgery says `index`, of the index, too. figures: whether they are
        drawn once more, with `--figures`, where no other check finds anything.
        """
        results, reports = self.root / "results", self.root / "reports"
        about = (self.name, self.sweep, self.results, self.reports)
        found: dict[str, Iterable[str]] = {"SHA256SUMS": [*differences(self.results), *differences(self.reports)]}
        with self.as_checkout():
            try:
                published = Published.read(self.results)
                found |= {check.__name__: list(check(published)) for check in CHECKS}
                found["pages"] = list(report_problems(*about))
            except (StoreError, SpecError) as error:
                found["read"] = [str(error)]
            found["across"] = list(verify.across(sorted(path.parent for path in results.glob("*/runs.csv"))))
            found["strays"] = list(verify.stray_problems(results, reports))
            if self.index:
                found["index"] = list(verify.index_problems(known_sweeps(results), results, reports))
            if figures and not any(found.values()):
                found["figures"] = list(verify.figure_problems(*about, []))
        return {name: next(iter(its)) for name, its in found.items() if its}

    def said(self) -> set[str]:
        """What `bench verify` says that it could not check, whatever the numbers in it."""
        with self.as_checkout():
            return {re.sub(r"[0-9]+|runs?", "#", sentence) for sentence in verify.unchecked(self.results)}

    @contextlib.contextmanager
    def as_checkout(self) -> Iterator[None]:
        """Typed in the copy's folder, with the copy's numbers of the paper."""
        cached = (bench.paper.paper_numbers, bench.paper.reproductions)
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.chdir(self.root))
            stack.enter_context(patch.object(bench.paper, "files", lambda name: self.root / name))
            for module in (claims_dated, commits, older):
                stack.enter_context(patch.object(module, "SOURCE", self.root))
            for one in cached:
                one.cache_clear()
            files = (self.results / DECLARATION, *self.root.glob("sweeps/*.py"), *self.root.glob("bench/*.yaml"))
            about = " ".join(sha256(path.read_bytes()) for path in sorted(files) if path.exists())
            try:
                with weighed.once(about):
                    yield
            finally:
                for one in cached:
                    one.cache_clear()

    def commit(self, message: str = "Results", when: str = "", who: tuple[str, str] = AUTHOR) -> None:
        """Commits all as `who`; when: an ISO date, a minute after the last commit without one."""
        if not self.git("status", "--porcelain"):
            return
        stamp = when or f"{int(self.git('show', '-s', '--format=%ct', 'HEAD')) + 60} +0000"
        names = dict(zip(("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"), who, strict=True))
        names |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in names.items()}
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message, **names, GIT_AUTHOR_DATE=stamp, GIT_COMMITTER_DATE=stamp)


def fingerprint(root: Path) -> str:
    """Of all that a stranger can see: the files, and the history with its replacements."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and ".git" not in path.parts)
    texts = [f"{path.relative_to(root)} {sha256(path.read_bytes())}" for path in files if "runs" not in path.parts]
    return "\n".join([*texts, run_git(root, "log", "--format=%H %an %aI %cI"), run_git(root, "for-each-ref")])
