"""The kinds of experiment, a row each: what the suite has to know of one, it asks here.

To add one, add a row, and the functions that it names as "module:function", which are imported when they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.spec.advice import shown
from bench.spec.declare import declaration, one_of, spelled
from bench.spec.own import CODE, SHA256, declared_code
from bench.spec.words import Row, SpecError, require

if TYPE_CHECKING:
    from bench.spec.run import Run


def _no_checks(_: Run) -> Iterator[tuple[bool, str]]:
    yield from ()


@dataclass(frozen=True, slots=True)
class Task(Row):
    """A kind of experiment under the name that Sweep.task gives.

    like: the task whose data sets it takes, "" for itself.
    work: does one run, see bench.tasks.training. findings: what its pages say, see bench.report.sections.
    problems: what in a row of results does not follow from the arrays beside it, "" for nothing.
    weights: sources of weights that its nets may start from, "" for none.
    trains: whether its runs have steps. backbone: whether the run's net is a part of the one that is trained.
    only_trains: whether a run is nothing but the training of a classifier and its tests. Then its time follows from
    multiply-adds, all of its batch-norm groups may go at once, and its nets are compared image by image.
    graph: whether its step may be a CUDA graph: nothing in it differs from step to step.
    by_image: whether its errors are shares of what is judged one by one. judged: what that is.
    measure: what its test measures. inverted: whether `test_error` is 100 minus that.
    counted: what multiply-adds are of, where not of the whole net.
    answers: between how many its test decides; 0: between the data's classes, or between none.
    detections: writes what the test of a run found, see bench.cli.export; "" where it looks for no objects.
    hub: what model hubs call it, "" where they have no word for it.
    checks: what a run must be, beside what all must.
    """

    name: str
    work: str
    findings: str
    like: str = ""
    problems: str = ""
    weights: tuple[str, ...] = ("",)
    trains: bool = True
    backbone: bool = False
    only_trains: bool = False
    graph: bool = False
    by_image: bool = True
    judged: str = "images"
    measure: str = "test error"
    inverted: bool = False
    counted: str = ""
    answers: int = 0
    detections: str = ""
    hub: str = ""
    checks: Callable[[Run], Iterator[tuple[bool, str]]] = _no_checks

    def value(self, test_error: float) -> float:
        """What the test measured, in percent, of the `test_error` that is stored."""
        return 100 - test_error if self.inverted else test_error

    def words(self, test_error: float) -> str:
        """`test error 8.75 %`, of a detector `AP50 62.10 %`."""
        return f"{self.measure} {self.value(test_error):.2f} %"


def _groups(run: Run) -> tuple[bool, str]:
    batch, group = run.recipe.batch, run.recipe.bn_group
    few = batch <= 256 * group
    return few, f"a batch of {batch} in groups of {group} has more than 256 groups, each of which has a dropout seed"


def _of_verification(run: Run) -> Iterator[tuple[bool, str]]:
    yield _groups(run)


def _of_detection(run: Run) -> Iterator[tuple[bool, str]]:
    net, recipe = run.net, run.recipe
    detection = recipe.detection
    yield _groups(run)
    yield (
        net.norm == "bn" or net.row.own,
        f"{net.name} is without batch norm, and a detector of a net of this suite has it (fixed): leave norm out",
    )
    yield recipe.split == "50k", f"a detector holds none of its images back: leave out split={recipe.split!r}"
    recalibrated = detection is not None and detection.recalibration_images > 0
    yield (
        bool(net.weights) or net.row.one_net or net.norm != "bn" or recalibrated,
        "batch norm without weights has no statistics to be fixed at: give detection.recalibration_images, such as 16",
    )


ROWS = (
    Task(
        "classify",
        work="bench.tasks.training:train_run",
        findings="bench.tasks.classification.sections:findings",
        only_trains=True,
        graph=True,
        hub="image-classification",
    ),
    Task(
        "diagnose",
        work="bench.tasks.diagnosis.experiment:diagnose",
        findings="bench.tasks.diagnosis.sections:findings",
        graph=True,
        hub="image-classification",
    ),
    Task(
        "evaluate",
        work="bench.tasks.classification.evaluation.evaluate:evaluate",
        findings="bench.tasks.classification.evaluation.sections:findings",
        weights=("torchvision", "timm", "file", "pytorch-cifar", "run"),
        trains=False,
        hub="image-classification",
    ),
    Task(
        "verify",
        work="bench.tasks.training:train_run",
        findings="bench.tasks.verification.sections:findings",
        problems="bench.tasks.verification.sections:problems",
        weights=("", "run", "file", "pytorch-cifar", "timm"),
        backbone=True,
        answers=2,
        judged="pairs",
        hub="image-feature-extraction",
        checks=_of_verification,
    ),
    Task(
        "detect",
        work="bench.tasks.training:train_run",
        findings="bench.tasks.detection.sections:findings",
        problems="bench.tasks.detection.sections:problems",
        weights=("", "run", "file", "pytorch-cifar", "torchvision", "timm"),
        backbone=True,
        by_image=False,
        measure="AP50",
        inverted=True,
        detections="bench.tasks.detection.exported:export",
        counted=" (of a detector through its backbone alone, an image being a square of its shorter side)",
        hub="object-detection",
        checks=_of_detection,
    ),
)
TASKS: Mapping[str, Task] = MappingProxyType({row.name: row for row in ROWS})


@declaration
class OwnTask:
    """A task of the user's, in one file; `own_task` makes it.

    name: as Sweep.task and pages have it. code, sha256: the Experiment, as "rotation.py:Rotation". like: the task of
    which it is a kind. measure: what its test measures, as the error that stands in `test_error`. answers: between how
    many its test decides, 0 for the data's classes.
    """

    name: Annotated[str, spelled(r"[a-z][a-z0-9_-]*", "must be of small letters, digits, - and _")]
    code: Annotated[str, Field(examples=['"rotation.py:Rotation"'])]
    sha256: str
    like: Annotated[str, one_of("classify")] = "classify"
    measure: Annotated[str, spelled(r"\w[\w ,./()-]*", "must be words for the head of a column")] = "test error"
    answers: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        require(
            f"task {self.name!r}",
            (self.name not in TASKS, "that is a task of this suite: take another name"),
            (
                bool(CODE.fullmatch(self.code) and SHA256.fullmatch(self.sha256)),
                f"{shown(self.code)} and its SHA-256 are not those of a file of code: write {OWN_TASK}",
            ),
            (
                self.answers != 1,
                "answers=1 leaves nothing to decide: write how many there are, such as answers=4",
            ),
        )

    @property
    def row(self) -> Task:
        """What the suite knows of it: as of the task that it is like."""
        of = TASKS[self.like]
        return replace(of, name=self.name, like=self.like, measure=self.measure, answers=self.answers, graph=False)


OWN_TASK = 'own_task("rotation.py:Rotation", name="rotation", answers=4)'


def own_task(code: str, *, name: str, like: str = "classify", measure: str = "test error", answers: int = 0) -> OwnTask:
    """A task for Sweep.task: the subclass of Experiment that `code`, "rotation.py:Rotation", names opens its runs.

    The file lies beside the sweep file; its SHA-256 is in the id of each run. See OwnTask. Raises SpecError.
    """
    return OwnTask(name, *declared_code(code, f"the code of task {shown(name)}"), like, measure, answers)


def task_of(name: str) -> Task:
    """The row of the task. Raises SpecError."""
    if name not in TASKS:
        raise SpecError(f"task {shown(name)} is not one of: {', '.join(TASKS)}")
    return TASKS[name]
