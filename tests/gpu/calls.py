"""The calls on the machine: what arrives is kept, speeds are measured, nets are trained, archives are saved."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType

from bench.machine import MEMORY, SOURCE, cores, memory_gib
from bench.spec import counted
from bench.store import RunFolder, all_folders
from tests.gpu import carrying
from tests.gpu.carrying import CarryError
from tests.gpu.planning import PLAIN, Round, choose, read_speeds
from tests.gpu.steps import Log, Step
from tests.gpu.wheels import FOLDER

PROBE_SECONDS, UNPACK_SECONDS = 60, 90  # a first CUDA context may take long
SAVE_SECONDS = 15  # of the margin, for the checkpoints
# what comes back: 8 files of 16 MiB, 64 MiB in all; the log and the speeds are two of them
FILES, FILE_MIB = 4, 15
NO_CUDA = 2


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
        places = os.pathsep.join((str(SOURCE), str(self.work / FOLDER)))
        own = {"PYTHONPATH": places, "PYTHONUNBUFFERED": "1", "BENCH_DATA": str(self.work / "data")}
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
        values = {"python": sys.executable, "data": str(self.work / "data")}
        command = [word.format(**values) for word in shlex.split(self.args.unpack)]
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
    take_memory(call.log)
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


def take_memory(log: Log) -> None:
    """Some virtual machines report little memory at first and grow: 4 GiB a core where they report less than half."""
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
        places = [f"--out={self.call.work / 'runs'}"]
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
        until = time.monotonic() + SAVE_SECONDS  # it then writes a report, which nobody waits for
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
    take_memory(call.log)
    if args.resume:
        archives = sorted(map(str, call.kept.glob(args.resume)))
        call.log.check(call.bench("resume", "bench", "unpack", *archives, "--runs", str(call.runs)), UNPACK_SECONDS)
    work.rounds()
    if not work.stopped and not work.pack(work.end_at - time.monotonic()):
        call.log.trouble("the last archives could not be made")
    states = [folder.state() for folder in all_folders(call.runs)]
    call.log.say(f"runs: {', '.join(f'{states.count(state)} {state}' for state in dict.fromkeys(states)) or 'none'}")
    return call.log.end()
