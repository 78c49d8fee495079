"""Ensembles, kept speeds, and the numbers that results are compared with stay as they are in the history."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.report.verify.older import of_age
from bench.report.verify.unchanged import changed_ensembles, changed_numbers, changed_speeds
from bench.spec import digest
from tests.report.verify.histories import RUNS, History

SPEED = {"command": "python -m bench speed", "date": "2026-01-02", "commit": "c" * 40, "timings": [1]}
PAPER = "numbers:\n- {id: t6.a, value: 8.75, statistic: single}\n- {id: t6.b, value: 7, mean: 7.2, std: 0.1}\n"
OTHERS = "- {name: ann, statistic: best, error: {plain-20: 9.5, plain-32: 9.9}}\n"
FIRST = (RUNS[0].id, RUNS[1].id)


def put(history: History, file: str, text: str) -> Path:
    path = history.root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("value: 8.75", "value: 8.5", "bench/paper.yaml: t6.a: value is 8.5 and was 8.75 in {first} (2026-01-03T12:"),
        ("std: 0.1", "std: 0.3", "paper.yaml: t6.b: std is 0.3 and was 0.1 in {first}"),
        ("value: 8.75,", "value: 8.75, mean: 8.5,", "paper.yaml: t6.a: mean is 8.5 and was None in {first}"),
        ("plain-20: 9.5", "plain-20: 9.9", "reproductions.yaml: ann, plain-20: error is 9.9 and was 9.5 in {first}"),
        ("t6.a", "t6.c", None),
        ("numbers:", "numbers:\n- {id: t6.new, value: 1}", None),
        ("name: ann", "name: bob", None),
    ],
)
@pytest.mark.parametrize("committed", [True, False])
def test_a_number_to_compare_with_stays(
    history: History, old: str, new: str, words: str | None, committed: bool
) -> None:
    for file, text in {"bench/paper.yaml": PAPER, "bench/reproductions.yaml": OTHERS}.items():
        put(history, file, text)
    first = history.commit(3)[:10]
    assert list(changed_numbers()) == []

    for file, text in {"bench/paper.yaml": PAPER, "bench/reproductions.yaml": OTHERS}.items():
        put(history, file, text.replace(old, new))
    if committed:
        history.commit(4)

    found = list(changed_numbers())
    assert len(found) == (words is not None)
    assert all(words.format(first=first) in problem for problem in found if words)


@pytest.mark.parametrize(
    ("changes", "wrong"), [({"timings": [3]}, True), ({"timings": [3], "date": "2026-01-03"}, False)]
)
def test_a_kept_speed_of_one_day_and_commit_stays(history: History, changes: dict[str, object], wrong: bool) -> None:
    put(history, "results/speed/x.json", json.dumps(SPEED))
    first = history.commit(3)
    put(history, "results/speed/x.json", json.dumps(SPEED | changes))

    found = list(changed_speeds(history.root / "results"))

    assert len(found) == wrong
    assert all("python -m bench speed, 2026-01-02, commit cccccccccc: SHA-256 is " in one for one in found)
    assert all(first[:10] in one for one in found)


def ensembles(history: History, error: float, weights: str = "") -> None:
    weights = weights or digest([history.row(run)["weights_sha256"] for run in RUNS[:2]])
    header = "id,scale,data,seed,runs,weights_sha256,test_images,multi_scale_error,correct"
    row = f"six,quick,imagenet,0,{' '.join(FIRST)},{weights},8,{error},ff"
    put(history, f"results/{history.results.name}/ensembles.csv", f"{header}\n{row}\n")


def test_an_ensemble_of_the_same_nets_stays(history: History) -> None:
    ensembles(history, 40.0)
    first = history.publish(3, history.rows())[:10]
    assert list(changed_ensembles(history.published())) == []

    ensembles(history, 30.0)
    (problem,) = changed_ensembles(history.published())
    assert "six, quick, imagenet, 0 of " in problem
    assert f"multi_scale_error is 30.0 and was 40.0 in {first}" in problem

    (history.results / "ensembles.csv").unlink()
    (problem,) = changed_ensembles(history.published())
    assert "was published and is gone, though its nets are in runs.csv" in problem


def test_an_ensemble_of_nets_that_were_trained_again_is_another(history: History) -> None:
    ensembles(history, 40.0)
    history.publish(3, history.rows())

    ensembles(history, 30.0, "a" * 64)
    history.write({name: row | {"weights_sha256": f"new{name}"} for name, row in history.rows().items()})

    assert list(changed_ensembles(history.published())) == []


def test_a_further_result_of_today_is_told_by_a_register(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.report.verify.older.SOURCE", history.root)
    monkeypatch.setattr("bench.report.verify.older.must_be_here", lambda _: True)
    old = history.row(RUNS[1], weights_sha256="old")
    history.publish(3, history.rows(), [old])
    put(history, "bench/store/manifest.py", "")
    history.commit(4)
    assert list(of_age(history.published())) == []

    again = history.row(RUNS[0], weights_sha256="again")
    history.publish(5, history.rows(), [old, again])
    (problem,) = of_age(history.published())
    assert f"repeats.csv: {FIRST[0]}: it was published in " in problem
    assert "and no register says that it was done with these weights and this curve" in problem

    line = {"previous": "", "time": "2026-01-05T00:00:00Z", "event": "done", "run": FIRST[0]}
    facts = {"weights_sha256": "again", "curve_sha256": again["curve_sha256"], "manifest_sha256": "m"}
    put(history, f"results/{history.results.name}/registers/{'a' * 12}.jsonl", json.dumps(line | facts) + "\n")
    assert list(of_age(history.published())) == []
