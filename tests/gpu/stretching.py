"""The paper's Table 6 on a GPU that is lent for a quarter of an hour, over a queue that runs one command at a time.

    tests/gpu/stretch prepare --parts BASE GLOB… --unpack CMD   at home: what to carry, and the commands to run there
    tests/gpu/stretch first …      the first call: what this machine is, whether all is right on it, how fast it is
    tests/gpu/stretch keep …       calls between, where data need more than two transfers
    tests/gpu/stretch campaign …   the last call: as many nets as the time allows, saved in archives every minute
    tests/gpu/stretch rehearse     all of it on a CPU, in minutes

Each call copies the tree and a share of the data there; what lies in --out comes back, even from a call that is cut
off; --work is a folder that stays on the machine between the calls. A step that fails is said, and the rest goes on
without it. At home the results come in with

    python -m bench unpack OUT/runs-*.tar && python -m bench collect plain_vs_residual

and runs that have not ended go on in another stretch: prepare --parts OUT 'runs-*.tar' --resume 'runs-*.tar' ….
Exit codes: 0 all went as planned, 1 a step failed, 2 no CUDA device or nothing to be done at all.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from bench.cli.options import Parser, parse_count, parse_seeds
from bench.machine import MEMORY, SOURCE, cores, memory_gib
from bench.spec import SCALES, counted
from bench.store import RunFolder, all_folders
from tests.gpu import carrying
from tests.gpu.carrying import MIB, CarryError
from tests.gpu.steps import Log, Step

PROBE_SECONDS, UNPACK_SECONDS = 60, 90  # a first CUDA context may take long
COMMAND_LENGTH = 2_000
MARGIN = 35  # seconds before the limit at which all is saved
SAVE_SECONDS = 15  # of them, for the checkpoints
# what comes back: 8 files of 16 MiB, 64 MiB in all; the log and the speeds are two of them
FILES, FILE_MIB = 4, 15
SHARES = ((1.0, (20, 32, 44, 56, 110)), (0.58, (20, 32, 44, 56)), (0.37, (20, 32, 44)), (0.0, (20,)))  # of ten nets
SAFE = 0.85  # of the seconds left that may be planned
NO_CUDA = 2


def parse_positive(text: str) -> float:
    """A number above 0."""
    if not re.fullmatch(r"\d{1,9}(\.\d+)?", text) or not float(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0; write one such as 60 or 1.5")
    return float(text)


@dataclass(frozen=True, slots=True)
class Speeds:
    """What `bench speed gpu` found: seconds for one seed of the ten nets, so many at once."""

    seconds_a_seed: float
    at_once: int


@dataclass(frozen=True, slots=True)
class Round:
    """A start of the sweep: depths (none: all nets, the longest first), runs at once, --kernels ("": as measured)."""

    depths: tuple[int, ...] = ()
    at_once: int = 1
    kernels: str = ""

    def options(self) -> list[str]:
        """For bench.sweep."""
        nets = [name for depth in reversed(self.depths) for name in (f"plain-{depth}", f"resnet-{depth}-A")]
        only = ["--only", ",".join(nets)] if nets else []
        return [*only, "--at-once", str(self.at_once), *(["--kernels", self.kernels] if self.kernels else [])]


PLAIN = Round((20,), kernels="eager")  # what is left where nothing quicker is known to work


def read_speeds(path: Path) -> Speeds | None:
    """What was measured; None where there is no such file or it does not say."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        speeds = Speeds(float(value["seconds_a_seed"]), int(value["at_once"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return speeds if speeds.seconds_a_seed > 0 and speeds.at_once > 0 else None


def choose(seconds: float, speeds: Speeds | None) -> Round:
    """The nets that end within so many seconds.

    Only they train at first: a net of 110 layers beside them would take its share of the device from each.
    """
    if speeds is None:
        return PLAIN
    depths = next(nets for share, nets in SHARES if share * speeds.seconds_a_seed <= SAFE * seconds)
    return Round(() if len(depths) == len(SHARES[0][1]) else depths, min(speeds.at_once, 2 * len(depths)))


def prepare(args: argparse.Namespace) -> int:
    """Lays out what travels and prints the calls."""
    known = carrying.known_commit(SOURCE, allow_dirty=args.allow_dirty)
    room = args.mib * MIB - carrying.tree_bytes(SOURCE)
    if room < 0:
        raise CarryError(f"the tree alone has {args.mib - room / MIB:.1f} MiB, and a call carries --mib {args.mib:g}")
    folders = carrying.lay_out(args.travel, carrying.find_parts(args.parts), room, known)
    lacks = left_at_home(args, folders)
    for number, (folder, line) in enumerate(zip(folders, command_lines(args, len(folders)), strict=True), 1):
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        carried = f"{args.travel.name}/{number} ({size / MIB:.1f} MiB)"
        print(f"call {number} carries {carried} beside the tree and runs\n  {line}")
    for line in lacks:
        print(line)
    print(f"LIMIT: the seconds that the last call may run, at most what is left of the loan; commit {known['commit']}")
    return 0


def left_at_home(args: argparse.Namespace, folders: Sequence[Path]) -> list[str]:
    """Lines on what the calls will lack. Raises CarryError where --resume names none of the parts."""
    if args.resume and not any(carrying.files_in(folder, args.resume) for folder in folders):
        raise CarryError(f"--resume {args.resume} names no part: give the archives as --parts, too")
    lines = [] if args.resume else ["no --resume: no earlier runs travel, all begin anew"]
    if not args.unpack:
        lines.append("no --unpack: the machine gets no data and has to download them")
    elif not args.parts:
        lines.append("no --parts: --unpack has nothing to make data of")
    return lines


def command_lines(args: argparse.Namespace, calls: int) -> list[str]:
    """What each call runs. Raises CarryError for one that is too long."""
    unpack = f" --unpack {shlex.quote(args.unpack)}" if args.unpack else ""
    words = ["first", *["keep"] * (calls - 2), "campaign --limit LIMIT"]
    lines = [
        f'python3 tests/gpu/stretch {word} --work {shlex.quote(str(args.work))} --out "$OUT" '
        f"--share {shlex.quote(args.travel.name)}/{number}{unpack}"
        for number, word in enumerate(words, 1)
    ]
    if args.resume:
        lines[-1] += f" --resume {shlex.quote(args.resume)}"
    if long := [line for line in lines if len(line) >= COMMAND_LENGTH]:
        raise CarryError(f"a command of {len(long[0]):,} characters: a queue takes fewer than {COMMAND_LENGTH:,}")
    return lines


class Stretch:
    """One call on the machine: its folders, its environment and its log."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.began = args, time.monotonic()
        self.work: Path = args.work.absolute()
        self.out: Path = args.out.absolute()
        for folder in (self.work / "data", self.out):
            folder.mkdir(parents=True, exist_ok=True)
        self.log = Log(self.out / "stretch.log", self.began)
        self.kept, self.runs = self.work / "parts", self.work / "runs"
        own = {"PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1", "BENCH_DATA": str(self.work / "data")}
        os.environ.update({**own, "XDG_CACHE_HOME": str(self.work / "cache")})  # the last call finds what was measured

    def take_share(self) -> Step | None:
        """Keeps what this call brought; starts to unpack where all is there."""
        if self.args.share:
            missing = carrying.arrive(self.args.share, self.kept)
            self.log.say(f"{self.args.share} has arrived; {counted(len(missing), 'part')} still to come")
        else:
            missing = carrying.missing(self.kept)
        if not self.args.unpack or missing or self.unpacked.exists():
            return None
        told = {"python": sys.executable, "data": str(self.work / "data")}
        command = [word.format(**told) for word in shlex.split(self.args.unpack)]
        return Step("unpack", command, self.log, cwd=self.kept)

    @property
    def unpacked(self) -> Path:
        """There as soon as the data are."""
        return self.work / "unpacked"

    def finish_unpacking(self, step: Step | None) -> None:
        """Waits for the data."""
        if step is not None and self.log.check(step, UNPACK_SECONDS):
            self.unpacked.touch()

    def bench(self, name: str, *command: str) -> Step:
        """A step of this suite."""
        return Step(name, [sys.executable, "-m", *command], self.log, cwd=SOURCE)


def first(args: argparse.Namespace) -> int:
    """The first call: asserts CUDA, measures; meanwhile the data are unpacked where all are there."""
    call = Stretch(args)
    rehearse = ["--rehearse"] if args.rehearse else []
    unpacking = call.take_share()
    tell_memory(call.log)
    probe = call.bench("probe", "tests.gpu.probe", *rehearse)
    if not call.log.check(probe, PROBE_SECONDS) and probe.code == NO_CUDA:
        return NO_CUDA
    found = call.out / "speeds.json"
    command = ["bench", "speed", "gpu", "--seconds", str(args.seconds), "--json", str(found), *rehearse]
    if call.log.check(call.bench("speed", *command), args.seconds + 60) and (speeds := read_speeds(found)):
        shutil.copyfile(found, call.work / "speeds.json")
        call.log.say(f"one seed of ten nets: {speeds.seconds_a_seed:,.0f} s, {speeds.at_once} at once")
    else:
        call.log.trouble("no speeds: the campaign will train 20 layers, eager, one at a time")
    call.finish_unpacking(unpacking)
    return call.log.end()


def tell_memory(log: Log) -> None:
    """Some virtual machines say little main memory at first and grow: 4 GiB a core where they say less than half."""
    if MEMORY not in os.environ and memory_gib() < 2 * cores() and shutil.which("nvidia-smi"):
        os.environ[MEMORY] = str(4 * cores())
        log.say(f"{memory_gib():.0f} GiB are taken to be here, as MemTotal is less than 2 GiB a core")


def keep(args: argparse.Namespace) -> int:
    """A call that only brings data."""
    call = Stretch(args)
    call.finish_unpacking(call.take_share())
    return call.log.end()


class Campaign:
    """The last call: the sweep, and its archives."""

    def __init__(self, call: Stretch) -> None:
        self.call, self.args, self.log = call, call.args, call.log
        self.stop_at: float = call.began + call.args.limit - call.args.margin
        self.end_at: float = call.began + call.args.limit - 2
        self.steps: dict[Path, tuple[float, int]] = {}
        self.stopped = False
        beside = call.out.parent  # archives are made there and renamed; what lies below --out could come back half
        same = call.out.stat().st_dev == beside.stat().st_dev and os.access(beside, os.W_OK)
        self.archives = call.out if same else call.out / "runs"

    @property
    def left(self) -> float:
        """Seconds until all has to be saved."""
        return self.stop_at - time.monotonic()

    def stop_now(self, *_: int | FrameType | None) -> None:
        """As if the time were over: for a SIGTERM."""
        self.stop_at = min(self.stop_at, time.monotonic())
        self.end_at = min(self.end_at, self.stop_at + self.args.margin)

    def rounds(self) -> None:
        """What ends in time first; then the other nets, which leave checkpoints. After a crash, what always works."""
        speeds = read_speeds(self.call.work / "speeds.json")
        plan = choose(self.left, speeds)
        if self.args.at_once:
            plan = replace(plan, at_once=self.args.at_once)
        self.log.say(f"{self.left:.0f} s for training, {speeds or 'no speeds'}: {plan}")
        if speeds is None:
            self.log.trouble("no speeds from the first call")
        code = self.sweep(plan)
        if self.log.check_code("sweep", code, (0, 1)) and plan.depths:
            self.sweep(replace(plan, depths=()))
        elif not self.stopped and code not in (0, 1) and plan != PLAIN:
            self.sweep(PLAIN)

    def sweep(self, plan: Round) -> int:
        """Trains until all is done or the time is over; returns the exit code, 0 where it was stopped."""
        if self.left < 5:
            return 0
        places = [f"--{kind}={self.call.work / kind}" for kind in ("runs", "results", "reports")]
        seeds = ",".join(map(str, self.args.seeds))
        scale = ["--scale", self.args.scale, "--seeds", seeds, "--cluster", "crew"]
        limit = ["--time-limit", f"{self.left:.0f}s"]
        step = self.call.bench("sweep", "bench.sweep", self.args.sweep, *scale, *limit, *plan.options(), *places)
        halves = 1
        due = time.monotonic() + self.args.every / 2
        while step.running() and self.left > 0:
            time.sleep(min(0.2, max(0, self.left)))
            if time.monotonic() >= due and self.left > 0:
                self.project()
                if halves % 2 == 0 and self.left > self.args.every / 4:  # else the last ones come soon enough
                    self.pack(min(self.left, self.args.every))
                halves, due = halves + 1, time.monotonic() + self.args.every / 2
        if not step.running():
            return step.wait(0)
        self.stopped = True
        step.terminate()
        until = time.monotonic() + SAVE_SECONDS  # it goes on to write a report, which nobody waits for
        while step.running() and time.monotonic() < until and any(f.lives() for f in self.folders()):
            time.sleep(0.2)
        step.kill(grace=0)
        if not self.pack(self.end_at - time.monotonic()):
            self.log.trouble("the last archives could not be made")
        return 0

    def folders(self) -> list[RunFolder]:
        """Of the runs that have begun."""
        return [folder for folder in all_folders(self.call.runs) if folder.heartbeat()]

    def project(self) -> None:
        """Says when each run would end, by its pace since the last time."""
        words = []
        for folder in self.folders():
            beat, steps = folder.heartbeat() or {}, folder.run().recipe.steps
            at = float(beat["time"]), int(beat["step"])
            before, self.steps[folder.path] = self.steps.get(folder.path, (0.0, 0)), at
            pace = (at[1] - before[1]) / (at[0] - before[0]) if before[0] and at[0] > before[0] else 0.0
            ends = f", ends in {(steps - at[1]) / pace:,.0f} s" if pace and at[1] < steps else ""
            done = folder.result() is not None
            words.append(f"{folder.path.name} {'done' if done else f'{at[1]:,} of {steps:,}{ends}'}")
        self.log.say(f"{self.left:.0f} s left; {'; '.join(words) or 'no run has begun'}")

    def pack(self, seconds: float) -> bool:
        """Renews the archives. Before a first checkpoint there is nothing to pack."""
        room = ["--files", str(FILES), "--mib", str(FILE_MIB), "--runs", str(self.call.runs)]
        step = self.call.bench("pack", "bench", "pack", str(self.archives), *room)
        return step.wait(max(1.0, seconds)) == 0


def campaign(args: argparse.Namespace) -> int:
    """The last call."""
    if args.limit <= args.margin:
        raise CarryError(f"--limit {args.limit:g} is all for saving: give more than --margin {args.margin:g}")
    call = Stretch(args)
    work = Campaign(call)
    signal.signal(signal.SIGTERM, work.stop_now)
    with_speeds = call.work / "speeds.json"
    if with_speeds.exists():
        shutil.copyfile(with_speeds, call.out / "speeds.json")
    call.finish_unpacking(call.take_share())
    if args.unpack and not call.unpacked.exists():
        call.log.trouble(f"the data are not there; parts that have not arrived: {carrying.missing(call.kept)[:3]}")
    tell_memory(call.log)
    if args.resume:
        archives = sorted(map(str, call.kept.glob(args.resume)))
        call.log.check(call.bench("resume", "bench", "unpack", *archives, "--runs", str(call.runs)), UNPACK_SECONDS)
    work.rounds()
    if not work.stopped and not work.pack(work.end_at - time.monotonic()):
        call.log.trouble("the last archives could not be made")
    states = [folder.state() for folder in all_folders(call.runs)]
    call.log.say(f"runs: {', '.join(f'{states.count(state)} {state}' for state in dict.fromkeys(states)) or 'none'}")
    return call.log.end()


def parser() -> argparse.ArgumentParser:
    """All commands."""
    top = Parser(prog="tests/gpu/stretch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    one = {work.__name__: commands.add_parser(work.__name__, help=work.__doc__) for work in WORKS}
    for work in WORKS:
        one[work.__name__].set_defaults(work_of=work)
    for name in ("prepare", "first", "keep", "campaign"):
        one[name].add_argument("--work", type=Path, default=Path("/tmp/stretch"), metavar="DIR", help="stays there")
        unpack = "makes the data in {data} from the parts, its working folder, with {python}; runs once all are there"
        one[name].add_argument("--unpack", metavar="CMD", help=unpack)
    for name in ("first", "keep", "campaign"):
        one[name].add_argument("--out", type=Path, required=True, metavar="DIR", help="comes back")
        one[name].add_argument("--share", type=Path, metavar="DIR", help="what this call has brought")
    for name in ("prepare", "campaign"):
        one[name].add_argument("--resume", metavar="GLOB", help="archives of earlier stretches among the parts")
    of = one["prepare"]
    of.add_argument("--parts", nargs="+", action="append", default=[], metavar=("BASE", "GLOB"), help="files to carry")
    of.add_argument("--mib", type=parse_positive, default=63, metavar="M", help="a transfer holds, with the tree (63)")
    of.add_argument("--travel", type=Path, default=SOURCE / "travel", metavar="DIR", help="where the shares go")
    of.add_argument("--allow-dirty", action="store_true")
    one["first"].add_argument("--seconds", type=parse_count, default=45, help="to measure speeds in (45)")
    one["first"].add_argument("--rehearse", action="store_true", help="on a CPU")
    of = one["campaign"]
    of.add_argument("--limit", type=parse_positive, required=True, metavar="SECONDS", help="that this command may run")
    of.add_argument("--margin", type=parse_positive, default=MARGIN, help="before it, for saving and packing (35)")
    of.add_argument("--every", type=parse_positive, default=60, metavar="SECONDS", help="archives are renewed (60)")
    of.add_argument("--sweep", default="plain_vs_residual")
    of.add_argument("--scale", choices=SCALES, default="paper")
    of.add_argument("--seeds", type=parse_seeds, default="0", metavar="0-4")
    of.add_argument("--at-once", type=parse_count, metavar="N", help="instead of as measured")
    return top


def rehearse(_: argparse.Namespace) -> int:
    """All of it on this CPU, in a temporary folder."""
    from tests.gpu.rehearsal import rehearse as all_of_it

    return all_of_it()


WORKS = (prepare, first, keep, campaign, rehearse)


def main(argv: Sequence[str] | None = None) -> int:
    """`tests/gpu/stretch`."""
    args = parser().parse_args(argv)
    try:
        return int(args.work_of(args))
    except CarryError as error:
        print(f"stretch: {error}", file=sys.stderr)
        return NO_CUDA


if __name__ == "__main__":
    sys.exit(main())
