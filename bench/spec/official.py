"""Whether a run saw the official data: known by the digest that the suite itself takes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bench.spec.datasets import dataset_of
from bench.spec.words import counted


def is_official(data: str, sha256: str) -> bool | None:
    """Whether this is the digest of the official data set; None where the suite knows none of it."""
    known = dataset_of(data).sha256
    return sha256 == known if known else None


def data_words(data: str, sha256: str, bold: str = "") -> str:
    """`the official CIFAR-10 (SHA-256 …)`, or `not the …`, that between `bold`; another set by its name alone."""
    name = dataset_of(data).title
    words = {True: f"the official {name}", False: f"{bold}not the official {name}{bold}", None: data}
    return f"{words[is_official(data, sha256)]} ({f'SHA-256 {sha256[:12]}' if sha256 else 'no SHA-256 is known'})"


def data_of_runs(runs: Iterable[tuple[str, str]], bold: str = "") -> str:
    """Of (data set, SHA-256) a run: the words, official data first; where there are several, how many runs each has."""
    counts = Counter(runs)
    ordered = sorted(counts, key=lambda one: (not is_official(*one), one))
    several = len(counts) > 1
    return ", ".join(data_words(*one, bold) + f" in {counted(counts[one], 'run')}" * several for one in ordered)
