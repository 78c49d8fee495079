"""Runs as jobs of a Slurm cluster, through submitit: one array for each shape of resources, several runs a job.

What became of a run is in its folder; the queue is asked only which jobs are still to come. submitit's own ways to
follow a job are not used: they trust sacct, and end a job that was requeued three times.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import shlex
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.launch.local import Executor
from bench.launch.slurm import commands
from bench.launch.slurm.commands import Job, Queue, SlurmError, ask
from bench.launch.slurm.job import Pack
from bench.launch.slurm.packing import Shape, as_word, batched, flags, is_crew, shapes, side_by_side
from bench.launch.slurm.profile import Profile
from bench.launch.worker import Stop
from bench.machine import KEEPS_PAGES, TUNABLES
from bench.spec import Resources, Run, counted
from bench.store import RunFolder, Submission, make_folder

NEVER = 1_000_000_000  # time-outs after which submitit gives a job up
FILES_SECONDS = 1.0
KEEP_PAGES = f"export {TUNABLES}=${{{TUNABLES}-{KEEPS_PAGES}}}"  # of the user or the profile's setup, if they set it
SPOILT = "launch failed requeued held"


def settled(profile: Profile) -> Profile:
    """The profile with no GPUs where the cluster has none, as a run without one trains on cores. Raises SlurmError."""
    commands.max_array_size()  # says in words where Slurm is not there
    if profile.gpus is None and not commands.partition_has_gpus(profile.partition):
        return replace(profile, gpus=0)
    return profile


class Slurm(Executor):
    """The executor. `code`: the snapshot of the code that the jobs import. `say` gets a line for each array."""

    slots = NEVER
    verb = "goes to the queue"

    def __init__(
        self, sweep: Path, data: Path, profile: Profile, code: Path, stop: Stop, say: Callable[[str], None]
    ) -> None:
        self.sweep, self.data, self.profile, self.code = sweep, data.absolute(), profile, code
        self.halt, self.say, self.queue = stop, say, Queue(sweep)
        self.arrays: dict[str, str] = {}  # number by job name: what this command submitted or found in the queue
        self._under_way: dict[str, RunFolder] = {}
        self._seen: dict[str, Job] = {}  # the last job of each run
        self._released: dict[str, float] = {}
        self._next = 0.0

    def submit(self, runs: Sequence[tuple[Run, RunFolder]]) -> None:
        """Submits what no job in the queue has already, all of it or nothing. Raises SlurmError."""
        queued = commands.patiently(self._queued)
        named = {folder.path.name: folder for _, folder in runs}  # a run's id is a digest: costly for thousands
        new = [(r, f) for r, f in runs if f.path.name not in queued and f.state() != "running"]
        if waits := len(runs) - len(new):
            self.say(f"slurm: {counted(waits, 'run')} in the queue or under way already")
        self.arrays |= {job.name: job.id.split("_")[0] for name, job in queued.items() if name in named}
        for _, folder in new:
            folder.clear_error()  # of an earlier start: from here on an error is this one's
        if new:
            self._submit_shapes(shapes(new, self.profile))
        self._under_way |= named
        self.queue.forget()

    def _queued(self) -> dict[str, Job]:
        self.queue.forget()
        queued = self.queue.runs()
        if queued is None:
            raise SlurmError(
                "squeue does not say what is queued already (Unable to contact Slurm's controller); try again"
            )
        return queued

    def _submit_shapes(self, wanted: Sequence[Shape]) -> None:
        size = commands.patiently(commands.max_array_size)
        before = len(self.arrays)
        after = None
        try:
            for shape in wanted:
                for packs in batched(shape.packs, size):
                    number = self._send(shape.asked, packs, after)
                    after = number if self.profile.jobs else None  # Slurm's cap is each array's own: one at a time
        except BaseException:
            self._withdraw(before)
            raise

    def _withdraw(self, first: int = 0) -> None:
        """Cancels what was submitted, from the `first` on: all or nothing."""
        with contextlib.suppress(SlurmError):
            if numbers := list(self.arrays.values())[first:]:
                ask("scancel", *numbers)

    def _send(self, asked: Resources, packs: Sequence[tuple[str, ...]], after: str | None) -> str:
        """One array (or one job) with one sbatch, to start once `after` has ended; returns its number."""
        submission = Submission(self.sweep / "slurm" / self._new_name())
        submission.create(packs)
        executor = self._submitit(submission, asked, after)
        shape = (side_by_side(self.profile, asked), self.halt.deadline, asked.processes, asked.tasks)
        crew = is_crew(self.profile, asked)
        work = [Pack(self.sweep, names, self.data, *shape, crew=crew) for names in packs]

        def send() -> Any:
            import submitit

            try:
                # submitit prints what sbatch said before it raises it
                with commands.outside_job(), contextlib.redirect_stderr(io.StringIO()), executor.batch():
                    return [executor.submit(pack) for pack in work]
            except submitit.core.utils.FailedJobError as error:
                lines = [line.split("error: ")[-1].strip() for line in str(error).splitlines() if line.strip()]
                raise SlurmError(f"sbatch: {'; '.join(lines)}") from None

        # a request that timed out may have left an array behind: it goes before the next try
        try:
            jobs = commands.patiently(send, lambda: ask("scancel", "--me", f"--name={submission.path.name}"))
        except SlurmError as error:
            shutil.rmtree(submission.path)
            raise self._refused(error, asked) from None
        number = self.arrays[submission.path.name] = str(jobs[0].job_id).split("_")[0]
        self.say(f"slurm: job {number}: {counted(sum(map(len, packs)), 'run')} in {counted(len(packs), 'job')}")
        return number

    def _refused(self, error: SlurmError, asked: Resources) -> SlurmError:
        words = " ".join(as_word(name, value) for name, value in flags(self.profile, asked).items())
        there = "its nodes are not known"
        with contextlib.suppress(SlurmError):
            there = f"there is {commands.cluster_in_words()}"
        return SlurmError(f"Slurm refuses the jobs ({error}) with {words}; nothing was submitted; {there}")

    def _submitit(self, submission: Submission, asked: Resources, after: str | None) -> Any:
        import submitit

        executor = submitit.SlurmExecutor(folder=submission.path, max_num_timeout=NEVER)
        executor.update_parameters(
            job_name=submission.path.name,
            time=math.ceil(self.profile.time / 60),
            signal_delay_s=int(self.profile.warn),
            array_parallelism=self.profile.jobs or NEVER,
            setup=[*self.profile.setup, *self._imports(), KEEP_PAGES],
            # since 22.05 srun does not take over what sbatch was told
            srun_args=[f"--cpus-per-task={asked.cpus * side_by_side(self.profile, asked)}"],
            additional_parameters=flags(self.profile, asked),
            dependency=f"afterany:{after}" if after else None,
        )
        return executor

    def _imports(self) -> list[str]:
        """Shell lines after which Python takes the snapshot of the code, also where the job starts in a checkout."""
        return [
            f'export PYTHONPATH={shlex.quote(str(self.code))}"${{PYTHONPATH:+:$PYTHONPATH}}"',
            "export PYTHONSAFEPATH=1",
        ]

    def _new_name(self) -> str:
        return f"{re.sub(r'[^A-Za-z0-9.-]', '-', self.sweep.name)}-{uuid.uuid4().hex[:12]}"

    def after(self, command: Sequence[str], folder: Path) -> str:
        """A small job that runs `command` in `folder` once all others have ended, however they end; returns its log."""
        submission = Submission(self.sweep / "slurm" / self._new_name())
        submission.create([])
        log = make_folder(submission.path) / "report.log"
        own = flags(replace(self.profile, at_once=1), Resources(cpus=1, gpus=0, memory_gib=2.0))
        after = ":".join(dict.fromkeys(self.arrays.values()))
        own |= {"job-name": submission.path.name, "dependency": f"afterany:{after}", "chdir": folder}
        own |= {"output": log, "open-mode": "append"}
        script = "\n".join(["#!/bin/bash", *self.profile.setup, *self._imports(), shlex.join(command), ""])
        words = ["sbatch", "--parsable", *(as_word(name, value) for name, value in own.items())]
        try:
            with commands.outside_job():
                commands.patiently(
                    lambda: ask(*words, stdin=script), lambda: ask("scancel", "--me", f"--name={submission.path.name}")
                )
        except SlurmError:
            self._withdraw()
            raise
        return str(log)

    def ended(self) -> list[RunFolder]:
        """The runs that are done or failed by their folders, or that no job in the queue will run any more."""
        now = time.monotonic()
        if now < self._next:
            return []
        self._next = now + max(FILES_SECONDS, len(self._under_way) / 500)
        queued = self.queue.runs()  # before the files: who has left the queue has written its last word
        self._seen |= queued or {}
        self._release_held(queued or {})
        over = [name for name, folder in self._under_way.items() if self._is_over(name, folder, queued)]
        if self._cancelled(over):
            self.say("slurm: the jobs were cancelled")
            self.halt.ask()
        else:
            self._say_last_words(over)
        return [self._under_way.pop(name) for name in over]

    def _release_held(self, queued: Mapping[str, Job]) -> None:
        """Slurm holds a job for ever whose start a failing node spoilt; each is let go, at most once a minute."""
        now = time.monotonic()
        for job in {job for job in queued.values() if job.reason == SPOILT}:
            if now - self._released.get(job.id, -60.0) >= 60:
                self._released[job.id] = now
                self.say(f"slurm: job {job.id} is held ({job.reason}); it is released")
                with contextlib.suppress(SlurmError):
                    ask("scontrol", "release", job.id)

    def _say_last_words(self, over: Sequence[str]) -> None:
        """Where a job ended before its runs did: what Slurm wrote last in its log."""
        silent = [n for n in over if self._under_way[n].result() is None and self._under_way[n].error() is None]
        for job in {self._seen[name] for name in silent if name in self._seen}:
            log = self.sweep / "slurm" / job.name / f"{job.id}_0_log.err"
            lines = [line for line in _lines(log) if "error" in line] or ["nothing is written there"]
            self.say(f"slurm: job {job.id} on {job.node or 'no node'} ended before its runs: {lines[-1]} ({log})")

    def _cancelled(self, over: Sequence[str]) -> bool:
        """Whether these ended without a word because someone cancelled the sweep."""
        folders = [self._under_way[name] for name in over]
        if all(folder.result() is not None or folder.error() is not None for folder in folders):
            return False
        return any(Submission(self.sweep / "slurm" / name).cancelled for name in self.arrays)

    @staticmethod
    def _is_over(name: str, folder: RunFolder, queued: Mapping[str, object] | None) -> bool:
        if folder.result() is not None or folder.error() is not None:
            return True
        return queued is not None and name not in queued and folder.state() != "running"

    def stop(self) -> bool:
        """Leaves the jobs alone: they need no one who waits for them."""
        if self.halt.late:
            self.say("slurm: at the time limit the jobs write their checkpoints and end")
        elif not self._cancelled(list(self._under_way)):
            self.say(
                "slurm: the jobs go on without this command; the same command follows them again, "
                f"`python -m bench cancel {self.sweep.name}` cancels them"
            )
        return False


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
