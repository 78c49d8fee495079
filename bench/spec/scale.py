"""Scale: what of a sweep runs at one size, with which seeds, and which claims that decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cache
from typing import Annotated

from pydantic import AfterValidator, Field, NonNegativeInt

from bench.spec.datasets import DATASETS, OWN, is_own
from bench.spec.declare import Text, declaration, one_of
from bench.spec.net import Net
from bench.spec.recipe import Recipe, often, variant
from bench.spec.run import Resources, Run
from bench.spec.words import require

WHOLE = tuple(name for name, row in DATASETS.items() if not row.replaces)


def whole_or_own(*words: str) -> AfterValidator:
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
    data: Annotated[str, whole_or_own(""), Field(examples=['"cifar10"'])] = ""
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
        another = ", or of your own another name=" * any(net.row.own and net.name in twice for net, _ in self.cells)
        require(
            "scale", (not twice, f"two nets are both named {', '.join(twice)}: give each a sweep of its own{another}")
        )

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
