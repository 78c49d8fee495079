"""`bench export`: what of runs others can use without this suite."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.cli.exits import FAILED
from bench.cli.only import by_id, some_folders
from bench.cli.places import Place, all_published, published
from bench.cli.sweep_files import MistakeError, no_runs
from bench.data.locate import DataError, data_folder
from bench.machine import installed
from bench.spec import counted
from bench.store import RunFolder, StoreError, make_folder

if TYPE_CHECKING:
    from bench.report.recorded import Recorded


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is exported of a sweep: run folders, those that `--only` names, or published runs by their ids.

    place: of the published numbers, None where it is run folders. beside: the folder of the sweep below --out.
    """

    folders: Sequence[RunFolder]
    ids: Sequence[str]
    place: Place | None
    beside: Path

    @property
    def source(self) -> str:
        """Words on where published numbers are from."""
        return f", published in {self.place.results}" if self.place else ""

    def recorded(self) -> list[Recorded]:
        """Their rows and curves."""
        from bench.report.recorded import in_folders, published_runs

        if self.place:
            return published_runs(self.place.results, self.ids)
        return in_folders(list(dict.fromkeys(folder.path.parent for folder in self.folders)), self.ids)


def export(args: argparse.Namespace) -> int:
    """Writes what the options ask for. Raises MistakeError where they ask for nothing."""
    asked = [kind for option, kind in KINDS.items() if getattr(args, option)]
    if not asked:
        kinds = "; ".join(f"--{option} ({kind.words})" for option, kind in KINDS.items())
        raise MistakeError(f"nothing is exported: say what, {kinds}")
    chosen = _chosen(args)
    if chosen.place and any(kind.of_folders for kind in asked):
        what = ", ".join(f"--{option}" for option, kind in KINDS.items() if kind.of_folders and getattr(args, option))
        here = "leave out --results" if args.results else no_runs(Path(args.name).stem, *args.out)
        raise MistakeError(f"{what}: published numbers do not have that, run folders do; {here}")
    return max([kind.write(args, chosen) for kind in asked])


def _chosen(args: argparse.Namespace) -> Chosen:
    """The run folders of the sweep, or published runs where there are none or --results asks for them.

    Raises MistakeError where there are neither, or none that `--only` names.
    """
    name = Path(args.name).stem
    beside, place = args.out[0] / name, published(name, args.results)
    if not args.results and (found := some_folders(args)):
        return Chosen(found, [folder.path.name for folder in found], None, beside)
    if not place.filled:
        near = difflib.get_close_matches(name, [place.name for place in all_published(args)], n=1)
        meant = f"; did you mean {near[0]}, which is published?" if near else ""
        raise MistakeError((f"{place.results} has no runs.csv" if args.results else no_runs(name, *args.out)) + meant)
    from bench.report.rows import read_rows

    ids = [row["id"] for row in read_rows(place.results / "runs.csv")]
    return Chosen([], by_id({one: one for one in ids}, args.only), place, beside)


def _folder(option: str, to: Path) -> Path:
    """`to`, made and tried. Raises MistakeError, StoreError."""
    if to.exists() and not to.is_dir():
        raise MistakeError(f"{option} {to} is a file: give a folder")
    try:
        return make_folder(to)
    except StoreError as error:
        why = getattr(error.__cause__, "strerror", error)
        raise MistakeError(f"{option} {to} cannot be written ({why}): give another folder") from None


def _weights(args: argparse.Namespace, chosen: Chosen) -> int:
    """Into --to; where that is the folder of published weights, its SHA256SUMS follows."""
    from bench.report.card import write_card
    from bench.report.digests import write_digests
    from bench.transfer.export import export_weights

    to = _folder("--to", args.to or chosen.beside / "weights")
    whole = export_weights(chosen.folders, to, print, write_card)
    if (to.parent / "runs.csv").is_file():
        write_digests(to.parent)
    return 0 if whole else FAILED


def _detections(args: argparse.Namespace, chosen: Chosen) -> int:
    """Into --to. Raises MistakeError where no run detects anything."""
    from bench.transfer.export import of_each

    tasks = {folder: folder.run().task_row for folder in chosen.folders}
    detectors = [folder for folder, task in tasks.items() if task.detections]
    if not detectors:
        raise MistakeError(f"--detections: no run of {args.name} detects objects; it is for sweeps with task='detect'")
    to = _folder("--to", args.to or chosen.beside / "detections")

    def write(folder: RunFolder, result: Mapping[str, Any]) -> None:
        try:
            print(tasks[folder].resolve("detections")(folder, result, lambda: data_folder(args.data), to), flush=True)
        except DataError as error:
            raise StoreError(str(error)) from None

    written, whole = of_each(detectors, write, print)
    print(f"{to}: the detections of {counted(len(written), 'run')}")
    return 0 if whole else FAILED


def _csv(args: argparse.Namespace, chosen: Chosen) -> int:
    """Into --to, which must be no folder of results: there the numbers themselves are called runs.csv."""
    from bench.report.digests import NAME
    from bench.report.recorded import write_csv

    to = args.to or chosen.beside / "csv"
    if held := next((place for place in (to, *to.absolute().parents) if (place / NAME).is_file()), None):
        raise MistakeError(f"--to {to}: {held} has results and their {NAME}, where no other file belongs: give another")
    found = chosen.recorded()
    rows = write_csv(found, _folder("--to", to))
    print(f"{to}: runs.csv ({counted(len(found), 'run')}) and curves.csv ({counted(rows, 'row')}){chosen.source}")
    return 0


def _tensorboard(args: argparse.Namespace, chosen: Chosen) -> int:
    """A folder a run; a run that has kept no step yet has nothing to show."""
    if not installed("tensorboard"):
        raise MistakeError(
            "--tensorboard needs the package tensorboard, which is not installed: pip install "
            "'resnet-bench[tensorboard]', or pip install tensorboard"
        )
    to = _folder("--tensorboard", args.tensorboard)
    from bench.transfer.events import write_events

    found = chosen.recorded()
    shown = [one for one in found if one.curve]
    for one in shown:
        write_events(to / one.id, one.curve, one.time, one.settings, one.measured)
    print(f"{to}: the curves of {counted(len(shown), 'run')}{chosen.source}; tensorboard --logdir {to} shows them")
    if without := [one.id for one in found if not one.curve]:
        print(f"without a curve: {', '.join(without)}")
    return 0


class Kind(NamedTuple):
    """What is exported under an option: in words, and by what. of_folders: whether published numbers lack it."""

    words: str
    write: Callable[[argparse.Namespace, Chosen], int]
    of_folders: bool = False


KINDS: Mapping[str, Kind] = {  # by option
    "weights": Kind("the final weights of runs that are done, as safetensors, each with a model card", _weights, True),
    "detections": Kind("what detectors found in their test images, in COCO's form", _detections, True),
    "csv": Kind("runs.csv, a row a run, and curves.csv, a row a run and step", _csv),
    "tensorboard": Kind("the curves as TensorBoard's event files, a folder a run", _tensorboard),
}
