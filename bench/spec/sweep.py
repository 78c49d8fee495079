"""Sweep: one claim of the paper as a value; the Scales at which it runs, its Claims and Ensembles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, Field, NonNegativeInt

from bench.spec.claim import LEVEL, PROCEDURE, Claim, Ensemble
from bench.spec.datasets import DATASETS, OWN, dataset_of, is_own
from bench.spec.declare import Text, declaration, one_of
from bench.spec.further import known_sets, unfit
from bench.spec.net import Net
from bench.spec.recipe import Recipe, often, variant
from bench.spec.run import Resources, Run, digest
from bench.spec.tasks import TASKS
from bench.spec.words import SCALES, SpecError, require

CLAIM = (
    'Claim("residual-wins", "ResNet-20 has the lower error.", "Table 6", "residual beats plain", '
    '(Net("cifar", 20, "none"), Net("cifar", 20, "A")))'
)
ENSEMBLE = 'Ensemble("two-nets", "Two nets", (Net("imagenet", 50, "B"), Net("imagenet", 101, "B")))'
WHOLE = tuple(name for name, row in DATASETS.items() if not row.replaces)


def _about(*words: str) -> AfterValidator:
    """Allows what a sweep may be about, whole data sets and the user's own, and these words."""
    known = one_of(*words, *WHOLE, *(f"{word}:NAME" for word in OWN))

    def check(value: str) -> str:
        checked: str = value if is_own(value) else known.func(value)  # type: ignore[call-arg]  # takes the value alone
        return checked

    return AfterValidator(check)


Seeds = Annotated[tuple[Annotated[NonNegativeInt, Field(lt=2**32)], ...], Field(min_length=1, examples=["(0, 1, 2)"])]
Sentences = Annotated[tuple[Text, ...], Field(examples=['("200 steps, not 64,000.",)'])]


def _twice(cells: Sequence[tuple[Net, Recipe]]) -> list[str]:
    return list(dict.fromkeys(cell[0].name for cell in cells if cells.count(cell) > 1))


def _known(field: str, names: Iterable[str], ids: Sequence[str]) -> tuple[bool, str]:
    """Whether all claims that a field names are there, and what to say if not."""
    unknown, there = ", ".join(sorted(set(names) - set(ids))), ", ".join(ids) or "none"
    return not unknown, f"{field} names claims that are not there: {unknown}; there are: {there}"


def _has_curve(recipe: Recipe) -> bool:
    """Whether anything enters its curve before its last step. An evaluation has none."""
    return recipe.steps == 0 or max(recipe.curve_every, recipe.test_every) <= recipe.steps


def _no_curve(recipe: Recipe) -> str:
    words = ", ".join(f"{name}={value}" for name, value in often(recipe.steps, {}).items())
    return (
        f"curve_every {recipe.curve_every} and test_every {recipe.test_every} must be at most steps {recipe.steps}, or "
        f"its curves would be empty: write {words}"
    )


@declaration
class Scale:
    """The cells of a sweep at one scale: each net with its recipe, the planned seeds, and which claims they decide.

    cells: a net may be there by several recipes; the first is its own, the others are variants, named by what differs.
    seeds: of every net but those that `seeds_by_net` gives others.
    judges: the ids of the claims that get a verdict at this scale, once every net of theirs has its planned seeds;
    None for every claim at scale paper whose nets have two seeds or more, and none at the others. Fixed before the
    runs: their number is what the level is shared among.
    """

    cells: Annotated[
        tuple[tuple[Net, Recipe], ...], Field(min_length=1, examples=['((Net("cifar", 20, "A"), Recipe()),)'])
    ]
    seeds: Seeds
    deviations: Sentences = ()
    classes: Annotated[NonNegativeInt, Field(examples=["100"])] = 0
    about: Annotated[str, Field(examples=['"a first look"'])] = ""
    resources: Annotated[Resources | None, Field(examples=["Resources(cpus=2)"])] = None
    data: Annotated[str, _about(""), Field(examples=['"cifar10"'])] = ""
    seeds_by_net: Annotated[Mapping[Net, Seeds], Field(examples=['{Net("cifar", 20, "A"): (0, 1)}'])] = field(
        default_factory=dict
    )
    judges: Annotated[tuple[str, ...] | None, Field(examples=['("residual-wins",)'])] = None

    def __post_init__(self) -> None:
        own = {net for net, _ in self.cells}
        require(
            "scale",
            (len(set(self.cells)) == len(self.cells), f"a cell is there twice: {', '.join(_twice(self.cells))}"),
            *((_has_curve(recipe), f"{net.name}: {_no_curve(recipe)}") for net, recipe in self.cells),
            *(
                (len(set(seeds)) == len(seeds), f"seeds {seeds} must be distinct: write {tuple(dict.fromkeys(seeds))}")
                for seeds in (self.seeds, *self.seeds_by_net.values())
            ),
            (
                self.seeds_by_net.keys() <= own,
                f"seeds_by_net names nets that are in no cell: "
                f"{', '.join(sorted(net.name for net in self.seeds_by_net.keys() - own))}; "
                f"there are: {', '.join(sorted(net.name for net in own))}",
            ),
        )
        names = self.names
        twice = sorted({name for name in names if names.count(name) > 1})
        require("scale", (not twice, f"two nets are both named {', '.join(twice)}: give each a sweep of its own"))

    def name_of(self, run: Run) -> str:
        """The name in tables and ids of the run's cell: its net's, with the variant: `resnet-20-A+bf16`."""
        return _names(self.cells)[run.net, run.recipe]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all cells in their order."""
        return tuple(_names(self.cells).values())

    def seeds_of(self, net: Net) -> tuple[int, ...]:
        """The planned seeds of the net, by each of its recipes."""
        return self.seeds_by_net.get(net, self.seeds)

    @property
    def planned(self) -> dict[str, tuple[int, ...]]:
        """The planned seeds by name of a cell."""
        return {name: self.seeds_of(net) for (net, _), name in _names(self.cells).items()}

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """Every seed that is planned for any net, in order."""
        return tuple(dict.fromkeys((*self.seeds, *sorted(s for own in self.seeds_by_net.values() for s in own))))


@cache
def _names(cells: tuple[tuple[Net, Recipe], ...]) -> Mapping[tuple[Net, Recipe], str]:
    first = dict(reversed(cells))  # of each net the first
    return {(n, r): "+".join(filter(None, (n.name, variant(r, first[n])))) for n, r in cells}


@declaration
class Sweep:
    """One claim of the paper as a value: importing a sweep file does nothing but name it.

    title, question, claim: what the report says at its top; the claim is written before the runs.
    scales: what runs at "paper", "short" and "quick".
    deviations: where the suite knowingly differs from the paper, a sentence each.
    claims: the claim in parts that the numbers can decide, each of which gets a verdict.
    task: what its runs do, see bench.spec.tasks. data: what they are trained and tested on, where a scale does not say
    otherwise, see bench.spec.datasets.
    ensembles: of its nets, tested at many scales (ImageNet).
    author: who is cited for its numbers, "" for the name that git knows.
    answers: the ids of the claims that answer the question, told first on every page; () for the first three. Decides
    nothing, and is in no digest.
    tests: further sets that every net is tested on once it is done, see bench.spec.further; in no id and no digest.
    """

    title: Annotated[Text, Field(examples=['"Plain against residual nets"'])]
    question: Annotated[Text, Field(examples=['"Has the residual net the lower error?"'])]
    claim: Annotated[Text, Field(examples=['"Section 4.2: it has."'])]
    scales: Annotated[
        Mapping[Annotated[str, one_of(*SCALES)], Scale],
        Field(min_length=1, examples=['{"quick": Scale(((Net("cifar", 20, "A"), Recipe()),), (0,))}']),
    ]
    deviations: Sentences = ()
    resources: Annotated[Resources, Field(examples=["Resources(cpus=2)"])] = Resources()
    claims: Annotated[tuple[Claim, ...], Field(examples=[f"({CLAIM},)"])] = ()
    task: Annotated[str, one_of(*TASKS)] = "classify"
    data: Annotated[str, _about()] = "cifar10"
    ensembles: Annotated[tuple[Ensemble, ...], Field(examples=[f"({ENSEMBLE},)"])] = ()
    author: Annotated[str, Field(examples=['"Ada Lovelace"'])] = ""
    answers: Annotated[tuple[str, ...], Field(examples=['("residual-wins",)'])] = ()
    tests: Annotated[tuple[str, ...], AfterValidator(known_sets), Field(examples=['("cifar10.1-v6",)'])] = ()

    def __post_init__(self) -> None:
        ids = [claim.id for claim in self.claims]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        run_here = {name for scale in self.scales.values() for name in scale.names}
        named_nets = {name for claim in self.claims for name in claim.names}
        named_nets |= {net.name for ensemble in self.ensembles for net in ensemble.nets}
        absent = sorted(named_nets - run_here)
        several = {name.partition("+")[0] for name in run_here if "+" in name}
        judged = {(s, i) for s, scale in self.scales.items() for i in scale.judges or ()}
        mixed = sorted({net.name for ensemble in self.ensembles for net in ensemble.nets} & several)
        wrong = list(self._wrong_runs())
        strange = unfit(self.tests, {scale.data or self.data for scale in self.scales.values()}, self.task)
        require(
            f"sweep {self.title!r}",
            (not twice, f"two claims have the id {', '.join(twice)}"),
            (
                not absent,
                f"claims and ensembles are about nets that no scale runs: {', '.join(absent)}; "
                f"there are: {', '.join(sorted(run_here))}",
            ),
            _known("judges", {claim for _, claim in judged}, ids),
            _known("answers", self.answers, ids),
            (
                not any(scale == "quick" for scale, _ in judged),
                "scale quick judges no claim: its recipe is made for minutes, and tuned on what it would judge; write "
                "judges=() there",
            ),
            *(
                (
                    all(len(scale.planned.get(net, ())) > 1 for net in claim.names),
                    f"{name} judges {claim.id!r} and does not plan two seeds or more of each of its nets",
                )
                for name, scale in self.scales.items()
                for claim in self.claims
                if claim.id in (scale.judges or ())
            ),
            *(
                (
                    not scale.classes or bool(dataset_of(scale.data or self.data).named),
                    f"{name} asks for {scale.classes} classes, which only a part of ImageNet can have: "
                    "leave classes out",
                )
                for name, scale in self.scales.items()
            ),
            (
                not self.ensembles or bool(dataset_of(self.data).named),
                f"ensembles are of nets tested at many scales, as on ImageNet; data is {self.data!r}",
            ),
            (not mixed, f"an ensemble is of nets by one recipe each, and {', '.join(mixed)} is here by several"),
            (not wrong, "; ".join(wrong)),
            (not strange, strange),
        )

    def _wrong_runs(self) -> Iterator[str]:
        """What in the sweep's task, data, nets and recipes does not go together, by scale."""
        known = self.task in TASKS and (self.data in WHOLE or is_own(self.data))
        for scale in self.scales if known else ():
            try:
                self.runs(scale, (0,), self.data_at(scale))
            except SpecError as error:
                yield f"at scale {scale} {error}"

    def at(self, scale: str) -> Scale:
        """What is declared at the scale. Raises SpecError naming the scales there are."""
        if scale not in self.scales:
            raise SpecError(f"scale {scale!r} is not one of this sweep's: {', '.join(self.scales)}")
        return self.scales[scale]

    def data_at(self, scale: str) -> str:
        """What the scale's runs are trained on, as it is declared. Raises SpecError."""
        return self.at(scale).data or self.data

    def judged_at(self, scale: str) -> tuple[Claim, ...]:
        """The claims that get a verdict at the scale."""
        at = self.at(scale)
        if at.judges is not None:
            return tuple(claim for claim in self.claims if claim.id in at.judges)
        several = {name for name, seeds in at.planned.items() if len(seeds) > 1}
        return tuple(claim for claim in self.claims if scale == "paper" and set(claim.names) <= several)

    def answering(self) -> tuple[Claim, ...]:
        """The claims that answer the question, in the order in which they are told."""
        by_id = {claim.id: claim for claim in self.claims}
        return tuple(by_id[name] for name in self.answers) if self.answers else self.claims[:3]

    def declaration(self, scale: str) -> dict[str, Any]:
        """What decides the claims at the scale, as plain JSON values: its digest is in every run's provenance.

        Ids, metrics, nets with their weights, bounds, planned seeds, level and the version of the procedure; no prose,
        so that wording can change. What a run is, its recipe, is in the run's id; what the paper's numbers are is data
        of this suite (bench/paper.yaml).
        """
        planned = self.at(scale).planned
        claims = [claim.declared(planned) for claim in sorted(self.judged_at(scale), key=lambda claim: claim.id)]
        return {"procedure": PROCEDURE, "level": LEVEL, "scale": scale, "claims": claims}

    def claims_digest(self, scale: str) -> str:
        """SHA-256 of the declaration at the scale."""
        return digest(self.declaration(scale))

    def runs(self, scale: str, seeds: Iterable[int] | None = None, data: str = "cifar10") -> tuple[Run, ...]:
        """All runs at `scale`, seed by seed, so that every cell has its first seed before any has its second.

        seeds: of every cell, instead of the planned ones.
        """
        at, given = self.at(scale), None if seeds is None else tuple(seeds)
        return tuple(
            Run(scale, net, data, recipe, seed, self.task, at.resources or self.resources)
            for seed in (at.all_seeds if given is None else given)
            for net, recipe in at.cells
            if given is not None or seed in at.seeds_of(net)
        )
