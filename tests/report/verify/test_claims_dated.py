"""The digest of a run's claims is the one that the sweep's file gives at the run's commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.cli.sweep_files import load_file
from bench.report.verify import claims_dated
from bench.report.verify.claims_dated import of_claims, unchecked_claims
from bench.report.verify.published import Published
from tests.report.verify.histories import FILE, NAME, RUNS, History

ROOT = Path(__file__).resolve().parents[3]
LATER = FILE.replace('"Fig. 1", "worse with depth", NETS', '"Fig. 1", "worse with depth", NETS, "train_error"')


def digest(history: History) -> str:
    """Of the claims as they stand in the file."""
    return load_file(history.root / "sweeps" / f"{NAME}.py").claims_digest("paper")


def rows(history: History, **changes: object) -> Published:
    history.write({run.id: history.row(run, **changes) for run in RUNS})
    return history.published()


def declare(history: History, text: str, day: int = 2) -> str:
    (history.root / "sweeps" / f"{NAME}.py").write_text(text)
    return history.commit(day)


def test_a_run_under_the_claims_of_its_commit_is_in_order(history: History) -> None:
    published = rows(history, claims_sha256=digest(history))

    assert [*of_claims(published), *unchecked_claims(published)] == []


def test_a_digest_that_the_file_at_the_commit_does_not_give_is_named(history: History) -> None:
    old = digest(history)
    declare(history, LATER)

    forged = list(of_claims(rows(history, claims_sha256=digest(history))))

    assert len(forged) == len(RUNS)
    assert (
        f"claims_sha256 is {digest(history)[:12]}, and the sweep's file at {history.code[:10]} gives {old[:12]}"
        in forged[0]
    )


def test_a_digest_of_code_that_wrote_none_is_named(history: History) -> None:
    given = digest(history)
    (history.root / "bench" / "spec" / "claim.py").write_text("")
    before = history.commit(2)

    (problem, *_) = of_claims(rows(history, claims_sha256=given, commit=before))

    assert f"the code at its commit {before[:10]} wrote none" in problem


def test_a_claim_that_is_younger_than_a_run_is_named_and_no_problem(history: History) -> None:
    given = digest(history)
    declare(history, LATER)

    published = rows(history, claims_sha256=given)

    assert list(of_claims(published)) == []
    assert list(unchecked_claims(published)) == [
        "that claims are older than the runs they judge: not declared as today at the commit of 4 runs at scale paper: "
        "worse"
    ]


def test_words_that_changed_since_runs_began_are_said_with_what_shows_them(history: History) -> None:
    told = FILE.replace("claims=CLAIMS)", 'claims=CLAIMS, deviations=("In bf16.",))')
    before = declare(history, told)
    given = digest(history)
    declare(history, FILE.replace('"Is it?"', '"Is it so?"'), 3)

    published = rows(history, commit=before, claims_sha256=given)

    assert list(of_claims(published)) == []
    assert list(unchecked_claims(published)) == [
        "that scale paper was described as today when runs began: deviations (1 then, 0 today), the question changed "
        f"since (4 runs; `git diff {before[:10]} -- sweeps/{NAME}.py`)"
    ]


def test_what_a_scale_is_called_may_not_change_unsaid(history: History) -> None:
    declare(history, FILE.replace("(0, 1))}", '(0, 1), about="the paper\'s schedule")}'))

    (said,) = unchecked_claims(rows(history, claims_sha256=digest(history)))

    assert "what the scale is changed since (4 runs; " in said


def test_a_claim_that_is_left_out_is_named(history: History) -> None:
    given = digest(history)
    declare(history, FILE.replace("claims=CLAIMS", ""))

    assert list(unchecked_claims(rows(history, claims_sha256=given))) == [
        "that no claim was left out since runs at scale paper began: not judged today: worse"
    ]


def test_a_run_older_than_digests_and_procedure_is_said(history: History) -> None:
    (history.root / "bench" / "spec" / "claim.py").write_text("")
    before = declare(history, FILE)

    published = rows(history, commit=before)

    assert list(of_claims(published)) == []
    assert list(unchecked_claims(published)) == [
        "that the procedure is older than the runs it judges: it is not in the code at the commit of 4 runs at scale "
        "paper"
    ]


@pytest.mark.parametrize(
    ("file", "code", "changes", "words"),
    [
        (LATER, "PROCEDURE = 1", {"dirty": True}, "the sweep's file may have had changes that are in no commit"),
        (LATER, "PROCEDURE = 2", {}, "by version 2 of the procedure, which this code does not know"),
        ("SWEEP = of_another_time()", "PROCEDURE = 1", {}, "or today's code cannot read it"),
        ("raise SystemExit", "PROCEDURE = 1", {}, "or today's code cannot read it"),
        (None, "PROCEDURE = 1", {}, "the sweep's file is not in their commit"),
    ],
)
def test_what_cannot_be_held_against_a_file_is_said(
    history: History, file: str | None, code: str, changes: dict[str, Any], words: str
) -> None:
    given = digest(history)
    (history.root / "bench" / "spec" / "claim.py").write_text(f"{code}\n")
    if file is None:
        (history.root / "sweeps" / f"{NAME}.py").rename(history.root / "sweeps" / "other.py")
        commit = history.commit(2)
    else:
        commit = declare(history, file)

    published = rows(history, commit=commit, claims_sha256=given, **changes)

    assert list(of_claims(published)) == []
    assert next(unchecked_claims(published)).startswith("the claims that 4 runs began under: ")
    assert words in next(unchecked_claims(published))


def test_a_run_began_under_the_claims_of_its_first_start(history: History) -> None:
    given = digest(history)
    later = declare(history, LATER)

    assert list(of_claims(rows(history, commit=f"{history.code}; {later}", claims_sha256=given))) == []


def test_a_commit_that_is_in_no_history_is_left_to_the_check_of_commits(history: History, tmp_path: Path) -> None:
    published = rows(history, commit="e" * 40, claims_sha256="a" * 64)
    assert [*of_claims(published), *unchecked_claims(published)] == []

    published = rows(history, claims_sha256="a" * 64)
    (history.root / ".git").rename(tmp_path / "elsewhere")
    assert [*of_claims(published), *unchecked_claims(published)] == []


def test_the_procedure_is_found_in_the_code_of_today() -> None:
    """It is looked for in the text of commits."""
    lines = [line for path in (ROOT / "bench/spec").glob("*.py") for line in path.read_text().splitlines()]

    assert [line for line in lines if claims_dated.VERSION.match(f"HEAD:bench/spec/claim.py:{line}")] != []
