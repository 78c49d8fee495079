"""The main job: `python -m bench.sweep NAME` expands a sweep, runs what is missing, collects and reports.

Exit codes: 0 all runs are done; 1 a run failed; 2 the command, the sweep file, the data or a folder is at fault;
3 stopped (time limit or signal) with everything resumable: the same command goes on.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from bench.cli.options import Parser, add_arguments
from bench.cli.request import (
    choose_cluster,
    choose_data,
    choose_kernels,
    choose_runs,
    choose_scale,
    refuse_without_submitit,
    unplanned,
)
from bench.cli.sweep_files import (
    MistakeError,
    declared_runs,
    keep_declaration,
    kept_here,
    known_sweeps,
    load_sweep,
    own_file,
    project_folder,
    refuse_namesake,
    sweep_file,
)
from bench.data.locate import DataError
from bench.launch.concurrency import refuse_crowd
from bench.launch.cost import describe_jobs, refuse_above, refuse_unequal, slow_bf16
from bench.launch.crew import Crews, longest_first
from bench.launch.local import Executor, Inline, Local
from bench.launch.plan import Plan, describe, make_plan
from bench.launch.progress import display
from bench.launch.runner import Runner
from bench.launch.slurm import commands
from bench.launch.slurm.commands import SlurmError
from bench.launch.slurm.executor import Slurm
from bench.launch.slurm.profile import Profile
from bench.launch.slurm.snapshot import FreezeError, freeze, freeze_file
from bench.launch.worker import Stop
from bench.machine import SettingError, cuda_devices, missing
from bench.spec import Run, SpecError, Sweep, counted
from bench.store import StoreError, make_folder

FAILED, MISTAKE, STOPPED = 1, 2, 3


def sweep(args: argparse.Namespace) -> int:
    """Does what the command says; returns the exit code."""
    if args.results is None and kept_here(args.name):
        args.results, args.reports = Path("results"), args.reports or Path("reports")
    name, declared = load_sweep(args.name, args.results)
    profile = choose_cluster(args)
    root = Path.cwd() if own_file(args.name) else project_folder()
    if not args.report_only:
        refuse_namesake(args.name)
    args.results, args.reports = args.results or root / "results", args.reports or root / "reports"
    scale = choose_scale(args.scale, args.cluster, declared)
    data_dir, data = choose_data(args, scale, declared)
    runs = choose_kernels(args, choose_runs(args, declared, scale, data))
    if args.at_once:
        refuse_crowd(args.at_once, runs)
    sweep_folder, claims = (args.runs / name).absolute(), declared.claims_digest(scale)
    jobs = profile or Profile(nodes=1, tasks=1)  # several processes for one run are for Slurm
    plan = make_plan(
        runs,
        sweep_folder,
        args.results / name,
        here=profile is None,
        retry=args.retry,
        at_once=0 if args.cluster == "inline" else args.at_once,
        processes=lambda run: jobs.asks(run.resources).processes,
    )
    variants = {run: declared.scales[scale].name_of(run).partition("+")[2] for run in runs}
    print(unplanned(runs, declared, scale), end="")
    print(f"{name} at scale {scale} on {data}\n{describe(plan, retry=args.retry, variants=variants)}", flush=True)
    _check_cost(args, plan, profile)
    if args.dry_run:
        return 0
    if plan.todo(retry=args.retry) and not args.report_only:
        refuse_without_submitit(args.cluster)
    for folder in (sweep_folder, args.results / name, args.reports / name):
        make_folder(folder)  # better refused now than when all has been trained
    if args.report_only:
        failed = 0
    elif args.no_wait and plan.todo(retry=args.retry):
        if profile is None:
            return _detach(args, sweep_folder)
        _make_folders(plan, claims)
        return _leave_to_slurm(args, plan, data_dir, profile)
    else:
        _make_folders(plan, claims)
        failed = _launch(args, plan, data_dir, profile)
    _report(args, name, declared, plan.items[0].run)
    return _verdict(plan, failed)


def _make_folders(plan: Plan, claims_sha256: str) -> None:
    for item in plan.items:
        item.folder.create(item.run)
        if item.state != "done":
            item.folder.declare(claims_sha256)
        if item.seconds is not None:
            item.folder.predict(item.seconds)
        if damage := item.folder.damage():
            print(f"{item.run.id}: {damage}; it is mended from its checkpoint")


def _check_cost(args: argparse.Namespace, plan: Plan, profile: Profile | None) -> None:
    """Says what jobs there will be, and holds the budget."""
    todo = plan.todo(retry=args.retry)
    several = sum(item.run.resources.processes > 1 for item in todo)
    if profile is not None and todo:
        refuse_unequal(todo, profile)
        print(describe_jobs(todo, profile, commands.max_array_size()), flush=True)
    if profile is None and several:
        print(
            f"{counted(several, 'run')} of several processes: on --cluster {args.cluster} each trains in one",
            flush=True,
        )
    if profile is None and (words := slow_bf16(item.run for item in todo)):
        print(words, flush=True)
    if args.budget and todo and not args.report_only:
        here = profile or Profile(nodes=1, tasks=1, gpus=None if cuda_devices() else 0)
        refuse_above(args.budget / 3600, todo, here, plan.basis)


def _launch(args: argparse.Namespace, plan: Plan, data_dir: Path, profile: Profile | None) -> int:
    """Runs what the plan has to do; returns how many runs failed in this start."""
    deadline = time.time() + args.time_limit if args.time_limit else None
    todo = plan.todo(retry=args.retry)
    if not todo:
        return 0
    shown = display(todo)
    with ExitStack() as stack:
        stop = stack.enter_context(Stop(deadline))
        executor: Executor
        if profile is not None:
            executor = _slurm(args, plan, data_dir, profile, stop, shown.say)
        elif args.cluster == "inline":
            executor = Inline(data_dir, stop)
        elif args.cluster == "crew":
            todo = todo if args.only else tuple(longest_first(todo))
            logs = plan.items[0].folder.path.parent
            executor = stack.enter_context(Crews(data_dir, plan.slots or 1, deadline, logs, say=shown.say))
        else:
            executor = Local(data_dir, plan.slots or 1, deadline)
        runner = Runner(executor, stop, shown)
        runner.run(todo)
    return runner.failed


def _slurm(
    args: argparse.Namespace, plan: Plan, data_dir: Path, profile: Profile, stop: Stop, say: Callable[[str], None]
) -> Slurm:
    sweep_folder = plan.items[0].folder.path.parent
    code = freeze(sweep_folder / "code", allow_dirty=args.allow_dirty)
    return Slurm(sweep_folder, data_dir, profile, code, stop, say)


def _leave_to_slurm(args: argparse.Namespace, plan: Plan, data_dir: Path, profile: Profile) -> int:
    """Submits everything, and a last job that collects and reports: nobody has to wait."""
    stop = Stop(time.time() + args.time_limit if args.time_limit else None)
    slurm = _slurm(args, plan, data_dir, profile, stop, print)
    slurm.submit([(item.run, item.folder) for item in plan.todo(retry=args.retry)])
    copy = freeze_file(slurm.sweep / "code", sweep_file(args.name, args.results), slurm.sweep.name)
    log = slurm.after([sys.executable, "-m", "bench.sweep", str(copy), *_same_choice(args, plan, data_dir)], Path.cwd())
    print(f"a last job collects and reports; it writes to {log}\nfollow: python -m bench status {slurm.sweep.name}")
    return 0


def _same_choice(args: argparse.Namespace, plan: Plan, data_dir: Path) -> list[str]:
    """The options with which a job reports on the same runs."""
    folders = {"--runs": args.runs, "--results": args.results, "--reports": args.reports}
    words = ["--report-only", "--cluster", "inline", "--scale", plan.items[0].run.scale]
    words += [word for option, path in folders.items() for word in (option, str(path.absolute()))]
    words += ["--data", str(data_dir)] if data_dir.is_dir() else []
    words += ["--seeds", ",".join(map(str, args.seeds))] if args.seeds else []
    words += ["--classes", str(args.classes)] if args.classes else []
    return [*words, "--only", args.only] if args.only else words


def _report(args: argparse.Namespace, name: str, declared: Sweep, example: Run) -> None:
    """Collects and writes the report and the index; a sweep of which no run has ended yet has no report."""
    from bench.report.collect import collect
    from bench.report.coverage import write_index
    from bench.report.page import write_report

    keep_declaration(args.name, args.results / name)
    runs = declared_runs(declared, example, args.seeds)
    collect(args.results / name, [args.runs / name], runs, say=print, ensembles=declared.ensembles)
    focus = (example.scale, example.data)
    page = write_report(name, declared, args.results / name, args.reports / name, focus)
    write_index(known_sweeps(args.results, **{name: declared}), args.results, args.reports)
    print(f"report: {page}" if page else "no report yet: no run has ended")


def _verdict(plan: Plan, failed: int) -> int:
    """The last line and the exit code."""
    states = [item.folder.state() for item in plan.items]
    done, total = states.count("done"), len(states)
    again = any(s == "failed" and not i.folder.diverged() for s, i in zip(states, plan.items, strict=True))
    failures = "; --retry tries the failed ones again" if again else ""
    rest = "; the same command goes on" if done + states.count("failed") < total else ""
    print(f"{done} of {counted(total, 'run')} {'is' if total == 1 else 'are'} done{rest}{failures}")
    if failed or "failed" in states:
        return FAILED
    return 0 if done == total else STOPPED


def _detach(args: argparse.Namespace, sweep_folder: Path) -> int:
    """The same command without --no-wait, in a session of its own: the shell may close."""
    log = make_folder(sweep_folder) / "sweep.log"
    command = [sys.executable, "-m", "bench.sweep", *(a for a in args.command if a != "--no-wait")]
    with log.open("a") as file:
        child = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True)
    print(f"goes on in the background as process {child.pid}; it writes to {log}")
    return 0


def guarded(work: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Runs `work(args)`; a mistake of the user's is one line on stderr and exit code 2."""
    try:
        return work(args)
    except (MistakeError, SpecError, SettingError, DataError, StoreError, SlurmError, FreezeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return MISTAKE
    except ModuleNotFoundError as error:
        if not (lacks := missing(error)):
            raise
        print(f"bench: {lacks}", file=sys.stderr)
        return MISTAKE
    except BrokenPipeError:
        with suppress(OSError):  # the reader of our output is gone (`| head`): nothing more can be said
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0 if getattr(args, "dry_run", False) else STOPPED
    except OSError as error:
        print(f"bench: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("bench: interrupted; the same command goes on", file=sys.stderr)
        return STOPPED


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m bench.sweep`."""
    parser = Parser(
        prog="python -m bench.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_arguments(parser)
    command = list(sys.argv[1:] if argv is None else argv)
    args = parser.parse_args(command)
    args.command = command
    return guarded(sweep, args)


if __name__ == "__main__":
    sys.exit(main())
