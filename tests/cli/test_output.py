"""What a command says can be written to any terminal, pipe or file."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import pytest

from bench.cli.commands import COMMANDS, main
from bench.cli.sweep import main as sweep
from bench.machine import tolerate_ascii

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ["--results", str(ROOT / "results")]
NUMBER = "plain_vs_residual.quick.resnet-20-A.test_error"
QUICK = ["--scale", "quick", "--cluster", "inline"]
SAID: dict[str, tuple[list[str], str]] = {  # a command, and a part of what it says where there is only ASCII
    "help": (["--help"], "python -m bench ..."),
    **{f"help of {name}": ([name, "--help"], f"usage: bench {name}") for name in COMMANDS},
    "number of the paper": (["cite", "t6.resnet-20.error", *RESULTS], "8.75"),
    "coverage": (["coverage", *RESULTS], "140 numbers of the paper"),
    "mistake": (["simulate", "tiny", "--spread", "0.1", "0.5"], "not one of this sweep's"),
    "plan": (["sweep", "tiny", *QUICK, "--dry-run"], "2 runs: 0 done, 2 to do"),
    "nothing": (["status", "n\udcff\u4e2d−1"], r"no runs of 'n\udcff\u4e2d-1' in runs"),
}


def said(encoding: str, say: Callable[[], object]) -> str:
    """What `say` writes to stdout and stderr of this encoding, strict as Python makes stdout."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict", write_through=True)
    with redirect_stdout(stream), redirect_stderr(stream), suppress(SystemExit):
        say()
    return raw.getvalue().decode(encoding)


@pytest.mark.usefixtures("tiny_sweep")
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("case", SAID)
def test_every_command_speaks_in_every_encoding(case: str, encoding: str) -> None:
    command, words = SAID[case]

    text = said(encoding, lambda: main(command))

    assert words in text or encoding != "ascii"
    assert text.strip()
    assert "Traceback" not in text


def test_a_number_can_be_cited_where_there_is_only_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert " +- " in said("ascii", lambda: main(["cite", NUMBER]))


@pytest.mark.usefixtures("tiny_sweep")
def test_the_main_job_speaks_too() -> None:
    assert "usage: python -m bench.sweep" in said("ascii", lambda: sweep(["--help"]))
    assert r"there is no sweep 'n\udcff-1'" in said("ascii", lambda: sweep(["n\udcff−1"]))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("−1.52 ± 0.3 ≥ 2…", "-1.52 +- 0.3 >= 2..."),
        ("é中", r"\xe9\u4e2d"),
        ("\udcff", r"\udcff"),
        ("\U0001f600", r"\U0001f600"),
    ],
)
def test_no_number_loses_its_sign(text: str, written: str) -> None:
    def say() -> None:
        tolerate_ascii()
        print(text, end="")

    assert said("ascii", say) == written
