"""Numbers that can be cited: ids and anchors, the card of one number, LaTeX that compiles."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.commands import main
from bench.report import authorship
from bench.report.collect import collect
from bench.report.evidence import Evidence, weigh
from bench.report.frame import load
from bench.report.page import report as report_of
from bench.report.page import sections_of
from bench.report.render import latex
from bench.report.sections import numbers_of
from bench.report.tables import Table
from tests.builders import git
from tests.report.builders import SWEEP, fake_sweep

REPORTS = Path(__file__).resolve().parents[2] / "reports"
NAME = "made_up"
ERROR = "made_up.paper.resnet-20-A.test_error"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cited")
    collect(root / NAME, [fake_sweep(root, "paper")], ())
    return root


@pytest.fixture(scope="module")
def evidence(results: Path) -> Evidence:
    return weigh(NAME, SWEEP, load(results / NAME, SWEEP))[0]


@pytest.fixture(scope="module")
def report(results: Path) -> dict[str, str]:
    return report_of(NAME, SWEEP, load(results / NAME, SWEEP))[1]


def test_every_number_has_an_id_of_its_own_and_an_anchor_on_the_page(
    evidence: Evidence, report: dict[str, str]
) -> None:
    ids = [number.id for number in numbers_of(sections_of(evidence))]

    assert len(ids) == len(set(ids))
    assert re.findall(r'<a id="([^"]+)"></a>', report["README.md"]) == ids


@pytest.mark.parametrize("folder", sorted(path.parent for path in REPORTS.glob("*/numbers.csv")), ids=lambda p: p.name)
def test_what_has_an_id_on_a_committed_page_is_in_numbers_csv_and_the_reverse(folder: Path) -> None:
    pages = "".join(path.read_text() for path in sorted(folder.glob("*.md")))
    rows = csv.DictReader((folder / "numbers.csv").read_text().splitlines())

    assert sorted(re.findall(r'<a id="([^"]+)"></a>', pages)) == sorted(row["id"] for row in rows)


def test_numbers_csv_holds_every_number_in_full_with_its_runs(evidence: Evidence, report: dict[str, str]) -> None:
    rows = {row["id"]: row for row in csv.DictReader(report["numbers.csv"].splitlines())}
    errors = evidence.results.done.query("net == 'resnet-20-A'").set_index("id")["test_error"]

    row = rows[ERROR]

    assert float(row["value"]) == errors.mean()
    assert float(row["std"]) == errors.std()
    assert row["runs"].split() == list(errors.index)
    assert row["paper_id"] == "t6.resnet-20.error"
    assert rows["made_up.paper.worse"]["verdict"] in ("undecided", "reproduced", "not reproduced")


@pytest.fixture
def project(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with the made-up sweep and its results."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / f"{NAME}.py").write_text("from tests.report.builders import SWEEP\n")
    shutil.copytree(results, tmp_path / "results")
    return tmp_path


@pytest.mark.usefixtures("project")
def test_a_number_is_cited_with_interval_n_bibtex_macro_and_provenance(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cite", ERROR]) == 0

    said = capsys.readouterr().out
    assert "13.00 ± 2.83 % (n = 2)" in said
    assert "95 % interval over seeds: 0.00 to 38.41 (Student's t)" in said
    assert "in the paper: 8.75 % (t6.resnet-20.error)" in said
    assert f"\\bench{{{ERROR}}}" in said
    assert "@misc{resnet-bench:made_up.paper," in said
    for words in (
        "2 runs: resnet-20-A-paper-s0-",
        "seeds: 0, 1",
        "steps 100, lr 0.1",
        "commit: cccc",
        "data: the official CIFAR-10 (SHA-256 32e5966899bd)",
        "data SHA-256: 32e5966899bd",
    ):
        assert words in said


def test_a_title_in_bibtex_names_the_scale(evidence: Evidence, report: dict[str, str]) -> None:
    title = "  title = {Made up on CIFAR-10, scale paper: results of resnet-bench made up},\n"

    assert title in report["cite.bib"]
    short = replace(evidence, results=replace(evidence.results, scale="short"))
    assert "Made up on CIFAR-10, scale short" in latex.entry(short)


@pytest.mark.usefixtures("project")
def test_the_address_of_the_newest_runs_commit_is_cited_where_the_checkout_has_a_remote(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(authorship, "web_address", lambda commit: f"https://github.com/ada/bench/tree/{commit}")
    assert main(["cite", ERROR]) == 0
    assert f"  url = {{https://github.com/ada/bench/tree/{'c' * 40}}},\n}}\n" in capsys.readouterr().out

    monkeypatch.setattr(authorship, "web_address", lambda _: "")
    assert main(["cite", ERROR]) == 0
    assert "url = " not in capsys.readouterr().out


PAGE = "https://github.com/ada/bench"


@pytest.mark.parametrize(
    ("remote", "page"),
    [
        ("https://github.com/ada/bench", PAGE),
        ("https://github.com/ada/bench.git/", PAGE),
        ("http://ada:secret@github.com/ada/bench.git", PAGE),
        ("https://ghp_token@github.com/ada/bench.git", PAGE),
        ("git@github.com:ada/bench.git", PAGE),
        ("github.com:ada/bench", PAGE),
        ("ssh://git@github.com:22/ada/bench.git", PAGE),
        ("git://github.com/ada/bench.git", PAGE),
        ("https://git.example.org:8443/group/sub/bench.git", "https://git.example.org/group/sub/bench"),
        ("/srv/git/bench.git", ""),
        ("../bench", ""),
        ("file:///srv/git/bench", ""),
        ("C:\\bench", ""),
        ("https://github.com/ada/bench}\\input{x", ""),
        ("", ""),
    ],
)
def test_a_remote_has_a_page_on_the_web_without_secrets(remote: str, page: str) -> None:
    assert authorship.page_of(remote) == page


def test_a_commit_has_an_address_by_the_remote_of_the_suites_own_checkout(tmp_path: Path) -> None:
    assert authorship.web_address("c" * 40, tmp_path) == ""
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "remote", "add", "origin", "git@github.com:ada/bench.git")
    assert authorship.web_address("c" * 40, tmp_path) == "", "of another repository"
    (tmp_path / "bench").write_text("")
    git(tmp_path, "add", "bench")
    assert authorship.web_address("c" * 40, tmp_path) == f"{PAGE}/tree/{'c' * 40}"
    assert authorship.web_address("", tmp_path) == ""
    git(tmp_path, "remote", "remove", "origin")
    assert authorship.web_address("c" * 40, tmp_path) == ""


@pytest.mark.usefixtures("project")
def test_a_number_of_the_paper_is_cited_from_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cite", "t6.resnet-110.error"]) == 0

    said = capsys.readouterr().out
    assert "6.43 (6.61 ± 0.16, n = 5) %" in said
    assert "@inproceedings{he2016deep," in said


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("made_up.paper.resnet-20-A.test_eror", ERROR),
        ("t6.resnet-20.eror", "t6.resnet-20.error"),
        ("resnet-20-A", "made_up.paper.resnet-20-A"),
        ("zzz", "numbers.csv beside a page lists all"),
    ],
)
def test_an_unknown_id_names_those_that_come_near(asked: str, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cite", asked]) == 2

    assert near in capsys.readouterr().err


def test_what_latex_would_choke_on_is_escaped() -> None:
    assert latex.prose("−1.5 ± 0.2 %, `a_b`, **50 & #1**") == (
        r"$-$1.5 $\pm$ 0.2 \%, \texttt{a\_b}, \textbf{50 \& \#1}"
    )
    assert latex.escape("0.1 ≤ p ≥ 0") == r"0.1 $\leq$ p $\geq$ 0"
    assert latex.escape(r"\input{/etc/passwd} é") == r"\textbackslash{}input\{/etc/passwd\} ?"


def test_sentences_are_broken_and_numbers_flush_right() -> None:
    table = Table(("what", "n"), [("A sentence that is longer than thirty characters.", "1")])

    assert r"{>{\raggedright\arraybackslash}p{0.50\linewidth}r}" in latex.tabular(table)


DOCUMENT = r"""\documentclass{article}
\usepackage{array,booktabs,graphicx}
\input{tables/numbers}
\begin{document}
The error is \bench{%s}, its deviation \bench{%s.std}, from \bench{%s.n} seeds~\cite{he2016deep,%s}.

%s
\bibliographystyle{plain}
\bibliography{cite}
\end{document}
"""


def test_a_paper_that_uses_tables_numbers_and_bibliography_compiles(report: dict[str, str], tmp_path: Path) -> None:
    if not (shutil.which("pdflatex") and shutil.which("bibtex")):
        pytest.skip("no pdflatex and bibtex here (Debian: texlive-latex-recommended)")
    for name, text in report.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    inputs = "\n\n".join(rf"\input{{{n}}}" for n in report if n.endswith(".tex") and "numbers" not in n)
    key = "resnet-bench:made_up.paper"
    (tmp_path / "paper.tex").write_text(DOCUMENT % (ERROR, ERROR, ERROR, key, inputs))

    for command in ("pdflatex", "bibtex", "pdflatex", "pdflatex"):
        options = ["-interaction=nonstopmode", "-halt-on-error"] if command == "pdflatex" else []
        ran = subprocess.run([command, *options, "paper"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout[-2000:]

    log = (tmp_path / "paper.log").read_text(errors="replace")
    assert "undefined" not in log
    assert "Overfull" not in log
    assert inputs.count(r"\input") == 8


def test_an_unknown_number_stops_latex(report: dict[str, str], tmp_path: Path) -> None:
    if not shutil.which("pdflatex"):
        pytest.skip("no pdflatex here (Debian: texlive-latex-recommended)")
    (tmp_path / "numbers.tex").write_text(report["tables/numbers.tex"])
    source = r"\documentclass{article}\input{numbers}\begin{document}\bench{no.such}\end{document}"
    (tmp_path / "paper.tex").write_text(source)

    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert ran.returncode != 0
    assert "resnet-bench has no number no.such" in ran.stdout
