"""The rows of runs.csv: what a row says of its run, and the run of a row."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from bench.nets.counts import multiply_adds_of, parameters_of
from bench.spec import (
    FAMILIES,
    OPTIONS,
    PRECISIONS_OF_BOXES,
    PROTOCOLS,
    SCALES,
    VERIFICATION,
    Detection,
    Faces,
    Net,
    OwnTask,
    Recipe,
    Run,
    SpecError,
    Task,
    Views,
    dataset_of,
    run_from_json,
    stored_name,
    task_of,
)
from bench.spec.run import ADDED_LATER
from bench.spec.tasks import TASKS
from bench.store import StoreError

NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf)", re.IGNORECASE)
RESULT_COLUMNS = (
    "test_images", "test_error", "train_error", "train_loss", "test_loss", "val_error", "best_test_error", "best_step",
    "seconds", "images_per_s", "test_images_per_s", "weights_sha256", "curve_sha256",
)  # fmt: skip
OF_OPTIONS = tuple(f"{option}_{name}" for option in OPTIONS for name in PRECISIONS_OF_BOXES)
SOME_RESULTS = (
    *PROTOCOLS, *VERIFICATION, *PRECISIONS_OF_BOXES, *OF_OPTIONS, "source_error", "source_differs", "params",
    "multiply_adds", "people",
    "classes", "pictures",
)  # fmt: skip  # columns where a run has them
MORE_COLUMNS = ("predicted_seconds", "layers_sha256")
ENV_COLUMNS = (
    "hardware", "isa", "threads", "share", "kernels", "allocator", "processes", "commit", "tree", "dirty",
    "claims_sha256", "bench", "torch", "torchvision", "python", "requirements", "data_sha256", "started", "ended",
    "sessions", "notice",
)  # fmt: skip
SOME_ENV = ("start_sha256",)  # where a net starts from weights
NEEDED = (  # in results of every version
    "id", "scale", "data", "net", "depth", "shortcut", "seed", "steps", "batch", "state", "error_message",
    "test_images", "test_error", "train_error", "train_loss", "seconds", "images_per_s", "weights_sha256",
    "curve_sha256", "hardware", "data_sha256", "started", "ended",
)  # fmt: skip
Row = Mapping[str, str]  # a row as text, by column
STATES = ("done", "failed", "pending", "running", "stopped")
WHOLE = (
    "depth", "seed", "params", "multiply_adds", "steps", "batch", "bn_group", "warmup_steps", "curve_every",
    "test_every", "test_images", "best_step", "test_images_asked", "sessions", "size", "source_differs",
)  # fmt: skip
NUMBERS = (
    "lr", "warmup_lr", "momentum", "weight_decay", "test_error", "train_error", "train_loss", "test_loss", "val_error",
    "best_test_error", "seconds", "images_per_s", "test_images_per_s", "predicted_seconds", "source_error", *PROTOCOLS,
    *VERIFICATION, *PRECISIONS_OF_BOXES, *OF_OPTIONS,
)  # fmt: skip
SOME_NETS = ("weights", "build", "build_sha256", "label", "options")  # columns where a net has them
OWN_TASK = "own_task"  # the column of a user's task, as JSON
ASKED = "test_images_asked"  # the recipe's number, where a run had another
Part = Views | Faces | Detection
# of a recipe; their columns begin with the name
PARTS: Mapping[str, type[Part]] = {"views": Views, "faces": Faces, "detection": Detection}
EXAMPLE = Run("quick", Net("cifar", 20, "A"), "cifar10", Recipe(), 0)


def declared_columns(run: Run, classes: int = 0) -> dict[str, Any]:
    """The columns that the Run itself gives. classes: see `classes_of`.

    Fields of Recipe that all earlier runs had at one value are columns where they have another.
    """
    values = run.as_json()
    net, recipe = values["net"], values["recipe"]
    parts = {name: recipe.pop(name) or {} for name in PARTS}
    recipe = dict(item for item in recipe.items() if item not in ADDED_LATER["recipe"].items())
    net = {name: value for name, value in net.items() if value or name not in SOME_NETS}
    own_task = {OWN_TASK: json.dumps(values[OWN_TASK], sort_keys=True)} if run.own_task else {}
    columns = {
        "scale": run.scale,
        "task": run.task,
        **own_task,
        "data": run.data,
        "net": run.net.name,
        **net,
        "seed": run.seed,
        **counts_of(run, classes),
        **recipe,
        **{f"{part}_{name}": value for part, its in parts.items() for name, value in its.items()},
    }
    return {name: " ".join(map(str, v)) if isinstance(v, list) else v for name, v in columns.items()}


def counts_of(run: Run, classes: int = 0) -> dict[str, int | None]:
    """Parameters and multiply-adds, None where they are not known, as before a user's own data have been read."""
    known = (run.dataset.classes or classes or run.task_row.backbone) and not run.own_task
    counts = {"params": parameters_of(run, classes), "multiply_adds": multiply_adds_of(run, classes) if known else 0}
    return {name: count or None for name, count in counts.items()}


def classes_of(row: Mapping[str, Any]) -> int:
    """How many classes a classifier's data had, where these and not the table of data sets tell it; else 0."""
    names = row.get("classes")
    return len(str(names).split(" ")) if names and not task_in(row).backbone else 0


def run_of(row: Mapping[str, str]) -> Run:
    """The Run whose columns these are: the inverse of what a row says of its run.

    Raises SpecError or ValueError where they are no run's.
    """
    texts = {**row, "test_images": row.get(ASKED) or row["test_images"]}
    parts = {name: _values(part, row, f"{name}_") for name, part in PARTS.items() if row.get(f"{name}_side")}
    values: dict[str, Any] = {name: row[name] for name in ("scale", "data")}
    values |= {"net": _values(Net, row), "recipe": {**_values(Recipe, texts), **parts}}
    values |= {"seed": int(row["seed"]), "task": row.get("task") or "classify"}
    if own := row.get(OWN_TASK):
        values[OWN_TASK] = json.loads(own)
    return run_from_json(json.dumps(values))


def task_in(row: Mapping[str, Any]) -> Task:
    """What the run of a row did; rows older than the column are of classification. Raises SpecError."""
    own = row.get(OWN_TASK)
    return OwnTask(**json.loads(own)).row if own else task_of(row.get("task") or "classify")


def codes_in(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The files of the user's code that the run of a row depends on: (code, SHA-256)."""
    if row.get("build"):
        yield row["build"], row["build_sha256"]
    if own := row.get(OWN_TASK):
        task = OwnTask(**json.loads(own))
        yield task.code, task.sha256


TYPES: Mapping[Any, Mapping[str, Any]] = {of: get_type_hints(of) for of in (Net, Recipe, *PARTS.values())}


def _values(of: type[Net | Recipe | Part], row: Mapping[str, str], prefix: str = "") -> dict[str, Any]:
    """The columns of a part of a run as JSON; a word that is not there, as in rows of before, has its default."""
    found: dict[str, Any] = {}
    for name, kind in TYPES[of].items():
        text = row.get(prefix + (key := stored_name(of, name)), "")
        if get_origin(kind) is tuple:
            found[key] = [int(part) for part in text.split()]
        elif not text and key in ADDED_LATER.get(of.__name__.lower(), {}):
            continue
        elif kind in (int, float):
            found[key] = kind(text)
        elif kind is bool:
            found[key] = text == "True"
        elif text and name not in PARTS:
            found[key] = text
    return found


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a runs.csv as text; none where there is no file.

    Raises StoreError naming line and column where one is damaged.
    """
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        rows = list(reader)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        hint = "take it from git again, or collect into another folder"
        raise StoreError(f"{path} is damaged: {error}; {hint}") from None
    if lacking := set(NEEDED).difference(reader.fieldnames or ()):
        raise StoreError(f"{path} is damaged: no column {', '.join(sorted(lacking))}; take it from git again")
    for number, row in enumerate(rows, 2):
        if problem := _problem(row):
            raise StoreError(f"{path} is damaged, line {number}: {problem}; take it from git again")
    return rows


def _problem(row: Mapping[str | None, Any]) -> str:
    """What no row of runs.csv can have, "" for nothing; an empty cell may be of any column but a few."""
    if None in row or None in row.values():
        return "it has more or fewer values than there are columns"
    columns = {name: text for name, text in row.items() if text}
    tasks = () if columns.get(OWN_TASK) else TASKS
    known = {"state": STATES, "scale": SCALES, "family": FAMILIES} | ({"task": tasks} if tasks else {})
    for name, allowed in known.items():
        if columns.get(name, "") not in (*allowed, *[""] * (name in ("task", "family"))):
            return f"{name} is {row[name]!r}, not one of: {', '.join(allowed)}"
    try:
        dataset_of(row["data"])
    except SpecError as error:
        return str(error)
    for name in WHOLE:
        if not re.fullmatch(r"\d{1,18}", columns.get(name, "" if name in ("depth", "seed") else "0")):
            return f"{name} is {row[name]!r}, not a whole number"
    for name in NUMBERS:
        try:
            finite = math.isfinite(float(columns.get(name, 0)))
        except ValueError:
            finite = False
        if not finite:
            return f"{name} is {row[name]!r}, not a finite number"
    if row["state"] == "done" and not all(columns.get(name) for name in ("test_error", "test_images", "ended")):
        return "it is done and has no test_error, test_images or date of its end"
    return ""


def order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Best scale first, then by depth, plain before residual, and seed."""
    plain_first = (row["shortcut"] != "none", row["shortcut"])
    return SCALES.index(row["scale"]), row["data"], int(row["depth"]), plain_first, int(row["seed"]), row["id"]


def as_csv(rows: Sequence[Mapping[str, Any]], beside: Iterable[Mapping[str, Any]] = ()) -> str:
    """All rows under all columns, those of `beside` too, of other versions last; floats in full."""
    always = ("id", *declared_columns(EXAMPLE), "state", "error_message", *RESULT_COLUMNS, *MORE_COLUMNS, *ENV_COLUMNS)
    columns = list(dict.fromkeys((*always, *(name for row in (*beside, *rows) for name in row))))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def cell(value: object) -> object:
    """A value of a CSV file. A text that begins as a formula gets a ' before it: a spreadsheet would run it."""
    if not isinstance(value, str):
        return "" if value is None else value
    text = value.replace("\r\n", "\n").replace("\r", "\n")  # as it is read; csv does not quote a lone \r
    return f"'{text}" if re.match(r"[=+\-@\t]", text) and not NUMBER.fullmatch(text) else text
