"""The committed numbers as data frames."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.nets.speeds import Speed, published_speeds
from bench.report import authorship, repeats
from bench.report.authorship import SUITE, Authorship
from bench.report.further import NO_TESTS, FurtherTests, read_tests
from bench.report.rows import ENV_COLUMNS, OF_OPTIONS, read_rows
from bench.report.stored import read_arrays, read_table
from bench.report.witnesses import NO_WITNESSES, Witnesses, witnesses
from bench.spec import (
    FAMILIES,
    IMAGENET_DEPTHS,
    PRECISIONS_OF_BOXES,
    PROTOCOLS,
    SCALES,
    VERIFICATION,
    Dataset,
    Sweep,
    dataset_of,
    digest,
)
from bench.spec.net import own_word
from bench.store import StoreError
from bench.tasks.classification.imagenet.ensembles import ensemble_frame

NUMBERS = (
    "depth", "seed", "params", "multiply_adds", "steps", "batch", "curve_every", "test_images", "test_error",
    "train_error", "train_loss", "val_error", "best_test_error", "seconds", "images_per_s", "test_images_per_s",
    "predicted_seconds", *PROTOCOLS, *VERIFICATION, *PRECISIONS_OF_BOXES, *OF_OPTIONS, "source_error",
    "source_differs",
)  # fmt: skip
PUBLISHED = "published.csv"  # beside a user's results: a copy of the published runs.csv, as it was then
TEXTS = (*ENV_COLUMNS, "error_message", "weights_sha256", "norm", "weights")
DIFFERENCES = {  # what differs from a net's own recipe, in words
    "bn_group": "batch norm over {}", "lr": "rate {}", "warmup_lr": "warm-up at {}", "steps": "{} steps",
    "warmup_steps": "warm-up of {} steps", "warmup_steps=0": "no warm-up", "batch": "batches of {}",
    "drops": "drops after {}", "drops=": "no drops", "size": "images of {} pixels", "augment=none": "no augmentation",
    "augment=crop": "crops alone", "augment=cropflip": "crops and mirror images",
}  # fmt: skip
# how nets are called on pages, by the first word of their names
RESIDUAL = {row.residual.word: row.residual for row in FAMILIES.values()}
KINDS = {row.plain: row.title if row.one_net else row.plain for row in FAMILIES.values()}
KINDS |= {word: kind.title for word, kind in RESIDUAL.items()}
# what pages call all nets of a kind, each a line over depth: plain nets, residual nets, and those of other units
PLAIN = "plain"
NETS = tuple(dict.fromkeys([PLAIN, *(kind.nets for kind in RESIDUAL.values())]))


@dataclass(frozen=True)
class Set:
    """The runs of one sweep at one scale on one data set, with their curves.

    others: rows at this scale that the sweep does not declare (an earlier recipe's), which are in no number.
    digest: SHA-256 over the rows, which hold the digests of curves and weights: what a page and a figure were made of.
    correct: by run, eight test images a byte, a bit set where the net is right.
    layers: a row a run, step and layer, of failed runs too; empty in results from before layers were looked at.
    ensembles: a row an ensemble and seed. pair_scores: of verifications, matches: of detectors, see collect.
    repeats: further results of the same runs, which are in no number. further: tests of these on further sets.
    authorship: whose results they are. published: beside a user's own the published ones of this scale and data.
    speeds: of the task's runs in these results and, where they are published, in those of all sweeps.
    witnesses: of all runs of the sweep.
    """

    scale: str
    data: str
    runs: pd.DataFrame
    curves: pd.DataFrame
    others: int = 0
    digest: str = ""
    correct: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    layers: pd.DataFrame = field(default_factory=pd.DataFrame)
    ensembles: pd.DataFrame = field(default_factory=pd.DataFrame)
    pair_scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    matches: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    repeats: Sequence[Mapping[str, str]] = ()
    authorship: Authorship = SUITE
    published: Set | None = None
    speeds: Sequence[Speed] = ()
    witnesses: Witnesses = NO_WITNESSES
    further: FurtherTests = NO_TESTS

    @property
    def dataset(self) -> Dataset:
        """The row of the data set, for the recipes of its runs."""
        row = dataset_of(self.data)
        part = self.runs.get(f"{row.part}_side") if row.without_part else None
        return dataset_of(self.data, parted=not row.without_part or (part is not None and bool((part != "").any())))

    @property
    def label(self) -> str:
        """`paper`, `short`, `quick`, or with the data set where it is not the paper's: `quick-stand-in`."""
        return f"{self.scale}-{self.data}" if self.dataset.replaces else self.scale

    @property
    def comparable(self) -> bool:
        """Whether its numbers may be held against the paper's: the paper's schedule, on the paper's data."""
        return self.scale == "paper" and self.dataset.of_paper

    @cached_property
    def done(self) -> pd.DataFrame:
        """The runs that have a number."""
        return self.runs[self.runs["state"] == "done"]

    @cached_property
    def nets(self) -> pd.DataFrame:
        """A row a net, as `by_net` has it."""
        return by_net(self.runs)

    def correct_images(
        self, net: str, seeds: Container[int] | None = None, metric: str = "test_error"
    ) -> NDArray[np.bool_] | None:
        """Seeds x images, True where right, over the net's done runs (of these seeds); None if there are none.

        metric: the error that counts the wrong ones. Runs without stored bits, or with fewer images, are left out.
        """
        done = self.done.loc[self.done["net"] == net, ["id", "seed", "test_images"]].sort_values("seed")
        done = done if seeds is None else done[done["seed"].map(lambda seed: int(seed) in seeds).astype(bool)]
        images = dict(zip(done["id"], done["test_images"], strict=True))
        kept = {name if metric == "test_error" else f"{name}:{metric}": n for name, n in images.items()}
        bits = [np.unpackbits(self.correct[name])[: int(n)] for name, n in kept.items() if name in self.correct]
        longest = max(map(len, bits), default=0)
        return np.stack([row.astype(bool) for row in bits if len(row) == longest]) if bits else None


def load(results: Path, sweep: Sweep, file: str = "runs.csv") -> list[Set]:
    """Every set in a sweep's results, the best first. Raises StoreError where there is none to read.

    file: runs.csv, or PUBLISHED for the rows alone of what is published.
    """
    rows = read_rows(results / file)
    if not rows:
        raise StoreError(f"{results / file} has no runs; run the sweep first")
    try:
        runs = pd.DataFrame(rows).reindex(columns=list(dict.fromkeys([*rows[0], *NUMBERS, *TEXTS])), fill_value="")
        runs = runs.assign(**{name: pd.to_numeric(runs[name]) for name in NUMBERS})
        runs["processes"] = runs["processes"].replace("", "1")  # results older than the column
    except ValueError as error:
        raise StoreError(f"{results / file} is damaged: {error}") from None
    whole = Set(
        scale="",
        data="",
        runs=runs,
        curves=read_table(results / "curves.parquet"),
        correct=read_arrays(results / "correct.npz"),
        layers=read_table(results / "layers.parquet"),
        ensembles=ensemble_frame(results),
        pair_scores=read_arrays(results / "pairs.npz"),
        matches=read_arrays(results / "matches.npz"),
        repeats=read_rows(results / repeats.FILE),
        authorship=authorship.read(results),
        speeds=published_speeds(results.parent, sweep.task_name),
        witnesses=witnesses(results),
        further=read_tests(results),
    )
    beside = file != PUBLISHED and (results / PUBLISHED).exists()
    published = {(one.scale, one.data): one for one in (load(results, sweep, PUBLISHED) if beside else ())}
    sets = [
        _declared(sweep, scale, str(data), part, replace(whole, published=published.get((scale, str(data)))), rows)
        for scale in SCALES
        if scale in sweep.scales
        for data, part in runs[runs["scale"] == scale].groupby("data")
    ]
    return [one for one in sets if one.runs["state"].isin(["done", "failed"]).any()]


def _declared(
    sweep: Sweep, scale: str, data: str, runs: pd.DataFrame, whole: Set, rows: Sequence[Mapping[str, str]]
) -> Set:
    """The declared runs among `runs`, each by the name of its cell: a mean over seeds must not mix two recipes."""
    cells = sweep.scales[scale]
    seeds = sorted({*cells.all_seeds, *runs["seed"].astype(int)})
    declared = {run.id: cells.name_of(run) for run in sweep.runs(scale, seeds, data)}
    ours = runs[runs["id"].isin(declared)]
    names = [declared[name] for name in ours["id"]]
    ours = ours.assign(net=names, variant=[name.partition("+")[2] for name in names])
    if (ours["variant"] != "").any():  # a net's own recipe first, as in the sweep's file
        place = {name: k for k, name in enumerate(cells.names)}
        ours = ours.assign(place=ours["net"].map(place)).sort_values(["place", "seed"]).drop(columns="place")
    kept, ensembles = set(ours["id"]), whole.ensembles
    return replace(
        whole,
        scale=scale,
        data=data,
        runs=ours,
        curves=whole.curves[whole.curves["id"].isin(kept)],
        others=int((runs["state"] == "done").sum() - (ours["state"] == "done").sum()),
        digest=digest([row for row in rows if row["id"] in kept]),
        layers=whole.layers[whole.layers["id"].isin(kept)],
        ensembles=ensembles[(ensembles["scale"] == scale) & (ensembles["data"] == data)],
    )


def page_names(sets: Sequence[Set]) -> dict[tuple[str, str], str]:
    """The file of each set's page by scale and data: the best set's is README.md."""
    return {(s.scale, s.data): "README.md" if s is sets[0] else f"{s.label}.md" for s in sets}


def with_bn(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of nets with BN, as the paper's have."""
    return runs[runs["norm"] != "none"]


def own_recipes(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs by each net's own recipe, without its variants: what nets are compared by."""
    return runs[runs["variant"] == ""]


def by_net(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a net: what it is, how many seeds are declared, done (n) and failed, mean errors and loss over them."""
    nets, done = runs.groupby("net"), runs[runs["state"] == "done"].groupby("net")
    about = nets[["depth", "shortcut", "params", "multiply_adds", "norm", "variant", "test_images"]].first()
    failed = runs["state"].eq("failed").groupby(runs["net"]).sum()
    counts = about.assign(declared=nets.size(), failed=failed, n=done.size().reindex(about.index, fill_value=0))
    means = done[["test_error", "train_error", "train_loss"]].mean().add_suffix("_mean")
    return counts.join(means).sort_values(["depth", "shortcut", "variant"])


def display_name(net: str) -> str:
    """The paper's name of a net: `ResNet-20`, `plain-20`, `ResNet-34 (B)`.

    The option is named if it is not A, and always for ImageNet's depths; so are published weights, no BN, and what
    differs from the net's own recipe.
    """
    own, *variant = net.split("+")
    return ", ".join([_net_name(own), *map(difference, variant)])


def difference(part: str) -> str:
    """`bf16`, `batch norm over 128`, `no warm-up`."""
    name, given, value = part.partition("=")
    words = DIFFERENCES.get(part) or DIFFERENCES.get(name) or name.replace("_", " ") + " {}" * bool(given)
    return words.format(value.replace("_", "/"))


def _net_name(net: str) -> str:
    kind, _, rest = net.partition("-")
    if kind not in KINDS and not own_word(net):  # timm's: its weights' name is the net's
        return net.replace(".", " ", 1)
    depth, *more = rest.split("-", 2 if kind in RESIDUAL else 1)
    option = more.pop(0) if kind in RESIDUAL else ""
    usual = option in ("", "A" if int(depth) not in IMAGENET_DEPTHS else "")
    name = f"{KINDS.get(kind, kind)}-{depth}" + ("" if usual else f" ({option})")
    weights = "".join(more)
    if weights.split("-")[0] == "nobn":
        name, weights = f"{name} without BN", weights[len("nobn-") :]
    if weights.startswith("run."):
        return f"{name}, transferred from {weights.split('.')[1]}"
    return f"{name}, {weights.replace('.', ' ', 1)}" if weights else name


def nets_of(frame: pd.DataFrame) -> pd.Series[str]:
    """Which of `kinds_of` each row's net, a column or the index, is one of."""
    names = [str(net) for net in frame.get("net", frame.index)]
    kinds = [RESIDUAL[w].nets if (w := net.partition("-")[0]) in RESIDUAL else own_word(net) or PLAIN for net in names]
    return pd.Series(kinds, frame.index, dtype=object)


def kinds_of(frame: pd.DataFrame) -> tuple[str, ...]:
    """NETS, then the words of the user's nets among these."""
    return tuple(dict.fromkeys((*NETS, *nets_of(frame))))


def first_option(runs: pd.DataFrame) -> pd.DataFrame:
    """Of each depth and kind of net one, with the shortcuts that the paper shows in its figures, by its own recipe.

    That is option A, and B for the nets of 50 layers and more on ImageNet.
    """
    runs = own_recipes(runs)
    residual = runs["shortcut"] != "none"
    first = runs[residual].groupby([nets_of(runs[residual]), "depth"])["shortcut"].transform("min").reindex(runs.index)
    return runs[~residual | (runs["shortcut"] == first)]
