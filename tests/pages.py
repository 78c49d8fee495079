"""The pages that people wrote, their blocks of commands, and a reader who types them in a folder of his own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.cli.commands import main
from bench.cli.sweep import main as sweep_main
from bench.cli.sweep_files import load_sweep
from bench.speed import made_up
from bench.store import RunFolder

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CHANGELOG.md", "results/README.md")),
        *(path for folder in ("bench", "sweeps", "tests") for path in (ROOT / folder).rglob("*.md")),
    ]
)
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
KINDS = ("plain", "data", "slurm", "gpu", "network")  # of a block of commands, by what it needs
OTHERS = ("python", "toml", "text")  # blocks that are no commands
JOB, COMMAND, TESTS = (["python", "-m", name] for name in ("bench.sweep", "bench", "pytest"))
FOR_REAL = ["plain_vs_residual"]  # the main job; any other start of a sweep says only what it would do


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a page. kind: the words behind its three ticks, `sh plain`."""

    page: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{label(self.page)}:{self.line}"

    @property
    def file(self) -> str:
        """The file of code that it is, as its first line says: `# my_nets.py`; "" of others."""
        found = re.match(r"# (\w+\.py)\n", self.text)
        return found[1] if found else ""

    @property
    def commands(self) -> list[str]:
        """Its lines without comments."""
        return [line for line in self.text.splitlines() if shlex.split(line, comments=True)]


def label(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(*kinds: str) -> list[Block]:
    """All blocks, or the commands of these kinds."""
    found = [block for page in PAGES for block in blocks_of(page)]
    return [block for block in found if not kinds or block.kind in [f"sh {kind}" for kind in kinds]]


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        yield Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2])


def files_on_pages() -> dict[str, str]:
    """The files of code that pages show whole, by name."""
    return {block.file: block.text for block in blocks() if block.file}


def furnish(folder: Path, digest: str, scale: str = "quick", data: str = "stand-in") -> None:
    """What the pages speak of: a data folder DIR, a profile, a study of one's own, and the main job's runs, made up.

    digest: of the data that the runs are to have seen.
    """
    (folder / "DIR").mkdir()
    (folder / "my").mkdir()
    for name, text in files_on_pages().items():
        (folder / name).write_text(text)
    study = next(block.text for block in blocks() if "SWEEP = Sweep(" in block.text and not block.file)
    (folder / "my" / "own_study.py").write_text(study)
    (folder / "my.toml").write_text(next(block.text for block in blocks() if block.text.startswith("# my.toml")))
    for run in load_sweep("plain_vs_residual")[1].runs(scale, data=data):
        made_up.finish(RunFolder(folder / "runs" / "plain_vs_residual" / run.id), run, 50.0)
        # its environment names the data
        path = folder / "runs" / "plain_vs_residual" / run.id / "env.json"
        path.write_text(path.read_text().replace("d" * 64, digest))


def type_in(line: str) -> int:
    """The exit code of a line."""
    words = shlex.split(line, comments=True)
    return _typed(line if words[:1] != ["python"] else "", *words)


@cache  # what several pages say is typed once
def _typed(line: str, *words: str) -> int:
    """A start of a sweep is given --dry-run, but for the main job."""
    first, rest = list(words[:3]), list(words[3:])
    try:
        if first == JOB:
            return sweep_main(rest if rest == FOR_REAL else [*rest, "--dry-run"])
        if first == COMMAND:
            return main(rest)
    except SystemExit as ended:  # argparse
        return int(ended.code or 0)
    if words == (".ci/run",) or [word for word in words if "=" not in word][:3] == TESTS:
        return 0 if is_a_test_run(words) else 2
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return subprocess.run(["bash", "-ec", line], env={**os.environ, "PATH": path}, capture_output=True).returncode


def is_a_test_run(words: Sequence[str]) -> bool:
    """Whether its paths and markers are there. It is not run by a test: that would be the tests within the tests."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    markers = {marker.partition(":")[0] for marker in declared["markers"]}
    paths = [word for word in words if word.startswith(("tests", "."))]
    asked = [
        set(re.findall(r"\w+", words[k + 1])) - {"and", "or", "not"} for k, word in enumerate(words) if word == "-m"
    ]
    return all((ROOT / path).exists() for path in paths) and set().union(*asked[1:]) <= markers
