"""`python -m bench speed`: what everything costs, each beside a plainly written reference, paired in one run.

This file holds the command's options only, so that asking for help imports no torch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli.values import parse_count
from bench.machine import cores

USUAL = ("start", "load", "imagenet", "train", "evaluate", "checkpoint", "limits", "growth")
GROUPS = (*USUAL, "together", "settings", "agreement", "gpu")  # the first two minutes each, agreement six
DEPTHS = (20, 56, 110)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    groups = f"{', '.join(GROUPS)} (default: all but the last four)"
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=groups)
    parser.add_argument("--data", type=Path, metavar="DIR", help="real CIFAR-10, voc100 (else made up, as large)")
    depths = list(DEPTHS)
    parser.add_argument("--depths", type=parse_count, nargs="+", default=depths, metavar="DEPTH", help="of the nets")
    parser.add_argument("--precision", nargs="+", default=["fp32"], choices=("fp32", "bf16"))
    parser.add_argument("--compile", action="store_true", help="train through torch.compile")
    parser.add_argument("--threads", type=parse_count, default=cores(), help="of every case (default: all cores)")
    runs = [10, 100, 1_000]
    parser.add_argument("--runs", type=parse_count, nargs="+", default=runs, metavar="N", help="for the group growth")
    counts = "for the group together (default: 1, 2, 4, … up to the cores)"
    parser.add_argument("--at-once", type=parse_count, nargs="+", metavar="N", help=counts)
    parser.add_argument("--rounds", type=parse_count, default=3, metavar="N", help="for the group settings")
    parser.add_argument("--steps", type=parse_count, default=30, metavar="N", help="a round, for the group settings")
    parser.add_argument("--seconds", type=parse_count, default=90, metavar="S", help="about so long, for the group gpu")
    rehearse = "for the group gpu: try the command itself on a CPU, with small nets; nothing is kept for plans"
    parser.add_argument("--rehearse", action="store_true", help=rehearse)
    parser.add_argument("--seeds", type=parse_count, default=3, metavar="N", help="for the group agreement")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures with the hardware")
