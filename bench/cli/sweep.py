"""The main job: `python -m bench.sweep NAME` expands a sweep, runs what is missing, collects and reports.

Exit codes: 0 all runs are done; 1 a run failed; 2 an error in the command, the sweep file, the data or a folder,
before the first run; 3 stopped (time limit or signal), runs or further tests: the same command goes on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from bench.cli.exits import FAILED, STOPPED, guarded, in_time
from bench.cli.further import announced, test_after
from bench.cli.options import Parser, add_arguments, add_version
from bench.cli.places import published
from bench.cli.publish import begin_own, publish, told, write_own
from bench.cli.request import ONE_PROCESS, Request, refuse_without_submitit, resolve, unplanned
from bench.cli.sweep_files import MistakeError, declared_runs, known_names
from bench.cli.terminal import say
from bench.launch.cost import describe_jobs, refuse_above, refuse_unequal, room, slow_bf16
from bench.launch.crew import Crews, longest_first
from bench.launch.local import Executor, Inline, Local
from bench.launch.plan import Plan, describe, make_plan, near
from bench.launch.progress import display
from bench.launch.reuse import Reuse
from bench.launch.runner import Runner
from bench.launch.slurm import commands
from bench.launch.slurm.executor import Slurm
from bench.launch.slurm.profile import Profile
from bench.launch.slurm.snapshot import copy_sweep_file, take_snapshot
from bench.launch.worker import HearingStop, Stop
from bench.machine import commit_unknown, cuda_devices, tolerate_ascii
from bench.spec import counted, dataset_of
from bench.store import BusyError, RunFolder, exclusive, make_folder, open_log, write_text


def sweep(args: argparse.Namespace) -> int:
    """Does what the command says; returns the exit code."""
    if args.name is None:
        raise MistakeError(f"name a sweep, or the path of a sweep file; there are: {', '.join(known_names())}")
    with in_time(args.time_limit):  # from then on the runs look at the clock
        request = resolve(args)
        plan, reuse = _plan(request), Reuse(request.data_folder)
        if not (request.dry_run or request.report_only):
            plan = _usable(request, plan, reuse)
    _describe(request, plan)
    if request.dry_run:
        return 0
    if request.report_only and not request.folder.is_dir():
        say(f"no runs in {near(request.folder)}: nothing to report")
        return STOPPED
    if plan.todo and not request.report_only:
        refuse_without_submitit(request.cluster)
    _claim_folders(request, plan)
    failed, tested = 0, True
    if not request.report_only:
        if request.no_wait and plan.todo:
            return _detach(request) if request.profile is None else _leave_to_slurm(request, plan, request.profile)
        _make_folders(request, plan)
        if plan.todo:
            begin_own(request.study, request.place)
        args.started = bool(plan.todo) and request.profile is None  # none, where a cluster refuses its jobs
        runner = _launch(request, plan)
        args.started = bool(plan.todo)
        failed = runner.failed if runner else 0
        if runner and runner.stopped:
            if not runner.done + failed:  # nothing new to report: whoever stops it has not to wait for that
                return _verdict(plan, failed)
            print("stopped; what has ended is reported …", flush=True)
        if others := reuse.others(plan.items):  # that another start trained meanwhile
            reuse.refuse(others)
        if not (runner and runner.stopped):
            tested = test_after(request, plan)
    elif request.with_tests:
        _report(request)  # first, as a job may have no time for it after the tests
        tested = test_after(request, plan)
    code = _verdict(plan, failed)
    _report(request)
    return code if tested else code or STOPPED


def _claim_folders(request: Request, plan: Plan) -> None:
    """Makes the folders and takes each lock once: better refused now than by each run, or when all has been trained."""
    if not request.out.exists():
        write_text(make_folder(request.out) / ".gitignore", "*\n")  # nobody commits checkpoints by accident
    for folder in (request.place.results, request.place.report, request.folder):
        make_folder(folder)
    if plan.todo and not request.report_only:
        with suppress(BusyError), RunFolder(request.folder).lock():
            pass
    with exclusive(request.place.results):
        pass


def _plan(request: Request) -> Plan:
    jobs = request.profile or ONE_PROCESS
    return make_plan(
        request.runs,
        request.folder,
        published(request.name).results.parent,
        here=request.profile is None,
        retry=request.retry,
        at_once=0 if request.cluster == "inline" else request.at_once,
        processes=lambda run: jobs.asks(run.resources).processes,
    )


def _usable(request: Request, plan: Plan, reuse: Reuse) -> Plan:
    """The plan, none of whose runs began with other data or start weights. Raises StoreError, DataError."""
    reuse.check(plan)
    others = reuse.others(plan.items, say)
    if not others:
        return plan
    if not request.again:
        reuse.refuse(others)
    reuse.set_aside(others, say)
    return _plan(request)


def _describe(request: Request, plan: Plan) -> None:
    """Says what there is and what it costs, and holds the budget."""
    declared, scale = request.declared, request.scale
    variants = {run: declared.scales[scale].name_of(run).partition("+")[2] for run in request.runs}
    print(unplanned(request.runs, declared, scale), end="")
    say(f"{request.name} at scale {scale} on {request.data}, in {near(request.folder)}")
    if dataset_of(request.data).made_up:
        say("a stand-in, not real data: this start shows that everything works, and its numbers mean nothing")
    say(describe(plan, variants))
    for words in announced(request, plan):
        say(words)
    if plan.todo:
        for words in _jobs(request, plan):
            say(words)
        if request.budget and not request.report_only:
            here = request.profile or Profile(nodes=1, tasks=1, gpus=None if cuda_devices() else 0)
            refuse_above(request.budget / 3600, plan.todo, here, plan.basis)
        at_once = request.profile.at_once if request.profile else plan.slots or 1
        if not request.report_only and (short := room(plan.todo, request.folder, at_once)):
            say(short)


def _jobs(request: Request, plan: Plan) -> list[str]:
    """What jobs there will be on Slurm; here, what differs from what the runs declare."""
    if request.profile is not None:
        refuse_unequal(plan.todo, request.profile)
        return [describe_jobs(plan.todo, request.profile, commands.max_array_size())]
    words = [slow_bf16(item.run for item in plan.todo)]
    if why := commit_unknown():
        words.append(f"the results will not name the commit of the code: {why}")
    if several := sum(item.run.resources.processes > 1 for item in plan.todo):
        one = f"{counted(several, 'run')} of several processes: on --cluster {request.cluster} each trains in one"
        words.insert(0, one)
    return [line for line in words if line]


def _make_folders(request: Request, plan: Plan) -> None:
    claims_sha256 = request.declared.claims_digest(request.scale)
    for item in plan.items:
        item.folder.create(item.run)
        if item.state not in ("done", "running"):  # another start trains it, by what it declared
            item.folder.declare(claims_sha256)
        if item.seconds is not None and item.state == "pending":  # of a run from its first step
            item.folder.predict(item.seconds)
        if damage := item.folder.damage():
            print(f"{item.run.id}: {damage}; it is repaired from its checkpoint")


def _launch(request: Request, plan: Plan) -> Runner | None:
    """Runs what the plan has to do; returns what did, with the counts of this start."""
    if not plan.todo:
        return None
    # a crew trains the longest runs first, unless --only gives an order
    todo = longest_first(plan.todo) if request.cluster == "crew" and not request.only else plan.todo
    shown = display(todo)
    with ExitStack() as stack:
        stop = stack.enter_context(HearingStop(request.deadline, request.time_limit))
        executor: Executor
        if request.profile is not None:
            executor = _slurm(request, request.profile, stop, shown.say)
        elif request.cluster == "inline":
            executor = Inline(request.data_folder, stop)
        elif request.cluster == "crew":
            crews = Crews(request.data_folder, plan.slots or 1, request.deadline, request.folder, say=shown.say)
            executor = stack.enter_context(crews)
        else:
            executor = Local(request.data_folder, plan.slots or 1, request.deadline)
        runner = Runner(executor, stop, shown)
        runner.run(todo)
    return runner


def _slurm(request: Request, profile: Profile, stop: Stop, say: Callable[[str], None]) -> Slurm:
    code = take_snapshot(request.folder / "code", allow_dirty=request.allow_dirty)
    return Slurm(request.folder, request.data_folder, profile, code, stop, say)


def _leave_to_slurm(request: Request, plan: Plan, profile: Profile) -> int:
    """Submits everything, and a last job that collects and reports: nobody has to wait."""
    _make_folders(request, plan)
    begin_own(request.study, request.place)
    slurm = _slurm(request, profile, Stop(request.deadline), print)
    slurm.submit([(item.run, item.folder) for item in plan.todo])
    copy = copy_sweep_file(request.folder / "code", request.file, request.name, request.declared.codes())
    log = slurm.after([sys.executable, "-m", "bench.sweep", str(copy), *_same_choice(request)], Path.cwd())
    print(f"a last job collects and reports; it writes to {log}\nfollow: python -m bench status {request.name}")
    return 0


def _same_choice(request: Request) -> list[str]:
    """The options with which a job reports on the same runs."""
    words = ["--report-only", "--cluster", "inline", "--scale", request.scale, "--out", str(request.out)]
    words += ["--with-tests"] if request.declared.tests else []
    words += ["--publish"] if request.publish else []
    words += ["--data", str(request.data_folder)] if request.data_folder.is_dir() else []
    words += ["--seeds", ",".join(map(str, request.seeds))] if request.seeds else []
    words += ["--classes", str(request.classes)] if request.classes else []
    return [*words, "--only", request.only] if request.only else words


def _detach(request: Request) -> int:
    """The same command without --no-wait, in a session of its own: the shell may close."""
    log = request.folder / "sweep.log"
    command = [sys.executable, "-m", "bench.sweep", *(word for word in request.command if word != "--no-wait")]
    with open_log(log) as file:
        child = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True)
    print(f"runs in the background as process {child.pid}; it writes to {log}")
    return 0


def _report(request: Request) -> None:
    """Collects and writes the report; a sweep of which no run has ended yet has none."""
    study = request.study
    runs = declared_runs(request.declared, request.scale, request.data, request.seeds)
    page = write_own(study, request.place, [request.folder], runs, (request.scale, request.data))
    if page is None:
        print("no report yet: no run has ended")
        return
    print(f"\n{told(study, request.place, (request.scale, request.data))}\n")
    print(f"report:  {near(page)}\nbrowser: {near(page.with_name('index.html'))}")
    if request.publish:
        print(f"published: {publish(study, [request.folder], runs)}")


def _verdict(plan: Plan, failed: int) -> int:
    """The last line and the exit code."""
    states = [item.folder.state() for item in plan.items]
    done, total = states.count("done"), len(states)
    again = any(s == "failed" and not i.folder.diverged() for s, i in zip(states, plan.items, strict=True))
    failures = "; --retry tries the failed ones again" if again else ""
    left = total - done - states.count("failed")
    rest = f"; the same command resumes {'it' if left == 1 else 'them'}" if left else ""
    print(f"{done} of {counted(total, 'run')} {'is' if total == 1 else 'are'} done{rest}{failures}")
    if failed or "failed" in states:
        return FAILED
    return 0 if done == total else STOPPED


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m bench.sweep`."""
    tolerate_ascii()
    parser = Parser(
        prog="python -m bench.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_version(parser)
    add_arguments(parser, "sweep")
    command = list(sys.argv[1:] if argv is None else argv)
    args = parser.parse_args(command)
    args.command = command
    return guarded(sweep, args)
