"""Sweep: one claim of the paper as a value, with its Scales, Claims and Ensembles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator

from bench.spec.claim import LEVEL, PROCEDURE, Claim, Nets
from bench.spec.datasets import dataset_of, is_own
from bench.spec.declare import Text, declaration, one_of, spelled
from bench.spec.further import known_sets, unfit
from bench.spec.run import Resources, Run, digest
from bench.spec.scale import WHOLE, Scale, Sentences, whole_or_own
from bench.spec.tasks import TASKS, OwnTask, Task, task_of
from bench.spec.words import SCALES, SpecError, require

CLAIM = (
    'Claim("residual-wins", "ResNet-20 has the lower error.", "Table 6", "residual beats plain", '
    '(Net("cifar", 20, "none"), Net("cifar", 20, "A")))'
)
ENSEMBLE = 'Ensemble("two-nets", "Two nets", (Net("imagenet", 50, "B"), Net("imagenet", 101, "B")))'


def _task(value: Any) -> Any:
    """Allows the tasks of this suite by name, and the user's own."""
    return value if isinstance(value, OwnTask) else one_of(*TASKS).func(value)  # type: ignore[call-arg]  # as above


def _known(field: str, names: Iterable[str], ids: Sequence[str]) -> tuple[bool, str]:
    """Whether all claims that a field names are there, and what to say if not."""
    unknown, there = ", ".join(sorted(set(names) - set(ids))), ", ".join(ids) or "none"
    return not unknown, f"{field} names claims that are not there: {unknown}; there are: {there}"


@declaration
class Ensemble:
    """Nets whose scores at many scales are averaged, seed by seed, as in Table 5. id: its name in ids of numbers."""

    id: Annotated[str, spelled(r"[a-z0-9-]+", "must be of small letters, digits and -"), Field(examples=['"six-nets"'])]
    text: Annotated[Text, Field(examples=['"Six nets of five depths"'])]
    nets: Nets

    def __post_init__(self) -> None:
        require(
            f"ensemble {self.id!r}",
            (
                len(set(self.nets)) == len(self.nets) > 1,
                f"needs two different nets or more, got {len(self.nets)}: write nets=(ONE, OTHER)",
            ),
        )


@declaration
class Sweep:
    """One claim of the paper as a value: importing a sweep file does nothing but name it.

    title, question, claim: what the report says at its top; the claim is written before the runs.
    scales: what runs at "paper", "short" and "quick".
    deviations: where the suite knowingly differs from the paper, a sentence each.
    claims: the claim in parts that the numbers can decide, each of which gets a verdict.
    task: what its runs do, see bench.spec.tasks, which has `own_task` for the user's.
    data: what they are trained and tested on, where a scale does not say otherwise, see bench.spec.datasets.
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
    task: Annotated[str | OwnTask, PlainValidator(_task)] = "classify"
    data: Annotated[str, whole_or_own()] = "cifar10"
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
        judged = {claim for scale in self.scales.values() for claim in scale.judges or ()}
        mixed = sorted({net.name for ensemble in self.ensembles for net in ensemble.nets} & several)
        wrong = list(self._wrong_runs())
        data = {scale.data or self.data for scale in self.scales.values()}
        strange = unfit(self.tests, data, self.task_name) if self.tests else ""
        require(
            f"sweep {self.title!r}",
            (not twice, f"two claims have the id {', '.join(twice)}"),
            (
                not absent,
                f"claims and ensembles are about nets that no scale runs: {', '.join(absent)}; "
                f"there are: {', '.join(sorted(run_here))}",
            ),
            _known("judges", judged, ids),
            _known("answers", self.answers, ids),
            *self._wrong_scales(),
            (
                not self.ensembles or bool(dataset_of(self.data).named),
                f"ensembles are of nets tested at many scales, as on ImageNet; data is {self.data!r}",
            ),
            (not mixed, f"an ensemble is of nets by one recipe each, and {', '.join(mixed)} is here by several"),
            (not wrong, "; ".join(wrong)),
            (not strange, strange),
        )
        files = [file for file, _ in {(code.rpartition(":")[0], sha256) for code, sha256 in self.codes()}]
        twice = sorted({file for file in files if files.count(file) > 1})
        require(
            f"sweep {self.title!r}",
            (not twice, f"two files of code are both called {', '.join(twice)}: give one another name"),
        )

    def _wrong_scales(self) -> Iterator[tuple[bool, str]]:
        """What a scale cannot judge, or ask of its data."""
        yield (
            not (at := self.scales.get("quick")) or not at.judges,
            "scale quick judges no claim: its recipe is made for minutes, and tuned on what it would judge; write "
            "judges=() there",
        )
        for name, scale in self.scales.items():
            for claim in (claim for claim in self.claims if claim.id in (scale.judges or ())):
                yield (
                    all(len(scale.planned.get(net, ())) > 1 for net in claim.names),
                    f"{name} judges {claim.id!r} and does not plan two seeds or more of each of its nets",
                )
            yield (
                not scale.classes or bool(dataset_of(scale.data or self.data).named),
                f"{name} asks for {scale.classes} classes, which only a part of ImageNet can have: leave classes out",
            )

    def _wrong_runs(self) -> Iterator[str]:
        """What in the sweep's task, data, nets and recipes does not go together, by scale."""
        known = self.task_name in (*TASKS, self.task_row.name) and (self.data in WHOLE or is_own(self.data))
        for scale in self.scales if known else ():
            try:
                self.runs(scale, (0,), self.data_at(scale))
            except SpecError as error:
                yield f"at scale {scale} {error}"

    @property
    def own_task(self) -> OwnTask | None:
        """Its task, where that is the user's."""
        return self.task if isinstance(self.task, OwnTask) else None

    @property
    def task_row(self) -> Task:
        """What the suite knows of its task."""
        return self.task.row if isinstance(self.task, OwnTask) else task_of(self.task)

    @property
    def task_name(self) -> str:
        """The name of its task."""
        return self.task_row.name

    def codes(self) -> set[tuple[str, str]]:
        """The files of the user's code that it names: (code, SHA-256). Two of one name are refused when it is made."""
        nets = {net for scale in self.scales.values() for net, _ in scale.cells if net.build}
        task = self.own_task
        return {(net.build, net.build_sha256) for net in nets} | ({(task.code, task.sha256)} if task else set())

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
        several = at.all_seeds if given is None else given
        require(
            f"sweep {self.title!r}",
            (
                self.task_row.trains or len(set(several)) <= 1,
                f"task {self.task_name!r} trains nothing and draws nothing, all seeds have one number, got "
                f"seeds {tuple(several)}: write seeds=(0,)",
            ),
        )
        return tuple(
            Run(scale, net, data, recipe, seed, self.task_name, at.resources or self.resources, self.own_task)
            for seed in several
            for net, recipe in at.cells
            if given is not None or seed in at.seeds_of(net)
        )
