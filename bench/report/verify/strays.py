"""Files in results/ and reports/ that no part of the suite writes, and results of whole sweeps that are gone.

Hidden files count for nothing here, as in SHA256SUMS: no page reads them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from bench.machine import GitError, git
from bench.report.digests import files_in
from bench.report.verify.commits import complete, in_suite, suite_commits
from bench.report.verify.history import WITHDRAWN
from bench.report.verify.published import Published
from bench.report.verify.unchanged import changed_numbers, changed_speeds
from bench.store import StoreError, read_json

OF_STUDY = ("sweep.py", "study.json", "published.csv")
OF_SWEEP = (
    "runs.csv", "repeats.csv", "curves.parquet", "layers.parquet", "correct.npz", "pairs.npz", "matches.npz",
    "ensembles.csv", "registers/*.jsonl", "manifests/*.json", "manifests/*.json.sig", "manifests/*.json.tsr",
    "tests.csv", "tests.npz", "requirements/*.txt", "weights/*.safetensors", "weights/*.md", "weights/*.py",
    "code/*.py", *OF_STUDY,
)  # fmt: skip
OF_ALL = ("README.md", WITHDRAWN, "allowed_signers", "authorities.pem", "speed/*.json")
NOBODYS = "is a file that no part of the suite writes"
OF_ANOTHER = "is of a study of somebody's own, and this sweep is the suite's; a study of your own has another name"
OF_REPORTS = ("README.md", "index.html", "nets.md", "summary.md", "first_run.svg", "procedure/*.md")


def of_files(published: Published) -> Iterator[str]:
    """Files among a sweep's results that no part of the suite writes, or writes for studies of others alone."""
    folder = published.folder.resolve()
    yield from (f"{published.folder / path} {NOBODYS}" for path in _strays(files_in(published.folder), OF_SWEEP))
    if folder.parent == in_suite("results") and in_suite(f"sweeps/{folder.name}.py").is_file():
        yield from (f"{published.folder / name} {OF_ANOTHER}" for name in OF_STUDY if (folder / name).exists())


def stray_problems(results: Path, reports: Path) -> Iterator[str]:
    """The same beside the folders of the sweeps, files of results/speed, and sweeps whose results are gone."""
    sweeps = {path.parent.name for path in results.glob("*/runs.csv")}
    beside = [path for path in files_in(results) if path.parts[0] not in sweeps]
    yield from (f"{results / path} {NOBODYS}" for path in _strays(beside, OF_ALL))
    pages = [path for path in files_in(reports) if path.parts[0] not in sweeps]
    yield from (f"{reports / path} {NOBODYS}" for path in _strays(pages, OF_REPORTS))
    for path in sorted(results.glob("speed/*.json")):
        yield from (f"{path}: {problem}" for problem in _speed_problems(path))
    with suppress(GitError):  # what is not checked without git is said of the sweeps
        yield from _gone(results, sweeps)
        yield from changed_speeds(results)
        yield from changed_numbers()


def _strays(files: Iterable[Path], known: Iterable[str]) -> list[Path]:
    return [path for path in files if not any(fnmatchcase(path.as_posix(), pattern) for pattern in known)]


def _speed_problems(path: Path) -> Iterator[str]:
    """What is wrong with where and when speeds were measured; the figures themselves no check can repeat."""
    try:
        kept, known = read_json(path), suite_commits()
        name, day = str(kept["commit"] or ""), str(kept["date"])
        if not str(kept["command"]).startswith("python -m bench speed"):
            yield f"its command is {kept['command']!r}, which measures no speed"
        if name in known and known[name].date[:10] > day:
            yield f"its commit {name[:10]} was made after its date ({known[name].date}, {day})"
        elif name and name not in known and complete(path.parents[1]):
            yield f"its commit {name[:10]} is none of the {len(known):,} in this history"
    except (StoreError, GitError, LookupError, TypeError):
        return  # said where the page of speeds is held against the files, or of the commits


def _gone(results: Path, sweeps: set[str]) -> Iterator[str]:
    """The sweeps whose results a commit removed, and that are not listed as withdrawn. Raises GitError."""
    words = ("-c", "log.showSignature=false", "log", "--full-history", "--diff-filter=D", "--no-renames", "--name-only")
    listed = git(results, *words, "--relative", "--format=", "HEAD", "--", "*/runs.csv").decode().split("\n")
    tracked = git(results, "ls-files", "--deleted", "--", "*/runs.csv").decode().split("\n")
    removed = {Path(line).parent.as_posix() for line in (*listed, *tracked) if line.count("/") == 1} - sweeps
    try:
        rows = csv.DictReader(io.StringIO((results / WITHDRAWN).read_text(encoding="utf-8")))
        removed -= {str(row.get("sweep")) for row in rows}
    except (OSError, ValueError, csv.Error):  # without it nothing is withdrawn; that it is damaged is said elsewhere
        pass
    yield from (
        f"{results / name}: it had results, which are gone and not listed in {WITHDRAWN}" for name in sorted(removed)
    )
