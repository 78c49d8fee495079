"""Where everything goes: beside the runs; published numbers stay as they are until somebody publishes."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bench.cli import sweep as command
from bench.cli import sweep_files
from bench.cli.commands import main as bench
from bench.cli.sweep import main as sweep
from bench.cli.sweep_files import load_sweep
from bench.speed.made_up import finish
from bench.store import RunFolder, StoreError
from tests.builders import git, needs

pytestmark = pytest.mark.usefixtures("figures_not_rendered")

ROOT = Path(__file__).resolve().parents[2]
START = ["--scale", "quick", "--cluster", "inline"]


def trained(out: Path, error: float, seed: int = 0, name: str = "tiny") -> None:
    """Leaves the first net's run of a seed below `out` as if it had been trained on CIFAR-10."""
    run = load_sweep(name)[1].runs("quick", (seed,), "cifar10")[0]
    finish(RunFolder(out / name / run.id), run, error, weights=f"w{error}")


def files(*folders: str) -> dict[Path, bytes]:
    return {p: p.read_bytes() for folder in folders for p in sorted(Path(folder).rglob("*")) if p.is_file()}


@pytest.fixture
def suite(tiny_sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny sweep is one of the suite's."""
    monkeypatch.setattr(sweep_files, "SUITE", tiny_sweep.parent)


@pytest.mark.usefixtures("suite")
def test_a_users_numbers_stand_beside_the_published_ones_and_leave_them_as_they_are() -> None:
    trained(Path("theirs"), error=50)
    trained(Path("theirs"), error=55, seed=1)
    assert bench(["publish", "tiny", "--out", "theirs"]) == 0
    before = files("results", "reports")
    trained(Path("runs"), error=40)

    assert bench(["report", "tiny"]) == 0

    assert files("results", "reports") == before
    page = Path("runs/tiny/report/README.md").read_text()
    assert "1 of 2 runs done" in page
    assert "## Beside resnet-bench's published results" in page
    assert "| plain-8 | 40.00 (1) | 52.50 ± 3.54 (2) |" in page
    rows = list(csv.DictReader(Path("runs/tiny/results/runs.csv").read_text().splitlines()))
    assert [(row["seed"], row["state"]) for row in rows] == [("0", "done"), ("0", "pending")]
    assert bench(["verify", "tiny"]) == 0
    published = Path("runs/tiny/results/published.csv")
    published.write_text(published.read_text().replace("50.0", "49.0"))
    assert bench(["verify", "tiny"]) == 1


@pytest.mark.usefixtures("tiny_sweep")
def test_publishing_merges_the_runs_of_several_folders_and_keeps_the_first_result() -> None:
    trained(Path("a"), error=50)
    trained(Path("b"), error=40)
    trained(Path("b"), error=55, seed=1)

    other = load_sweep("tiny")[1].runs("quick", (0,), "stand-in")[0]
    finish(RunFolder(Path("a/tiny") / other.id), other, error=1)

    assert bench(["publish", "tiny", "--out", "a"]) == 0
    assert bench(["publish", "tiny", "--out", "a", "b"]) == 0
    assert Path("reports/tiny/index.html").is_file()
    assert not Path("reports/README.md").exists(), "the index of the paper's numbers is the suite's"

    rows = csv.DictReader(Path("results/tiny/runs.csv").read_text().splitlines())
    assert [(row["seed"], row["test_error"]) for row in rows if row["state"] == "done"] == [
        ("0", "50.0"),
        ("1", "55.0"),
    ]
    assert Path("results/tiny/repeats.csv").is_file()
    assert not list(Path("a").glob("*/results")), "nothing was written beside the runs"


@pytest.mark.usefixtures("tiny_sweep")
def test_everything_of_a_start_lies_in_one_folder_that_the_command_names(capsys: pytest.CaptureFixture[str]) -> None:
    before = set(Path().iterdir())

    assert sweep(["tiny", *START, "--out", "there/it", "--only", "plain-8"]) == 0

    said = capsys.readouterr().out
    assert "tiny at scale quick on stand-in, in there/it/tiny\n" in said
    assert "browser: there/it/tiny/report/index.html" in said
    assert set(Path().iterdir()) - before == {Path("there")}
    assert Path("there/it/.gitignore").read_text() == "*\n", "checkpoints are not to be committed by accident"
    assert not files("results", "reports")
    assert sweep(["tiny", *START, "--out", "there/it", "--only", "plain-8", "--publish"]) == 2
    assert "are on a stand-in: they mean nothing, and none is published" in capsys.readouterr().err
    assert not files("results", "reports")


@pytest.mark.usefixtures("tiny_sweep")
def test_a_report_alone_of_nothing_says_so_and_makes_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(["tiny", *START, "--report-only"]) == 3
    assert "no runs in runs/tiny: nothing to report" in capsys.readouterr().out
    assert not Path("runs").exists()


def test_a_study_of_ones_own_is_cited_as_its_users(tiny_sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    place = tiny_sweep.parents[1]
    git(place, "init", "--quiet")
    git(place, "config", "user.name", "Ada & Co")
    git(place, "add", "sweeps")
    git(place, "commit", "--quiet", "-m", "study")
    head = git(place, "rev-parse", "HEAD")[:10]
    trained(Path("runs"), error=40)

    assert bench(["report", "tiny"]) == 0

    entry = Path("runs/tiny/report/cite.bib").read_text().partition("@misc")[2]
    assert "{tiny.quick,\n  author = {Ada \\& Co},\n  title = {Tiny on CIFAR-10, scale quick},\n" in entry
    assert f"study's commit {head}, resnet-bench commit cccccccccc" in entry
    page = Path("runs/tiny/report/README.md").read_text()
    assert f"Study of Ada & Co: study's commit {head}." in page.replace("\\&", "&")
    assert "## Test and training error\n" in page
    assert "Table 6\n" not in page
    assert bench(["publish", "tiny"]) == 0
    assert f"study's commit {head}, resnet-bench" in Path("reports/tiny/cite.bib").read_text()
    tiny_sweep.unlink()
    assert bench(["publish", "tiny"]) == 0, "by the copy beside the runs"
    assert f"study's commit {head}, resnet-bench" in Path("reports/tiny/cite.bib").read_text()
    git(place, "checkout", "--quiet", "--", "sweeps")
    tiny_sweep.write_text(tiny_sweep.read_text().replace("resources=R", "author='Eve', resources=R"))
    assert bench(["report", "tiny"]) == 0
    entry = Path("runs/tiny/report/cite.bib").read_text().partition("@misc")[2]
    assert "author = {Eve}" in entry
    assert f"study's commit {head}, resnet-bench" in entry, "of when the runs were started"
    Path("runs/tiny/results/study.json").unlink()
    assert bench(["report", "tiny"]) == 0
    entry = Path("runs/tiny/report/cite.bib").read_text().partition("@misc")[2]
    assert f"study's commit {head} with uncommitted changes" in entry


def test_the_pages_of_other_sweeps_follow_what_is_published_where_they_can(
    tiny_sweep: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def write(name: str, _declared: object, _results: Path, reports: Path, *_: object) -> Path:
        written.append(name)
        if name == "damaged":
            raise StoreError("its curves cannot be read")
        return reports / "README.md"

    monkeypatch.setattr("bench.report.page.write_report", write)
    monkeypatch.setattr("bench.report.render.html.write_html", lambda *_: None)
    for name in ("damaged", "other"):
        shutil.copyfile(tiny_sweep, tiny_sweep.with_name(f"{name}.py"))
        Path("results", name).mkdir(parents=True)
        Path("results", name, "runs.csv").touch()
    trained(Path("runs"), error=40)

    assert bench(["publish", "tiny"]) == 0

    assert written == ["tiny", "damaged", "other"]
    assert "the pages of damaged stay as they were: its curves cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize("damaged", ["[]", "{}", '{"author": 1}', '{"author": "a", "own": "b"}', "{"])
@pytest.mark.usefixtures("tiny_sweep")
def test_a_damaged_study_file_is_said(damaged: str, capsys: pytest.CaptureFixture[str]) -> None:
    trained(Path("runs"), error=40)
    assert bench(["report", "tiny"]) == 0
    Path("runs/tiny/results/study.json").write_text(damaged)
    capsys.readouterr()

    assert bench(["cite", "tiny.quick.plain-8.test_error"]) == 2
    assert "study.json" in capsys.readouterr().err


@pytest.mark.usefixtures("tiny_sweep")
def test_both_numbers_of_one_id_are_cited_each_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    trained(Path("theirs"), error=50)
    assert bench(["publish", "tiny", "--out", "theirs"]) == 0
    trained(Path("runs"), error=40)
    assert bench(["report", "tiny"]) == 0
    capsys.readouterr()

    assert bench(["cite", "tiny.quick.plain-8.test"]) == 0

    said = capsys.readouterr().out
    assert said.index("40.00 % (n = 1)") < said.index("50.00 % (n = 1)")
    assert "page:  reports/tiny/README.md#" in said
    assert "page:  runs/tiny/report/README.md#" in said


@needs("hatchling")
def test_the_wheel_runs_the_suites_sweeps_and_cites_its_numbers_in_an_empty_folder(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    (empty := tmp_path / "empty").mkdir()

    def run(*words: str) -> str:
        env = {**os.environ, "PYTHONPATH": str(tmp_path / "installed"), "BENCH_DATA": str(empty)}
        command = [sys.executable, "-m", *words]
        done = subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    plan = run("bench.sweep", "plain_vs_residual", "--scale", "quick", "--cluster", "inline", "--dry-run")
    assert "4 runs: 0 done, 4 to do" in plan
    assert "reports/plain_vs_residual" in run("bench", "cite", "plain_vs_residual.quick.resnet-56-A.test_error")
    assert "plain_vs_residual: every number follows from its runs" in run("bench", "verify", "plain_vs_residual")
    assert not list(empty.iterdir())


@pytest.mark.parametrize("command", ["report", "publish"])
def test_runs_of_another_recipe_alone_are_refused_and_nothing_is_written(
    command: str, tiny_sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(Path("runs"), error=40)
    tiny_sweep.write_text(tiny_sweep.read_text().replace("steps=12", "steps=15"))
    before = sorted(Path().rglob("*"))

    assert bench([command, "tiny"]) == 2

    assert "sweeps/tiny.py declares none of the 1 run in" in capsys.readouterr().err
    assert sorted(Path().rglob("*")) == before


def test_finished_runs_of_an_earlier_recipe_are_counted_on_the_page(tiny_sweep: Path) -> None:
    trained(Path("runs"), error=40)
    tiny_sweep.write_text(tiny_sweep.read_text().replace("steps=12", "steps=15"))
    trained(Path("runs"), error=30)

    assert bench(["report", "tiny"]) == 0

    assert (
        "- 1 finished run of earlier recipes, in runs.csv, in no number here.\n"
        in Path("runs/tiny/report/README.md").read_text()
    )


@pytest.mark.usefixtures("tiny_sweep")
def test_what_a_start_declared_and_predicted_stays_while_its_run_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second start waits for the run; a third one that resumes another has no new prediction for it."""
    run = load_sweep("tiny")[1].runs("quick", None, "stand-in")[0]
    folder = RunFolder(Path("runs/tiny") / run.id)
    folder.create(run)
    folder.declare("a" * 64)
    folder.predict(12.0)
    monkeypatch.setattr(command, "_launch", lambda *_: None)
    with folder.lock():
        sweep(["tiny", *START, "--only", "plain-8"])

    assert folder.claims_digest() == "a" * 64
    assert folder.predicted_seconds() == 12.0


@pytest.mark.usefixtures("tiny_sweep")
def test_all_pages_are_written_once_more_and_verified(capsys: pytest.CaptureFixture[str]) -> None:
    trained(Path("runs"), error=40)
    assert bench(["publish", "tiny"]) == 0
    assert bench(["verify"]) == 0
    Path("reports/tiny/index.html").write_text("<html>\n")
    assert bench(["verify"]) == 1
    assert "index.html, line 1: it says" in capsys.readouterr().err

    assert bench(["publish"]) == 0

    assert bench(["verify"]) == 0
