"""The paper's Table 6 on a GPU that is lent for a quarter of an hour, over a queue that runs one command at a time.

    tests/gpu/stretch prepare --parts BASE GLOB… --unpack CMD   at home: what to carry, and the commands to run there
    tests/gpu/stretch first …      the first call: what this machine is, whether all is right on it, how fast it is
    tests/gpu/stretch keep …       calls between, where data need more than two transfers
    tests/gpu/stretch campaign …   the last call: as many nets as the time allows, saved in archives every minute
    tests/gpu/stretch rehearse     all of it on a CPU, in minutes

Each call copies the tree and a share of the data there; what lies in --out comes back, even from a call that is cut
off; --work is a folder that stays on the machine between the calls. A step that fails is reported, and the rest
runs without it. At home the results come in with

    python -m bench unpack OUT/runs-*.tar && python -m bench publish plain_vs_residual

and unfinished runs are resumed in another stretch: prepare --parts OUT 'runs-*.tar' --resume 'runs-*.tar' ….
Where the machine lacks pydantic, its wheels are the first parts:

    pip download pydantic -d WHEELS --only-binary :all: --python-version 3.12 --platform manylinux2014_x86_64
    tests/gpu/stretch prepare --parts WHEELS '*.whl' --parts …

Exit codes: 0 all went as planned, 1 a step failed, 2 no CUDA device or nothing to be done at all.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.cli.options import Parser
from bench.cli.values import parse_count, parse_seeds
from bench.machine import SOURCE
from bench.spec import SCALES
from tests.gpu import carrying
from tests.gpu.calls import campaign, first, keep
from tests.gpu.carrying import MIB, CarryError

COMMAND_LENGTH = 2_000
MARGIN = 35  # seconds before the limit at which all is saved


def parse_positive(text: str) -> float:
    """A number above 0."""
    if not re.fullmatch(r"\d{1,9}(\.\d+)?", text) or not float(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0; write one such as 60 or 1.5")
    return float(text)


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
        return 2


if __name__ == "__main__":
    sys.exit(main())
