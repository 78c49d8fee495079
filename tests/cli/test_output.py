"""What a command says can be written to any terminal, pipe or file."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import pytest

from bench.cli.commands import COMMANDS, main
from bench.cli.sweep import main as sweep
from bench.launch.plan import Item
from bench.launch.progress import Bars
from bench.machine import tolerate_ascii
from tests.builders import make, tiny_run

pytestmark = pytest.mark.usefixtures("figures_not_rendered")

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ["--results", str(ROOT / "results")]
NUMBER = "plain_vs_residual.quick.resnet-20-A.test_error"
QUICK = ["--scale", "quick", "--cluster", "inline"]
SAID: dict[str, tuple[list[str], str]] = {  # a command, and a part of what it says where there is only ASCII
    "help": (["--help"], "python -m bench ..."),
    **{f"help of {name}": ([name, "--help"], f"usage: bench {name}") for name in COMMANDS},
    "number of the paper": (["cite", "t6.resnet-20.error", *RESULTS], "8.75"),
    "coverage": (["coverage", *RESULTS], "138 results of the paper"),
    "mistake": (["simulate", "tiny", "--spread", "0.1", "0.5"], "not one of this sweep's"),
    "plan": (["sweep", "tiny", *QUICK, "--dry-run"], "2 runs: 0 done, 2 to do"),
    "runs": (["status", "finished", "--runs", str(ROOT / "tests" / "fixtures" / "runs" / "0cfffda")], "done"),
    "no report": (["report", "tiny", "--out", "−\udcff"], "bench: "),
    "sweep file": (["sweep", "wrong.py"], r"title must be a text, got 5, such as title="),
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
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
@pytest.mark.parametrize("case", SAID)
def test_every_command_speaks_in_every_encoding(case: str, encoding: str) -> None:
    command, words = SAID[case]
    Path("wrong.py").write_text('from bench.spec import Sweep\nSweep(5, "−…", "é", {})\n', encoding="utf-8")

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


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_bars_are_drawn_in_every_encoding(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    run = tiny_run()
    item = Item(run, make(tmp_path, run), "pending", None)

    def draw() -> None:
        tolerate_ascii()
        with Bars([item]) as bars:
            bars.say("−1.52 ± 0.3 … é\udcff")
            bars.refresh([], [], 1)

    text = said(encoding, draw)

    assert "1/1" in text
    assert "−1.52" in text if encoding == "utf-8" else "-1.52" in text


@pytest.mark.parametrize("command", [["status", "nothing"], ["cite", "t6.resnet-20.error", *RESULTS]])
def test_a_command_without_stdout_and_stderr_ends_as_with_them(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = main(command)
    for name in ("stdin", "stdout", "stderr"):  # as Python leaves them where the shell closed them
        monkeypatch.setattr(sys, name, None)

    assert main(command) == code

    sys.stdout.close()
    sys.stderr.close()
    sys.stdin.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:  # closes well: what is left went to the null device
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["cite", "t6.resnet-20.error", *RESULTS]) == 2

    assert capsys.readouterr().err == "bench: a file or the output of this command: No space left on device\n"


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
