"""`python -m bench speed`: what everything costs, each beside a plainly written reference, paired in one run.

This file holds the command's options only, so that asking for help imports no torch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli.options import parse_count
from bench.machine import cores

GROUPS = (
    "start",
    "load",
    "imagenet",
    "train",
    "evaluate",
    "checkpoint",
    "limits",
    "profile",
    "growth",
    "together",
    "settings",
    "agreement",
    "gpu",
)
USUAL = GROUPS[:-4]  # together and settings take some minutes, agreement a quarter of an hour; gpu is one by itself
DEPTHS = (20, 56, 110)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "groups", nargs="*", metavar="GROUP", help=f"{', '.join(GROUPS)} (default: all but the last four)"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="real CIFAR-10, voc100 (else made up, as large)")
    parser.add_argument(
        "--depths", type=parse_count, nargs="+", default=list(DEPTHS), metavar="DEPTH", help="of the nets trained"
    )
    parser.add_argument("--precision", nargs="+", default=["fp32"], choices=("fp32", "bf16"))
    parser.add_argument("--compile", action="store_true", help="train through torch.compile")
    parser.add_argument("--threads", type=parse_count, default=cores(), help="of every case (default: all cores)")
    parser.add_argument(
        "--runs", type=parse_count, nargs="+", default=[10, 100, 1_000], metavar="N", help="for the group growth"
    )
    parser.add_argument(
        "--at-once",
        type=parse_count,
        nargs="+",
        metavar="N",
        help="for the group together (default: 1, 2, 4, … up to the cores)",
    )
    parser.add_argument("--rounds", type=parse_count, default=3, metavar="N", help="for the group settings")
    parser.add_argument("--steps", type=parse_count, default=30, metavar="N", help="a round, for the group settings")
    parser.add_argument("--seconds", type=parse_count, default=90, metavar="S", help="about so long, for the group gpu")
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="for the group gpu: try the command itself on a CPU, with small nets; nothing is kept for plans",
    )
    parser.add_argument("--seeds", type=parse_count, default=3, metavar="N", help="for the group agreement")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures with the hardware")
