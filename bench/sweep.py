"""The main job: `python -m bench.sweep NAME` expands a sweep, runs what is missing, collects and reports.

Exit codes: 0 all runs are done; 1 a run failed; 2 the command, the sweep file, the data or a folder is at fault;
3 stopped (time limit or signal) with everything resumable: the same command goes on.
"""

from __future__ import annotations

import argparse
import difflib
import fnmatch
import os
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from bench.data import find
from bench.data.find import DataError
from bench.launch import scheduler
from bench.launch.cost import describe_jobs, refuse_above, refuse_unequal
from bench.launch.executors import Executor, Inline, Local
from bench.launch.follow import display
from bench.launch.freeze import FreezeError, freeze, freeze_file
from bench.launch.plan import Plan, describe, make_plan
from bench.launch.profile import Profile, load_profile
from bench.launch.runner import Runner
from bench.launch.scheduler import SlurmError
from bench.launch.slurm import Slurm, settled
from bench.launch.worker import Stop
from bench.machine import cuda_devices
from bench.spec import FACES, SCALES, Run, SpecError, Sweep
from bench.store import StoreError, make_folder, write_text

FAILED, MISTAKE, STOPPED = 1, 2, 3
DECLARATION = "sweep.py"  # the copy of a sweep file of one's own, in its folder of results
UNITS = {"": 60, "s": 1, "m": 60, "h": 3600, "d": 86400}
PROJECT = Path(__file__).resolve().parents[1]


class MistakeError(ValueError):
    """Something in the command or a sweep file that the user has to change."""


def parse_seeds(text: str) -> tuple[int, ...]:
    """`0-4`, `0,2,7` or a mix of both as seeds."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not match:
            raise argparse.ArgumentTypeError(f"{text!r} is no list of seeds; write 0-4 or 0,2,7")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first >= 10_000:
            raise argparse.ArgumentTypeError(f"{part!r} is no range of seeds; write the smaller one first, as in 0-4")
        seeds += range(first, last + 1)
    return tuple(dict.fromkeys(seeds))


def parse_duration(text: str) -> float:
    """`50m`, `2h`, `90s`, `1d` or plain minutes, in seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if not match or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 50m, 2h, 90s or 1d")
    return float(match[1]) * UNITS[match[2]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the main job."""
    parser.add_argument("name", metavar="NAME", help="a sweep below sweeps/, or the path of a sweep file of your own")
    parser.add_argument(
        "--scale",
        choices=("auto", *SCALES),
        default="auto",
        help="auto: paper where jobs go to Slurm or there is a GPU, else quick",
    )
    parser.add_argument(
        "--cluster",
        choices=("auto", "slurm", "local", "inline"),
        default="auto",
        help="auto: slurm where its commands answer, else local (as many runs at once as this machine has room for); "
        "inline: one after another",
    )
    parser.add_argument("--seeds", type=parse_seeds, metavar="0-4", help="instead of the scale's own seeds")
    parser.add_argument("--classes", type=int, metavar="N", help="of ImageNet only the first so many classes")
    parser.add_argument("--only", metavar="GLOB", help="only runs whose id or net matches, such as 'plain-*'")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="the folder of the data sets (else $BENCH_DATA, else a cache)",
    )
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="the folder of the runs (default: runs)",
    )
    parser.add_argument("--results", type=Path, metavar="DIR", help="where the numbers go (default: results)")
    parser.add_argument("--reports", type=Path, metavar="DIR", help="where the report goes (default: reports)")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the runs, what is done, and the cost; start nothing"
    )
    parser.add_argument("--retry", action="store_true", help="try failed runs again")
    parser.add_argument(
        "--time-limit", type=parse_duration, metavar="50m", help="stop cleanly after this time, all resumable"
    )
    parser.add_argument("--no-wait", action="store_true", help="go on in the background and return at once")
    parser.add_argument(
        "--report-only", action="store_true", help="start nothing; collect and report what there is already"
    )
    parser.add_argument(
        "--budget", type=parse_duration, metavar="40h", help="refuse to start above so many core- or GPU-hours"
    )
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="partition, limits and packing on Slurm, in TOML (default: ~/.config/resnet-bench/slurm.toml)",
    )
    parser.add_argument(
        "--allow-dirty", action="store_true", help="on Slurm: run the work tree, though it is of no commit"
    )


def project_folder() -> Path:
    """The checkout that holds sweeps/, results/ and reports/: this folder, else the one beside the package."""
    here = Path.cwd()
    return here if (here / "sweeps").is_dir() or not (PROJECT / "sweeps").is_dir() else PROJECT


def sweep_file(name: str, results: Path | None = None) -> Path:
    """The file of the sweep `name`: a path, one of the project's, or what lies beside its numbers in `results`.

    Raises MistakeError naming the sweeps there are.
    """
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise MistakeError(f"there is no sweep file {name}")
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", path.stem):
            raise MistakeError(
                f"{name!r}: a sweep file's name becomes that of folders and numbers; use letters, digits, _ and - only"
            )
        return path
    folder = project_folder() / "sweeps"
    for path in (folder / f"{name}.py", (results or project_folder() / "results") / name / DECLARATION):
        if path.is_file():
            return path
    known = sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))
    raise MistakeError(f"there is no sweep {name!r} in {folder}; there are: {', '.join(known) or 'none'}")


def own_file(name: str) -> bool:
    """Whether `name` is the path of a sweep file that is none of the project's."""
    return name.endswith(".py") and not (project_folder() / "sweeps" / Path(name).name).is_file()


def load_sweep(name: str, results: Path | None = None) -> tuple[str, Sweep]:
    """The sweep's name and value. Raises MistakeError with the file's line where the file itself fails."""
    import runpy

    path = sweep_file(name, results)
    try:
        sweep = runpy.run_path(str(path)).get("SWEEP")
    except (Exception, SystemExit) as error:  # a user's file may raise anything, and must not end the command quietly
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        line = getattr(error, "lineno", None) or (frames[-1].lineno if frames else "?")
        raise MistakeError(f"{path}, line {line}: {type(error).__name__}: {error}") from None
    if not isinstance(sweep, Sweep):
        raise MistakeError(f"{path} defines no SWEEP = Sweep(...) of bench.spec")
    _check_numbers(path, sweep)
    return path.parent.name if path.name == DECLARATION else path.stem, sweep


def _check_numbers(path: Path, sweep: Sweep) -> None:
    """Raises MistakeError where a claim compares with a number that the paper has not, or not of that net."""
    from bench.paper import paper_numbers

    for claim in (claim for claim in sweep.claims if claim.number):
        number = paper_numbers().get(claim.number)
        if number is None:
            near = (
                ", ".join(difflib.get_close_matches(claim.number, paper_numbers(), n=3)) or "bench/paper.yaml has them"
            )
            raise MistakeError(f"{path}: claim {claim.id!r}: the paper has no number {claim.number!r}; near it: {near}")
        if number.get("net") != claim.nets[0].name:
            raise MistakeError(f"{path}: claim {claim.id!r}: {claim.number} is not of {claim.nets[0].name}")


def choose_cluster(args: argparse.Namespace) -> Profile | None:
    """Settles what `--cluster auto` means here; on Slurm returns the profile. Raises MistakeError, SpecError."""
    if args.cluster == "auto":
        args.cluster = "slurm" if scheduler.answers() else "local"
    if args.no_wait and args.cluster == "inline":
        raise MistakeError("--no-wait needs processes of their own: use --cluster local or slurm")
    if args.cluster == "slurm":
        return settled(load_profile(args.profile))
    if args.profile:
        raise MistakeError(f"--profile is for Slurm, and --cluster is {args.cluster}")
    return None


def choose_scale(asked: str, cluster: str, declared: Sweep) -> str:
    """The scale that `auto` means here, said in one line."""
    if asked != "auto":
        return asked
    if len(declared.scales) == 1:
        print(f"scale: {(only := next(iter(declared.scales)))}, the sweep's only one")
        return only
    if cluster == "slurm":
        print("scale: paper, as jobs go to Slurm")
        return "paper"
    devices = cuda_devices()
    scale = "paper" if devices else "quick"
    why = (
        f"there is a GPU ({devices[0]})" if devices else "there is no GPU here; --scale paper runs the paper's schedule"
    )
    print(f"scale: {scale}, as {why}")
    return scale


def choose_data(args: argparse.Namespace, scale: str, declared: Sweep) -> tuple[Path, str]:
    """The data folder and the data set: the sweep's, or at scale quick the stand-in where CIFAR-10 cannot be had."""
    folder = find.data_folder(args.data)
    if declared.data in FACES:
        if not args.dry_run:
            find.faces(folder, declared.data)
        return folder, declared.data
    if declared.data == "imagenet":
        return folder, _pictures(folder, args.classes or declared.scales[scale].classes, args.dry_run)
    if args.classes:
        raise MistakeError("--classes is for sweeps on ImageNet")
    found = find.cifar10(folder)
    if found is not None:
        if not (args.dry_run or args.report_only):
            find.verify(found)
        return folder, "cifar10"
    if args.dry_run or args.report_only:
        otherwise = " or take the stand-in" if scale == "quick" else ""
        print(f"data: CIFAR-10 is not in {folder}; a start would download it{otherwise}")
        return folder, "stand-in" if scale == "quick" else "cifar10"
    print(f"data: CIFAR-10 is not in {folder}; downloading it")
    try:
        find.fetch_cifar10(folder)
    except DataError as error:
        if scale != "quick" or args.data is not None:
            raise
        print(f"data: a procedural stand-in takes its place, since {error}")
        return folder, "stand-in"
    return folder, "cifar10"


def _pictures(folder: Path, classes: int, dry_run: bool) -> str:
    """The name of the pictures that are there, of so many classes (0: all). Raises DataError where there are none."""
    found = find.find_pictures(folder)
    if found is None and dry_run:
        print(f"data: ImageNet is not in {folder}, and nothing downloads it: {find.PICTURE_ADDRESS}")
        return f"imagenet-{classes}" if classes else "imagenet"
    if found is None:
        raise find.no_pictures(folder)
    name = find.pictures_name(found, classes)
    print(f"data: {name} in {found}")
    return name


def choose_runs(args: argparse.Namespace, sweep: Sweep, scale: str, data: str) -> tuple[Run, ...]:
    """The runs that the command asks for. Raises MistakeError where none matches."""
    runs = sweep.runs(scale, args.seeds, data)
    if args.only is None:
        return runs
    chosen = tuple(r for r in runs if any(fnmatch.fnmatchcase(n, args.only) for n in (r.id, r.net.name)))
    if not chosen:
        nets = ", ".join(dict.fromkeys(r.net.name for r in runs))
        raise MistakeError(f"--only {args.only!r} matches no run; the nets are: {nets}")
    return chosen


def sweep(args: argparse.Namespace) -> int:
    """Does what the command says; returns the exit code."""
    name, declared = load_sweep(args.name, args.results)
    profile = choose_cluster(args)
    root = Path.cwd() if own_file(args.name) else project_folder()
    if not args.report_only:
        _refuse_namesake(args.name)
    args.results, args.reports = args.results or root / "results", args.reports or root / "reports"
    scale = choose_scale(args.scale, args.cluster, declared)
    data_dir, data = choose_data(args, scale, declared)
    runs = choose_runs(args, declared, scale, data)
    sweep_folder = (args.runs / name).absolute()
    jobs = profile or Profile(nodes=1, tasks=1)  # several processes for one run are for Slurm
    plan = make_plan(
        runs,
        sweep_folder,
        args.results / name,
        here=profile is None,
        processes=lambda run: jobs.asks(run.resources).processes,
    )
    print(f"{name} at scale {scale} on {data}\n{describe(plan, retry=args.retry)}", flush=True)
    _check_cost(args, plan, profile)
    if args.dry_run:
        return 0
    for folder in (sweep_folder, args.results / name, args.reports / name):
        make_folder(folder)  # better refused now than when all has been trained
    if args.report_only:
        failed = 0
    elif args.no_wait and plan.todo(retry=args.retry):
        return _detach(args, sweep_folder) if profile is None else _leave_to_slurm(args, plan, data_dir, profile)
    else:
        failed = _launch(args, plan, data_dir, profile)
    _report(args, name, declared, plan.items[0].run)
    return _verdict(plan, failed)


def _refuse_namesake(name: str) -> None:
    """Raises MistakeError where another sweep file would add its runs to those of one of the project's."""
    ours = project_folder() / "sweeps" / Path(name).name
    if name.endswith(".py") and ours.is_file() and ours.read_bytes() != Path(name).read_bytes():
        raise MistakeError(f"{name} has the name of {ours}, whose numbers are others: give it another name")


def _make_folders(plan: Plan) -> None:
    for item in plan.items:
        item.folder.create(item.run)
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
        print(describe_jobs(todo, profile, scheduler.max_array_size()), flush=True)
    elif several:
        print(f"{several:,} runs ask for several processes: on --cluster {args.cluster} each trains in one", flush=True)
    if args.budget and todo and not args.report_only:
        here = profile or Profile(nodes=1, tasks=1, gpus=None if cuda_devices() else 0)
        refuse_above(args.budget / 3600, todo, here, plan.basis)


def _launch(args: argparse.Namespace, plan: Plan, data_dir: Path, profile: Profile | None) -> int:
    """Runs what the plan has to do; returns how many runs failed in this start."""
    deadline = time.time() + args.time_limit if args.time_limit else None
    _make_folders(plan)
    todo = plan.todo(retry=args.retry)
    if not todo:
        return 0
    shown = display(todo)
    with Stop(deadline) as stop:
        executor: Executor
        if profile is not None:
            executor = _slurm(args, plan, data_dir, profile, stop, shown.say)
        elif args.cluster == "inline":
            executor = Inline(data_dir, stop)
        else:
            executor = Local(data_dir, plan.slots or 1, deadline)
        runner = Runner(executor, stop, shown)
        runner.run(todo)
    return runner.failed


def declared_runs(declared: Sweep, example: Run, seeds: Sequence[int] | None = None) -> tuple[Run, ...]:
    """All that the sweep declares at the scale and on the data of `example`, with the seeds asked for besides."""
    every = tuple(dict.fromkeys((*declared.scales[example.scale].seeds, *(seeds or ()))))
    return declared.runs(example.scale, every, example.data)


def _slurm(
    args: argparse.Namespace, plan: Plan, data_dir: Path, profile: Profile, stop: Stop, say: Callable[[str], None]
) -> Slurm:
    sweep_folder = plan.items[0].folder.path.parent
    code = freeze(sweep_folder / "code", allow_dirty=args.allow_dirty)
    return Slurm(sweep_folder, data_dir, profile, code, stop, say)


def _leave_to_slurm(args: argparse.Namespace, plan: Plan, data_dir: Path, profile: Profile) -> int:
    """Submits everything, and a last job that collects and reports: nobody has to wait."""
    _make_folders(plan)
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


def known_sweeps(results: Path, **also: Sweep) -> dict[str, Sweep]:
    """Every sweep of the project, those declared beside their numbers in `results`, and `also`.

    A file that fails is said and left out, as it is not what was asked.
    """
    sweeps: dict[str, Sweep] = {}
    names = [path.stem for path in (project_folder() / "sweeps").glob("[!_]*.py")]
    for name in sorted({*names, *(path.parent.name for path in results.glob(f"*/{DECLARATION}"))}):
        if name not in also:
            try:
                sweeps |= [load_sweep(name, results)]
            except MistakeError as error:
                print(f"left out of the index: {error}")
    return dict(sorted({**sweeps, **also}.items()))  # the index must not depend on which sweep wrote it


def keep_declaration(name: str, results: Path) -> None:
    """Lays a copy of a sweep file that is none of the project's beside its numbers, which mean nothing without it."""
    if own_file(name):
        write_text(results / DECLARATION, Path(name).read_text(encoding="utf-8"))


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
    failures = "; --retry tries the failed ones again" if "failed" in states else ""
    rest = "; the same command goes on" if done + states.count("failed") < total else ""
    print(f"{done} of {total} runs are done{rest}{failures}")
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
    except (MistakeError, SpecError, DataError, StoreError, SlurmError, FreezeError) as error:
        print(f"bench: {error}", file=sys.stderr)
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
    parser = argparse.ArgumentParser(
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
