"""`bench verify --weights`: tests published weights, and holds each image against what is published."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.exits import FAILED
from bench.cli.places import Place
from bench.cli.sweep_files import MistakeError
from bench.data.locate import DataError, data_folder, home
from bench.spec import counted
from bench.store import StoreError, own_code, tensor_file

if TYPE_CHECKING:
    from bench.report.verify.published import Published

BESIDE = Path()  # --weights without a folder


def verify_weights(args: argparse.Namespace, places: Sequence[Place]) -> int:
    """Tests every file of weights, says what comes of it, and which finished runs have none here."""
    from bench.report.verify.published import Published
    from bench.report.verify.weights import FOLDER, weight_files

    sources = [Published.read(place.results) for place in places]
    folders = [args.weights]
    if args.weights == BESIDE:  # of own runs also where `bench export` writes without --to
        own = [place.results.parent / FOLDER for place in places if not place.published]
        folders = [*(source.folder / FOLDER for source in sources), *own]
    files = [path for folder in folders for path in weight_files(folder)]
    if not files:
        raise MistakeError(
            f"no weights in {', '.join(map(str, folders))}: `bench export NAME --weights --to DIR` writes those of "
            "runs, --weights DIR names their folder"
        )
    data, wrong = data_folder(args.data), 0
    for path in files:
        fine, words = _tested(path, _source(path, sources), data)
        wrong += not fine
        print(f"{path.stem}: {words}", file=sys.stdout if fine else sys.stderr, flush=True)
    known = {row["id"] for source in sources for row in source.done}
    lacking = len(known - {path.stem for path in files})
    print(
        f"{counted(len(files), 'file')} of weights, {counted(wrong, 'problem')}; "
        f"{counted(lacking, 'finished run')} without weights here"
    )
    return FAILED if wrong else 0


def _source(path: Path, sources: Sequence[Published]) -> Published:
    """The results with the row of the file's run: those beside it first."""
    near = path.parent.parent
    beside = [source for source in sources if source.folder in (near, near / "results")]
    having = [source for source in sources if any(row["id"] == path.stem for row in source.done)]
    return [*beside, *having, *sources][0]


def _tested(path: Path, source: Published, data: Path) -> tuple[bool, str]:
    """Whether the weights are the run's and do what is published, and in what words."""
    from bench.launch.retest import evaluated_with
    from bench.report.verify.weights import file_problems, judge, run_to_test

    if problems := list(file_problems(path, source)):
        return False, "; ".join(problems)
    own_code.beside_results(source.folder)
    row, start = next(row for row in source.done if row["id"] == path.stem), time.perf_counter()
    try:
        run = run_to_test(row)
        found = evaluated_with(run, tensor_file.read(path).tensors, home(run.dataset, data))
        fine, words = judge(row, source.correct.get(run.id), found)
    except DataError as error:
        return True, f"the digests agree; its images were not tested, as the data are not here: {error}"
    except StoreError as error:
        return False, str(error)
    except ValueError as error:
        return False, f"its row is of no run: {error}"
    return fine, f"{words} ({time.perf_counter() - start:.0f} s)"
