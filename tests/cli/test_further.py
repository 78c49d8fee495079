"""Further test sets as a person uses them: after a sweep and by hand, stopped, without their data, on the page."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from bench.cli.commands import main
from bench.cli.options import Parser, add_arguments
from bench.cli.request import resolve
from bench.cli.sweep import _same_choice
from bench.cli.sweep import main as sweep
from bench.cli.sweep_files import load_file
from bench.report.digests import differences
from bench.store import RunFolder
from bench.store.further import keep_test, kept_test
from tests import further_sets
from tests.builders import SWEEP_FILE
from tests.tasks.builders import done

pytestmark = pytest.mark.usefixtures("figures_not_rendered")

START = ["--scale", "quick", "--cluster", "inline"]
RESULTS = Path("runs/tiny/results")
Said = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of the tiny sweep, done."""
    place = tmp_path_factory.mktemp("trained")
    (place / "tiny.py").write_text(SWEEP_FILE.format(steps=12, plain_lr=0.1))
    for run in load_file(place / "tiny.py").runs("quick", None, "stand-in"):
        done(place, run, place, "tiny")
    return place / "tiny"


@pytest.fixture
def tiny(tiny_sweep: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny sweep, whose runs are done; nets trained on the stand-in have further test sets, which are there."""
    further_sets.known(monkeypatch)
    further_sets.lay(tiny_sweep.parents[1] / "data")
    shutil.copytree(trained, "runs/tiny")
    return tiny_sweep


@pytest.fixture
def declared(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """It declares all of these sets, though its data are CIFAR-10, in whose place the stand-in comes."""
    monkeypatch.setattr("bench.spec.sweep.unfit", lambda *_: "")
    text = tiny.read_text()
    tiny.write_text(text.replace('"It does.", {', '"It does.", tests=("again", "weak"), scales={'))
    return tiny


def folders() -> list[RunFolder]:
    return [RunFolder(path.parent) for path in sorted(Path("runs/tiny").absolute().glob("*/run.json"))]


def kept(folder: RunFolder, name: str) -> dict[str, Any]:
    found = kept_test(folder, name, (folder.result() or {})["weights_sha256"])
    assert found is not None
    return found


def rows() -> list[dict[str, str]]:
    with (RESULTS / "tests.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep_ends_with_its_further_tests_on_its_page_and_they_verify(declared: Path, capsys: Said) -> None:
    assert sweep([str(declared), *START]) == 0
    said = capsys.readouterr().out
    assert "further test sets, for each run that is done: again, weak" in said
    assert "% on Again (40 images, " in said
    assert "% on Weak, pale (2 x 40 images, " in said
    assert "6 of 6 further tests)" in said

    for folder in folders():
        result = folder.result() or {}
        again = kept(folder, "again")
        assert again["parts"][""]["correct"] == result["correct"], "prepared and judged as in the run's own test"
        assert again["parts"][""]["error"] == result["test_error"]
        assert (again["test_sha256"], again["kernels"]) == ("e" * 64, "eager")
        assert list(kept(folder, "weak:faint")["parts"]) == ["1", "2"]
    assert [(row["test"], row["part"]) for row in rows()[:5]] == [
        ("again", ""), ("weak:faint", "1"), ("weak:faint", "2"), ("weak:pale", "1"), ("weak:pale", "2"),
    ]  # fmt: skip
    page = Path("runs/tiny/report/README.md").read_text()
    assert "## Further test sets" in page
    assert "| Weak, mean of 2 corruptions at 2 severities | ResNet-8 | 40 |" in page
    assert 'id="tiny.quick-stand-in.resnet-8-A.weak_error"' in page
    assert main(["verify", "tiny"]) == 0
    assert main(["cite", "tiny.quick-stand-in.resnet-8-A.again_error"]) == 0
    assert "ResNet-8, error on Again" in capsys.readouterr().out

    before = (RESULTS / "tests.csv").read_bytes()
    assert sweep([str(declared), *START]) == 0
    assert "further tests of" not in capsys.readouterr().out, "nothing is tested twice"
    assert (RESULTS / "tests.csv").read_bytes() == before


def test_runs_that_are_done_are_tested_by_hand_on_sets_that_nobody_declared(tiny: Path, capsys: Said) -> None:
    (tiny.parents[1] / "data" / "further").rmdir()
    assert main(["test", "tiny"]) == 2
    assert "tiny declares no further test sets: name some, as in --tests" in capsys.readouterr().err
    assert main(["test", "tiny", "--tests", "agian"]) == 2
    assert "tests: 'agian' is not one of: " in capsys.readouterr().err
    assert main(["test", "tiny", "--tests", "cifar10.1-v6"]) == 2
    words = "--tests names cifar10.1-v6, and nets trained on stand-in by task classify are tested on: again, weak"
    assert words in capsys.readouterr().err
    assert main(["test", "tiny", "--tests", "again,weak:faint"]) == 2
    assert "bench: Again is not in " in capsys.readouterr().err
    further_sets.lay(tiny.parents[1] / "data")

    assert main(["test", "tiny", "--tests", "again,weak:faint", "--only", "plain-*"]) == 0

    assert {row["id"].split("-")[0] for row in rows()} == {"plain"}
    assert "| Weak, faint, mean of 2 severities | plain-8 |" in Path("runs/tiny/report/README.md").read_text()
    assert differences(RESULTS) == []
    assert main(["verify", "tiny"]) == 0
    capsys.readouterr()
    (tiny.parents[1] / "data" / "further").rmdir()
    assert main(["test", "tiny", "--tests", "again", "--only", "plain-*"]) == 0, "nor are the data looked for"
    assert "nothing to test: 1 of 1 run done, each tested on again" in capsys.readouterr().out
    assert main(["test", "nobody"]) == 2


def test_without_the_test_data_a_sweep_ends_as_it_would_and_says_what_is_missing(declared: Path, capsys: Said) -> None:
    (declared.parents[1] / "data" / "further").rmdir()

    assert sweep([str(declared), *START]) == 0

    said = capsys.readouterr().out
    assert said.count("Again is not in") == 2, "before the runs, and at the end"
    assert "not tested: Weak, faint is not in" in said
    assert "make further/ there (and 1 more of Weak)" in said
    assert "Declared by the sweep and not tested yet: Again." in Path("runs/tiny/report/README.md").read_text()
    assert not (RESULTS / "tests.csv").exists()


def test_a_damaged_set_is_named_once_and_the_others_are_tested(declared: Path, capsys: Said) -> None:
    spoiled = declared.parents[1] / "data" / "further" / "faint.bad"
    spoiled.touch()

    assert sweep([str(declared), *START]) == 0
    assert capsys.readouterr().out.count("Weak, faint cannot be used: ") == 1
    assert {row["test"] for row in rows()} == {"again", "weak:pale"}
    assert main(["test", "tiny"]) == 1
    spoiled.unlink()
    assert main(["test", "tiny"]) == 0
    assert {row["test"] for row in rows()} == {"again", "weak:faint", "weak:pale"}


def test_what_was_tested_before_a_stop_is_kept_and_the_same_command_goes_on(
    declared: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:

    def then_ctrl_c(folder: RunFolder, test: dict[str, Any]) -> None:
        keep_test(folder, test)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("bench.launch.further.keep_test", then_ctrl_c)
        assert sweep([str(declared), *START]) == 3
    said = capsys.readouterr().out
    assert "stopped: 1 of 6 further tests done; the same command goes on" in said
    assert "2 of 2 runs are done" in said
    first = folders()[0].path / "test-again.json"
    assert len(rows()) == 1
    before = first.read_bytes()

    assert sweep([str(declared), *START]) == 0
    assert len(rows()) == 10
    assert first.read_bytes() == before


def test_a_job_that_only_reports_tests_where_it_is_told_to(declared: Path) -> None:
    assert sweep([str(declared), *START, "--report-only"]) == 0
    assert not (RESULTS / "tests.csv").exists()
    assert sweep([str(declared), *START, "--report-only", "--with-tests"]) == 0
    assert len(rows()) == 10


def test_the_last_job_on_slurm_is_told_to_where_the_sweep_declares_any(declared: Path, trained: Path) -> None:
    choices = []
    for path in (declared, trained.parent / "tiny.py"):
        parser = Parser()
        add_arguments(parser, "sweep")
        args = parser.parse_args([str(path), *START, "--report-only"])
        args.command = []
        if path != declared:  # the sweep of that name here is another
            declared.unlink()
        choices.append(_same_choice(resolve(args)))

    assert ["--with-tests" in words for words in choices] == [True, False]
    assert all("--report-only" in words for words in choices)


@pytest.mark.usefixtures("declared")
def test_weights_that_are_gone_and_other_training_data_are_said(capsys: Said) -> None:
    plain, residual = folders()
    plain.checkpoint.unlink()
    env = plain.path.parent / residual.path.name / "env.json"
    env.write_text(json.dumps(json.loads(env.read_text()) | {"data_sha256": "f" * 64}))
    capsys.readouterr()

    assert main(["test", "tiny"]) == 1

    said = capsys.readouterr().out
    assert "checkpoint.pt cannot be read (No such file or directory): its weights were deleted" in said
    assert "was trained on other a procedural stand-in" in said
