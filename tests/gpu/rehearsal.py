"""A stretch on this CPU, from what travels to the results at home, with nets of seconds in a temporary folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from bench.machine import SOURCE

SWEEP = """
from bench.spec import Net, Recipe, Resources, Scale, Sweep

def recipe(steps):
    return Recipe(steps=steps, drops=(6, 9), batch=8, bn_group=4, test_images=40, curve_every=3, test_every=steps)

few, many = recipe(12), recipe({steps})
cells = ((Net("cifar", 20, "none"), few), (Net("cifar", 20, "A"), many), (Net("cifar", 32, "A"), few))
SWEEP = Sweep("Tiny on CIFAR-10", "Does it run?", "It does.", {{"quick": Scale(cells, (0,))}},
              resources=Resources(cpus=1, gpus=0, memory_gib=0.5, checkpoint_seconds=1))
"""
UNPACK = "import pathlib, sys; parts = sorted(pathlib.Path('given').iterdir()); " + (
    "pathlib.Path(sys.argv[1], 'whole').write_bytes(b''.join(p.read_bytes() for p in parts))"
)
LONG_SECONDS = 18.0  # of steps of the run that is to be cut off and resumed; with all around them thrice as long
OFFLINE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
RUN_SECONDS = 240
PART = 1_000_000  # bytes of each half of the data


class RehearsalError(AssertionError):
    """What did not go as it should."""


class Rehearsal:
    """A home, a machine, and what travels between them, below `root`."""

    def __init__(self, root: Path) -> None:
        self.root, self.tree, self.travel = root, root / "tree", root / "travel"
        self.faults: list[str] = []
        self.env = {**os.environ, **OFFLINE, "XDG_CACHE_HOME": str(root / "cache"), "CUDA_VISIBLE_DEVICES": ""}

    def all_of_it(self) -> None:
        """From the parts at home to the results at home."""
        self.pack_up()
        self.commit = self.prepare(["--parts", str(self.root / "home"), "unpack.py", "given/*"])
        self.first()
        out = self.campaign("away", "2", limit=45, margin=12, every=6)
        self.expect((self.root / "away" / "data" / "whole").read_bytes() == b"12" * PART, "the data are whole")
        steps = self.steps_done(out)
        self.expect(steps.get("plain-20") == 12, f"the short run ended: {steps}")
        self.expect(0 < steps.get("resnet-20", 0) < self.long_steps, f"the long run was cut off and saved: {steps}")
        self.prepare(["--parts", str(out), "runs-*.tar"])
        again = self.campaign("later", "1", limit=300, margin=12, every=30, resume="runs-*.tar")
        ended = {"plain-20": 12, "resnet-20": self.long_steps, "resnet-32": 12}
        self.expect(self.steps_done(again) == ended, "the long run went on and ended, and so did the rest")
        self.home([out, again])

    def expect(self, holds: bool, words: str) -> None:
        """Raises RehearsalError unless it holds."""
        if not holds:
            raise RehearsalError(f"not so: {words}")
        print(f"---- {words}", flush=True)

    def pack_up(self) -> None:
        """A copy of what git tracks, without its history; and data in parts."""
        names = subprocess.run(["git", "-C", str(SOURCE), "ls-files", "-z"], capture_output=True, text=True, check=True)
        for name in filter(None, names.stdout.split("\0")):
            if (SOURCE / name).is_file():
                (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(SOURCE / name, self.tree / name)
        (self.root / "home" / "given").mkdir(parents=True)
        (self.root / "home" / "unpack.py").write_text(UNPACK)
        for name in "ab":
            (self.root / "home" / "given" / name).write_bytes(b"12" * (PART // 2))

    def prepare(self, parts: list[str]) -> str:
        """What travels, in transfers so small that the data need two; returns the commit."""
        from tests.gpu.carrying import MIB, tree_bytes

        mib = str((tree_bytes(SOURCE) + 1.5 * PART) / MIB)
        more = ["--mib", mib] if "given/*" in parts else []
        words = ["prepare", "--travel", str(self.travel), "--allow-dirty", *more, *parts]
        said = self.run([sys.executable, "-m", "tests.gpu.stretching", *words], SOURCE, SOURCE)
        self.expect(said.count("tests/gpu/stretch") == 2, "two calls are prepared")
        return said.rpartition("commit ")[2].split()[0]

    def first(self) -> None:
        """The first call; what it measures makes the long run long enough here."""
        words = ["--out", str(self.root / "out1"), "--share", str(self.travel / "1"), *self.unpack, "--rehearse"]
        said = self.stretch("first", "--work", str(self.root / "away"), *words, "--seconds", "10")
        self.expect("1 part still to come" in said and "unpack:" not in said, "half of the data is kept")
        pace = re.search(r"([\d.]+) ms each", said)
        self.expect(pace is not None, "a step is timed")
        milliseconds = float(pace[1]) if pace else 1.0
        self.long_steps = max(60, 3 * int(1e3 * LONG_SECONDS / milliseconds / 3))
        (self.root / "tiny.py").write_text(SWEEP.format(steps=self.long_steps))

    @property
    def unpack(self) -> list[str]:
        """The option."""
        return ["--unpack", "{python} unpack.py {data}"]

    def campaign(self, place: str, share: str, limit: float, margin: float, every: float, resume: str = "") -> Path:
        """A campaign in a folder of its own; returns what comes back."""
        work, out = self.root / place, self.root / f"{place}-out" / "out"
        out.mkdir(parents=True)
        if resume:
            work.mkdir()
            with suppress(FileNotFoundError):
                shutil.copyfile(self.root / "away" / "speeds.json", work / "speeds.json")
        words = ["--work", str(work), "--out", str(out), "--share", str(self.travel / share)]
        words += ["--resume", resume] if resume else self.unpack
        times = ["--limit", f"{limit:g}", "--margin", f"{margin:g}", "--every", f"{every:g}"]
        began = time.monotonic()
        self.stretch(
            "campaign", *words, *times, "--sweep", str(self.root / "tiny.py"), "--scale", "quick", "--at-once", "2"
        )
        self.expect(time.monotonic() - began < limit, "the call ended before its limit")
        return out

    def stretch(self, *words: str) -> str:
        """A call on the machine: in the copy, which has no history."""
        return self.run([sys.executable, str(self.tree / "tests" / "gpu" / "stretch"), *words], self.tree, self.tree)

    def steps_done(self, out: Path) -> dict[str, int]:
        """The step of each run in the archives, which name the commit of the tree."""
        from bench.transfer import archive

        found: dict[str, int] = {}
        for path in sorted(out.glob("runs-*.tar")):
            for parcel in archive.read(path):
                found["-".join(parcel.id.split("-")[:2])] = parcel.step
                if parcel.state == "done":
                    known = json.loads(parcel.files["env.json"])["commit"]
                    self.expect(known == self.commit, f"{parcel.id} knows its commit")
        return found

    def home(self, back: list[Path]) -> None:
        """What has come back becomes results."""
        python = [sys.executable, "-m", "bench"]
        runs = self.root / "home" / "runs"
        self.run([*python, "unpack", *map(str, back), "--out", str(runs)], SOURCE, SOURCE)
        name = str(self.root / "tiny.py")
        self.run([*python, "report", name, "--out", str(runs)], SOURCE, SOURCE)
        self.expect((runs / "tiny" / "results" / "runs.csv").is_file(), "the results are at home")

    def run(self, command: list[str], folder: Path, code: Path) -> str:
        """Runs it with this code; returns its output. An exit code other than 0 is noted, and the rest still runs."""
        print(f"$ {shlex.join(command)}", flush=True)
        env = {**self.env, "PYTHONPATH": str(code)}
        with subprocess.Popen(
            command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
        ) as process:
            said = []
            try:
                for line in process.stdout or ():
                    said.append(line)
                    print(f"  {line}", end="", flush=True)
                process.wait(RUN_SECONDS)
            except BaseException:
                os.killpg(process.pid, signal.SIGTERM)
                raise
        if process.returncode:
            self.faults.append(f"exit code {process.returncode} of {shlex.join(command)}")
        return "".join(said)


def rehearse() -> int:
    """Exit code 0 where every step did what it should."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stretch-") as root:
        rehearsal = Rehearsal(Path(root))
        try:
            rehearsal.all_of_it()
        except RehearsalError as error:
            rehearsal.faults.append(str(error))
    if rehearsal.faults:
        print("\n".join(f"rehearsal: {words}" for words in rehearsal.faults), file=sys.stderr)
        return 1
    print(f"rehearsal: all went as planned, in {time.monotonic() - began:.0f} s")
    return 0
