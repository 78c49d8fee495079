"""Runs as jobs of a Slurm cluster, through submitit: one array for each shape of resources, several runs a job.

The outcome of a run is in its folder; the queue says only which jobs are still to come. submitit's own ways to follow
a job are not used: they trust sacct, and end a job that was requeued three times.
"""

from __future__ import annotations

import contextlib
import math
import re
import shlex
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.launch.local import Executor
from bench.launch.slurm import commands
from bench.launch.slurm.batch import submit_packs
from bench.launch.slurm.commands import AnswerError, SlurmError, ask
from bench.launch.slurm.ends import Ends
from bench.launch.slurm.fate import ALIVE, CANCELLED, GONE, fates
from bench.launch.slurm.job import Pack
from bench.launch.slurm.packing import Shape, as_word, batched, flags, is_crew, setup, shapes, side_by_side
from bench.launch.slurm.profile import Profile
from bench.launch.slurm.queue import ENDED, SQUEUE_SECONDS, Job, Queue, states
from bench.launch.slurm.waiting import Waiting
from bench.launch.worker import Stop
from bench.machine import KEEPS_PAGES, TUNABLES
from bench.spec import Resources, Run, counted
from bench.store import RunFolder, Submission, forget_submissions, make_folder

UNLIMITED = 1_000_000_000  # jobs at once, and time-outs before submitit gives a job up
FILES_SECONDS = 1.0
KEEP_PAGES = f"export {TUNABLES}=${{{TUNABLES}-{KEEPS_PAGES}}}"  # unless the user or the profile's setup sets it
# what Slurm and submitit replace in names of files, and what breaks names in a script or in PYTHONPATH
UNFIT = re.compile(r"%(?:%|\d*[AabJjNnstux])|[\\:\x00-\x1f]")


def for_cluster(profile: Profile) -> Profile:
    """The profile without GPUs where the cluster has none: runs then train on cores. Raises SlurmError."""
    commands.max_array_size()  # its error says that Slurm is not there
    if profile.gpus is None and not commands.partition_has_gpus(profile.partition):
        return replace(profile, gpus=0)
    return profile


def refuse_path(folder: Path) -> None:
    """Raises SlurmError where jobs cannot write into a folder of this name."""
    if found := UNFIT.search(str(folder)):
        raise SlurmError(
            f"jobs on Slurm cannot write to {str(folder)!r}: {found[0]!r} does not stand for itself in the names of "
            "their files; choose --out without %, \\ and :"
        )


class Slurm(Executor):
    """The executor. `code`: the snapshot of the code that the jobs import. `say` gets lines on the jobs."""

    slots = UNLIMITED
    verb = "goes to the queue"
    follows_stop = False

    def __init__(
        self, sweep: Path, data: Path, profile: Profile, code: Path, stop: Stop, say: Callable[[str], None]
    ) -> None:
        self.sweep, self.data, self.profile, self.code = sweep, data.absolute(), profile, code
        self.halt, self.say, self.queue = stop, say, Queue(sweep)
        self.arrays: dict[str, str] = {}  # number by job name: submitted by this command or found in the queue
        self._running: dict[str, RunFolder] = {}  # or queued
        self._seen: dict[str, Job] = {}  # the last job of each run
        self._asked: dict[str, Resources] = {}  # by job name
        self.ends, self.waiting = Ends(sweep / "slurm", say), Waiting(sweep, say)
        self.withdrawn: set[str] = set()
        self._next = 0.0

    def submit(self, runs: Sequence[tuple[Run, RunFolder]]) -> None:
        """Submits the runs that no job in the queue has already, all or none. Raises SlurmError."""
        queued = commands.patiently(self._queued)
        named = {folder.path.name: folder for _, folder in runs}  # not by id: a digest is costly for thousands
        new = [(r, f) for r, f in runs if f.path.name not in queued and f.state() != "running"]
        if waits := len(runs) - len(new):
            self.say(f"slurm: {counted(waits, 'run')} in the queue or running already")
        followed = {name: job for name, job in queued.items() if name in named}
        self._seen |= followed
        self.arrays |= {job.name: job.number for job in followed.values()}
        for _, folder in new:
            folder.clear_error()  # of an earlier start
        if new and (names := commands.unread()):
            self.say(f"slurm: {', '.join(names)} of the shell: not read; what jobs ask for is said in the profile")
        if new:
            forget_submissions(self.sweep, {job.name for job in queued.values()})
            self._submit_shapes(shapes(new, self.profile))
        self._running |= named
        self.queue.forget()

    def _queued(self) -> dict[str, Job]:
        self.queue.forget()
        queued = self.queue.runs()
        if queued is None:
            raise SlurmError(
                "squeue does not say what is queued already (Unable to contact Slurm's controller); try again"
            )
        known = states(queued.values())  # squeue may list what ended a while ago
        return {name: job for name, job in queued.items() if known[job.id] not in ENDED}

    def _submit_shapes(self, wanted: Sequence[Shape]) -> None:
        size = commands.patiently(commands.max_array_size)
        found, after = len(self.arrays), None
        try:
            for shape in wanted:
                for packs in batched(shape.packs, size):
                    number = self._send(shape.asked, packs, after)
                    after = number if self.profile.jobs else None  # Slurm's cap is for one array: one at a time
            self._refuse_stuck(found)
        except BaseException:
            self._cancel_from(found)
            raise

    def _refuse_stuck(self, first: int) -> None:
        """Raises SlurmError where Slurm says of a job just submitted that it can never start."""
        self.queue.forget()
        new = list(self.arrays)[first:]
        stuck = [job for job in self.queue.jobs() or () if job.name in new and commands.NEVER.fullmatch(job.reason)]
        if stuck:
            job = stuck[0]
            error = SlurmError(f"job {job.id} could never start: {job.reason}")
            raise self._refused(error, self._asked[job.name])

    def _cancel_from(self, first: int) -> None:
        with contextlib.suppress(SlurmError):
            if numbers := list(self.arrays.values())[first:]:
                ask("scancel", *numbers)

    def _send(self, asked: Resources, packs: Sequence[tuple[str, ...]], after: str | None) -> str:
        """Submits one array (or job), to start once `after` has ended; returns its number."""
        submission = self._new_submission(packs)
        shape = (side_by_side(self.profile, asked), self.halt.deadline, asked.processes, asked.tasks)
        crew = is_crew(self.profile, asked)
        work = [Pack(self.sweep, names, self.data, *shape, crew=crew) for names in packs]
        try:
            number = submit_packs(self._submitit(submission, asked, after), submission.path, work)
        except SlurmError as error:
            shutil.rmtree(submission.path)
            raise (error if isinstance(error, AnswerError) else self._refused(error, asked)) from None
        name = submission.path.name
        self.arrays[name], self._asked[name] = number, asked
        for index, runs in enumerate(packs):
            job = Job(name, index, f"{number}_{index}" if len(packs) > 1 else number, "PENDING")
            self._seen |= dict.fromkeys(runs, job)
        self.say(f"slurm: job {number}: {counted(sum(map(len, packs)), 'run')} in {counted(len(packs), 'job')}")
        return number

    def _refused(self, error: SlurmError, asked: Resources) -> SlurmError:
        words = " ".join(as_word(name, value) for name, value in flags(self.profile, asked).items())
        there = "its nodes are not known"
        with contextlib.suppress(SlurmError):
            there = f"there is {commands.describe_nodes()}"
        return SlurmError(f"Slurm refuses the jobs ({error}) with {words}; none is in the queue; {there}")

    def _submitit(self, submission: Submission, asked: Resources, after: str | None) -> Any:
        import submitit

        python = f"{shlex.quote(sys.executable)} -u -m bench.launch.slurm.start"
        executor = submitit.SlurmExecutor(folder=submission.path, max_num_timeout=UNLIMITED, python=python)
        executor.update_parameters(
            job_name=submission.path.name,
            time=math.ceil(self.profile.time / 60),
            signal_delay_s=int(self.profile.warn),
            array_parallelism=self.profile.jobs or UNLIMITED,
            setup=[*setup(self.profile, self.code), KEEP_PAGES],
            # since 22.05 srun does not inherit it from sbatch
            srun_args=[f"--cpus-per-task={asked.cpus * side_by_side(self.profile, asked)}"],
            additional_parameters=flags(self.profile, asked),
            dependency=f"afterany:{after}" if after else None,
        )
        return executor

    def _new_submission(self, packs: Sequence[tuple[str, ...]]) -> Submission:
        name = f"{re.sub(r'[^A-Za-z0-9.-]', '-', self.sweep.name)}-{uuid.uuid4().hex[:12]}"
        submission = Submission(self.sweep / "slurm" / name)
        submission.create(packs)
        return submission

    def after(self, command: Sequence[str], folder: Path) -> str:
        """Submits a small job that runs `command` in `folder` once all others have ended; returns its log."""
        submission = self._new_submission([])
        log = make_folder(submission.path) / "report.log"
        own = flags(replace(self.profile, at_once=1), Resources(cpus=1, gpus=0, memory_gib=2.0))
        after = ":".join(dict.fromkeys(self.arrays.values()))
        own |= {"dependency": f"afterany:{after}", "chdir": folder, "output": log, "open-mode": "append"}
        script = "\n".join(["#!/bin/bash", *setup(self.profile, self.code), shlex.join(command), ""])
        try:
            commands.submit(submission.path, script, [as_word(name, value) for name, value in own.items()])
        except SlurmError:
            self._cancel_from(0)
            raise
        return str(log)

    def ended(self) -> list[RunFolder]:
        """The runs that are done or failed by their folders, or that no job in the queue will run."""
        now = time.monotonic()
        if now < self._next:
            return []
        self._next = now + max(FILES_SECONDS, len(self._running) / 500)
        queued = self.queue.runs()  # before the files: a job that has left the queue has written all of them
        self._seen |= queued or {}
        self.waiting.look(set((queued or {}).values()))
        over = [name for name, folder in self._running.items() if _is_over(name, folder, queued)]
        if self._cancelled(over):
            self.say("slurm: the jobs were cancelled")
            self.halt.ask()
        else:
            known = self._judged(self._without_living(over), queued or {})
            if len(known) < len(over):  # Slurm is asked of the others no more often than of the queue
                self._next = now + SQUEUE_SECONDS
            over = known
        return [self._running.pop(name) for name in over]

    def _lost(self, over: Sequence[str]) -> dict[str, Job]:
        """Those of these runs that have no outcome, with the job that was to bring it."""
        return {name: self._seen[name] for name in over if name in self._seen and not _has_outcome(self._running[name])}

    def _without_living(self, over: Sequence[str]) -> list[str]:
        """Leaves out runs whose job squeue only does not list; those whose job the user took away are withdrawn."""
        lost = self._lost(over)
        ends = fates(self.sweep, set(lost.values()))
        for fate, words in ((CANCELLED, "cancelled"), (GONE, "gone before it began, and unknown to Slurm")):
            if gone := {name: job.id for name, job in lost.items() if ends[job.id] == fate}:
                self.withdrawn |= set(gone)
                jobs = sorted(set(gone.values()))
                named = ", ".join(jobs[:5]) + (f" and {len(jobs) - 5:,} more" if len(jobs) > 5 else "")
                self.say(f"slurm: {words}: job {named}; the next start submits the runs again, this one does not")
        return [name for name in over if name not in lost or ends[lost[name].id] != ALIVE]

    def _judged(self, over: Sequence[str], queued: Mapping[str, Job]) -> list[str]:
        """`over` without runs of which more may become known. Raises SlurmError where jobs begin no run."""
        lost = self._lost(over)
        self.ends.runs_begin |= len(lost) < len(over)
        lost = {name: job for name, job in lost.items() if name not in self.withdrawn}
        active = {name: job for name, job in queued.items() if job.state != "PENDING"}
        try:
            news = self.ends.judge(lost, running=bool(active))
        except SlurmError:
            if not self.ends.runs_begin and queued:  # what waits would end alike, and with it the mended sweep's runs
                with contextlib.suppress(SlurmError):
                    ask("scancel", "--state=PENDING", *{job.id.split("_")[0] for job in queued.values()})
            still = queued if self.ends.runs_begin else active
            self._running = {name: folder for name, folder in self._running.items() if name in still}
            raise
        return [name for name in over if name in news or name not in lost]

    def why(self, folder: RunFolder) -> str | None:
        """What a run died of, by its job's end."""
        found = self.ends.why(folder.path.name)
        return super().why(folder) if found == "" else found

    def _cancelled(self, over: Iterable[str]) -> bool:
        """Whether some of these ended because someone cancelled the sweep."""
        if all(_has_outcome(self._running[name]) for name in over):
            return False
        return any(Submission(self.sweep / "slurm" / name).cancelled for name in self.arrays)

    def stop(self) -> bool:
        """Leaves the jobs alone: they continue without this command."""
        if self.halt.late:
            self.say(f"{self.halt.why}: the jobs write their checkpoints and end")
        elif self._running and not self._cancelled(self._running):
            self.say(
                "slurm: the jobs continue without this command; the same command follows them again, "
                f"`python -m bench cancel {self.sweep.name}` cancels them"
            )
        return False


def _has_outcome(folder: RunFolder) -> bool:
    return folder.result() is not None or folder.error() is not None


def _is_over(name: str, folder: RunFolder, queued: Mapping[str, object] | None) -> bool:
    gone = queued is not None and name not in queued
    return _has_outcome(folder) or (gone and folder.state() != "running")
