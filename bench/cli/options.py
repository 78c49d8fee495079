"""The options of all commands, and what reads them."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from bench.cli.listing import complete_name, version_words
from bench.cli.values import parse_count, parse_duration, parse_kernels, parse_seeds
from bench.spec import SCALES

CHOICES = re.compile(r"invalid choice: '(?P<given>[^']*)' \(choose from (?P<known>.*)\)")
UNKNOWN = re.compile(r"unrecognized arguments: (?P<given>--[a-z-]+)")


class Parser(argparse.ArgumentParser):
    """argparse's, with errors of one line as everywhere else, which say what may have been meant."""

    def error(self, message: str) -> NoReturn:
        """Ends the process with exit code 2."""
        self.exit(2, f"{self.prog}: {message}{_meant(message)}; see {self.prog} --help\n")


def _meant(message: str) -> str:
    if found := CHOICES.search(message):
        known = re.findall(r"[\w-]+", found["known"])
    elif found := UNKNOWN.search(message):
        known = sorted({name for own in OPTIONS.values() for name in own if name.startswith("--")})
    else:
        return ""
    near = difflib.get_close_matches(found["given"], known, n=1, cutoff=0.7 if found.re is CHOICES else 0.8)
    return f"; did you mean {near[0]}?" if near else ""


Option = Mapping[str, Any]  # what argparse's add_argument takes
OUT: Option = {
    "type": Path,
    "default": Path("runs"),
    "metavar": "DIR",
    "help": "where everything of a sweep goes, in a folder of its name: runs, results, report (default: runs)",
}
ALSO = {"--out": ("--runs",)}  # earlier names of options
NAME: Option = {"metavar": "NAME"}
PLACE: Option = {"type": Path, "metavar": "DIR"}
FILE: Option = {"type": Path, "metavar": "FILE"}
SEVERAL: Option = {**OUT, "nargs": "+", "default": [Path("runs")], "help": "folders of runs, of several machines too"}
SPREAD = "least and largest std over seeds, in points"
OF_SWEEP: Mapping[str, Option] = {  # of the main job
    "name": {
        "metavar": "NAME",
        "nargs": "?",
        "help": "a sweep of `python -m bench list`, or the path of a sweep file of your own",
    },
    "--scale": {
        "choices": ("auto", *SCALES),
        "default": "auto",
        "help": "auto: paper where jobs go to Slurm or there is a GPU, else quick",
    },
    "--cluster": {
        "choices": ("auto", "slurm", "local", "crew", "inline"),
        "default": "auto",
        "help": (
            "auto: slurm where its commands answer, else local (as many runs at once as this machine has room for, a "
            "process each, on a GPU a crew), without submitit inline (one after another); crew: several runs in one "
            "process, in turns"
        ),
    },
    "--at-once": {
        "type": parse_count,
        "metavar": "N",
        "help": (
            "so many runs at once on this machine, which share its cores or CUDA devices (default: as measured by "
            "`bench speed together` or `gpu`, else as many as there is room for, on a CPU a core each)"
        ),
    },
    "--kernels": {
        "type": parse_kernels,
        "metavar": "WAY",
        "help": (
            "how runs that have not begun make their steps: eager, or some of graph (one CUDA graph a step), compiled "
            "(torch.compile), grouped or fused (batch norm of all groups in one pass), such as graph,fused (default: "
            "what the sweep declares, on a GPU what `bench speed gpu` found to be fastest)"
        ),
    },
    "--compile": {"action": "store_true", "help": "the same as --kernels compiled; on a CPU it needs a C++ compiler"},
    "--seeds": {"type": parse_seeds, "metavar": "0-4", "help": "instead of the scale's own seeds"},
    "--classes": {"type": parse_count, "metavar": "N", "help": "of ImageNet only the first so many classes"},
    "--only": {
        "metavar": "GLOB",
        "help": (
            "only runs whose id or net (with +RECIPE where that is not its own) matches, in this order, such as "
            "'plain-*,resnet-20-A'"
        ),
    },
    "--data": {"type": Path, "metavar": "DIR", "help": "the folder of the data sets (else $BENCH_DATA, else a cache)"},
    "--out": OUT,
    "--dry-run": {"action": "store_true", "help": "print the runs, what is done, and the cost; start nothing"},
    "--retry": {"action": "store_true", "help": "try failed runs again"},
    "--again": {
        "action": "store_true",
        "help": (
            "move the folders of runs that began on other data or start weights than those here to aside/ beside them, "
            "and train these runs anew; nothing is deleted, and the new results take the place of the old"
        ),
    },
    "--time-limit": {
        "type": parse_duration,
        "metavar": "50m",
        "help": "stop cleanly after this time (90s, 50m, 2h, 1d); the same command resumes",
    },
    "--no-wait": {"action": "store_true", "help": "run in the background and return at once"},
    "--publish": {
        "action": "store_true",
        "help": "also merge the runs into results/ and reports/ here, as `bench publish` does",
    },
    "--report-only": {"action": "store_true", "help": "start nothing; collect and report what there is already"},
    "--with-tests": {
        "action": "store_true",
        "help": "with --report-only: first test what is done on the sweep's further test sets",
    },
    "--budget": {
        "type": parse_duration,
        "metavar": "40h",
        "help": "refuse to start above so many core- or GPU-hours (40h, 30m, 2d)",
    },
    "--profile": {
        "type": Path,
        "metavar": "FILE",
        "help": "partition, limits and packing on Slurm, in TOML (default: ~/.config/resnet-bench/slurm.toml)",
    },
    "--allow-dirty": {"action": "store_true", "help": "on Slurm: run the work tree, though it is of no commit"},
}
OPTIONS: Mapping[str, Mapping[str, Option]] = {  # by command
    "sweep": OF_SWEEP,
    "status": {
        "name": NAME,
        "--out": OUT,
        "--scale": {"choices": SCALES, "help": "only the runs of this scale"},
        "--watch": {"action": "store_true", "help": "refresh every 5 seconds until nothing runs or waits"},
    },
    "cancel": {"name": NAME, "--out": OUT},
    "test": {
        "name": NAME,
        "--tests": {
            "metavar": "A,B",
            "help": "further test sets, such as cifar10.1-v6,cifar10-c:fog (default: those that the sweep declares)",
        },
        "--only": {"metavar": "GLOB", "help": "only runs whose id matches, such as '*-paper-*'"},
        "--data": OF_SWEEP["--data"],
        "--time-limit": OF_SWEEP["--time-limit"],
        "--out": SEVERAL,
    },
    "report": {"name": NAME, "--out": SEVERAL},
    "publish": {
        "name": {**NAME, "nargs": "?", "help": "a sweep (default: write all pages once more)"},
        "--out": SEVERAL,
        "--sign": {
            "type": Path,
            "metavar": "KEY",
            "help": "sign the manifests of these runs with this SSH key, as ssh-keygen does",
        },
        "--timestamp": {
            "metavar": "URL",
            "help": "have the manifests of these runs time-stamped by this service (RFC 3161), with openssl",
        },
    },
    "clean": {
        "name": NAME,
        "--out": OUT,
        "--dry-run": {"action": "store_true", "help": "say what would be deleted; delete nothing"},
        "--aside": {"action": "store_true", "help": "also what --again, unpack or a damaged checkpoint set aside"},
        "--weights": {
            "action": "store_true",
            "help": "also the weights of runs that are done: no net can start from these runs any more, and a result "
            "that is damaged later is trained anew",
        },
    },
    "pack": {
        "--out": OUT,
        "to": {**PLACE, "help": "where the archives go; made beside it and renamed"},
        "--only": {"metavar": "GLOB", "help": "only runs whose id or sweep matches, such as 'plain-*,faces'"},
        "--files": {"type": parse_count, "default": 8, "metavar": "N", "help": "at most so many archives (8)"},
        "--mib": {"type": parse_count, "default": 16, "metavar": "M", "help": "each smaller than so many MiB (16)"},
        "--no-weights": {"action": "store_true", "help": "of finished runs the numbers alone"},
    },
    "unpack": {
        "--out": OUT,
        "archives": {
            "type": Path,
            "nargs": "+",
            "metavar": "ARCHIVE",
            "help": "files that bench pack wrote, or folders of them",
        },
    },
    "export": {
        "name": NAME,
        "--weights": {
            "action": "store_true",
            "help": "the final weights of each run that is done, as safetensors, with a model card",
        },
        "--detections": {
            "action": "store_true",
            "help": "what each detector found in its test images, in COCO's form",
        },
        "--data": {**PLACE, "help": "data of detectors that kept no detections (else $BENCH_DATA, else a cache)"},
        "--csv": {"action": "store_true", "help": "runs.csv, a row a run, and curves.csv, a row a run and step"},
        "--tensorboard": {**PLACE, "help": "curves, settings and results for TensorBoard, a folder a run in DIR"},
        "--out": SEVERAL,
        "--results": {**PLACE, "help": "the published numbers in DIR, also where there are runs of your own"},
        "--only": {"metavar": "GLOB", "help": "only runs whose id matches, such as '*-paper-*'"},
        "--to": {**PLACE, "help": "where files go (default: weights/, detections/ and csv/ beside the runs)"},
    },
    "cite": {
        "--results": PLACE,
        "--out": OUT,
        "id": {"metavar": "ID", "help": "such as plain_vs_residual.paper.resnet-20-A.test_error or t6.resnet-20.error"},
    },
    "verify": {
        "--results": PLACE,
        "--reports": PLACE,
        "--out": OUT,
        "name": {**NAME, "nargs": "?", "help": "one sweep (default: all, and the index)"},
        "--figures": {"action": "store_true", "help": "also draw every figure once more, and compare what is drawn"},
        "--rerun": {"metavar": "RUN", "help": "train this run of the results once more below --out, and compare"},
        "--weights": {
            "type": Path,
            "nargs": "?",
            "const": Path(),
            "metavar": "DIR",
            "help": "test the weights in DIR (default: weights/ in the results or beside own runs), image by image",
        },
        "--data": {**PLACE, "help": "data for --rerun and --weights (else $BENCH_DATA, else a cache)"},
        "--signers": {
            **FILE,
            "help": "whose signatures count, as ssh-keygen reads allowed signers (default: results/allowed_signers)",
        },
        "--authorities": {
            **FILE,
            "help": "certificates (PEM) of those whose time stamps count (default: results/authorities.pem)",
        },
    },
    "simulate": {
        "name": NAME,
        "--scale": {"choices": SCALES, "default": "paper"},
        "--spread": {"type": float, "nargs": 2, "required": True, "metavar": "STD", "help": SPREAD},
        "--draws": {"type": parse_count, "default": 1_000, "help": "made-up sweeps a case (default: 1000)"},
    },
    "coverage": {"--results": PLACE},
    "list": {"--out": OUT},
}
ABOUT = {  # what the help of a command says beside its line
    "clean": "Deletes, of the runs of a sweep that are done, logs, momentum in checkpoints of earlier versions and "
    "what was submitted for them; of the others, logs of earlier starts; and what killed processes left half-written. "
    "Never results, curves, a checkpoint of a run that is not done, or anything of a run that is being trained.",
    "pack": "Writes run folders into DIR as runs-1.tar, runs-2.tar, …; the same command renews them. Results come "
    "first, then runs that can be resumed, those with least left first, then the weights of finished runs, as far as "
    "there is room. A finished run travels without its optimizer. Exit code 1: a run that has kept a step was left "
    "behind.",
    "export": "Writes files that others can use without this suite, of a sweep's runs; several kinds at once, too. "
    "--weights, of runs that are done: ID.safetensors with the tensors that the run was tested with, bit by bit, and "
    "what it reached as metadata; beside it ID.md, a model card as model hubs read it. "
    "--detections: ID.json with all boxes that a detector found, as COCO's results, and the ground truth that it was "
    "tested on; a run that kept none is tested again from its weights. --csv and --tensorboard: what "
    "there is of all runs, or, where there are none below --out, of the published ones. Exit code 1: of a run "
    "that is done that cannot be written.",
    "test": "Tests the finished runs of a sweep on further test sets from their final weights, then writes the report. "
    "What has been tested is kept, and not tested again. A start of the sweep does the same for the sets that its file "
    "declares. Exit code 1: a test could not be made; 2: test data are not there.",
    "unpack": "Verifies every file of every archive, then places the runs; a run that is further on here, done or being"
    " trained stays as it is. Exit code 1: a run could not take its place.",
}


class ShowVersion(argparse.Action):
    """--version, which asks git only where it is given."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Ends the process."""
        print(version_words())
        parser.exit()


def add_version(parser: argparse.ArgumentParser) -> None:
    """Gives the parser --version."""
    parser.add_argument(
        "--version", action=ShowVersion, nargs=0, help="print version and commit, and where sweeps are read"
    )


def add_arguments(parser: argparse.ArgumentParser, command: str) -> None:
    """Gives the parser the options of a command."""
    for name, option in OPTIONS.get(command, {}).items():
        added = parser.add_argument(name, *ALSO.get(name, ()), **option)
        if name == "name":
            added.completer = complete_name  # type: ignore[attr-defined]  # where argcomplete looks
