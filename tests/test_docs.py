"""The pages that people wrote: each link leads somewhere, each path and command that they name is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from bench.spec import datasets, families
from bench.spec.further import FurtherSet
from bench.spec.own import beside
from bench.tasks.classification import synthetic
from tests.pages import KINDS, OTHERS, PAGES, ROOT, Block, blocks, blocks_of, files_on_pages, furnish, label, type_in

NEEDS_A_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")


def anchors(path: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


def commands(text: str) -> set[str]:
    return set(re.findall(r"python -m bench ([a-z]+)", text))


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(broken(page)) == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=label)
def test_every_path_and_command_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"`((?:bench|sweeps|tests|results|reports)/[\w/.]+)`", text)
    missing = [path for path in paths if not (ROOT / path).exists() and not (ROOT / f"{path}.py").exists()]
    known = (ROOT / "bench" / "cli" / "commands.py").read_text(encoding="utf-8")

    assert missing == []
    assert [name for name in commands(text) if f'"{name}"' not in known] == []


def test_the_first_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# One\n\n[x](#one) [y](#two) [z](b.md)\n")

    assert list(broken(page)) == ["#two", "b.md"]


def test_every_block_says_what_it_is() -> None:
    """A block of commands by what it needs, the others by their language; no command hides in another block."""
    known = {*OTHERS, *(f"sh {kind}" for kind in KINDS)}

    assert [f"{block} is {block.kind!r}" for block in blocks() if block.kind not in known] == []
    hidden = [block for block in blocks() if block.kind in OTHERS and re.search(r"^(pip|python) ", block.text, re.M)]
    assert list(map(str, hidden)) == []


@pytest.mark.parametrize("block", [block for block in blocks() if block.kind == "python"], ids=str)
def test_python_runs(block: Block, tmp_path: Path) -> None:
    """Rows of tables by the names that their tables have; files that a page shows lie here."""
    for name, text in files_on_pages().items():
        (tmp_path / name).write_text(text)
    with beside(tmp_path):
        exec(block.text, {**vars(datasets), **vars(families), "FurtherSet": FurtherSet, "__name__": block.file})


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder, with the main job's runs as if they had ended."""
    folder = tmp_path_factory.mktemp("reader")
    furnish(folder, synthetic.stand_in().digest)
    return folder


@pytest.fixture
def reader(furnished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """There, without data or a network."""
    monkeypatch.chdir(furnished)
    monkeypatch.setenv("BENCH_DATA", str(furnished / "DIR"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: a download fails at once
    return furnished


SUBMITIT = find_spec("submitit") is not None  # without it runs are not started beside each other


@pytest.mark.usefixtures("figures_not_rendered")
@pytest.mark.parametrize("block", blocks("plain"), ids=str)
def test_plain_commands_do_what_they_say(block: Block, reader: Path) -> None:
    assert reader == Path.cwd()
    lines = [line for line in block.commands if SUBMITIT or not re.search("--at-once|--no-wait", line)]
    assert {line: code for line in lines if (code := type_in(line))} == {}


@pytest.mark.team
@pytest.mark.parametrize("block", blocks("data"), ids=str)
def test_commands_that_train_on_real_data_do_what_they_say(
    block: Block, bench_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert bench_data.is_dir()
    assert {line: code for line in block.commands if (code := type_in(line))} == {}


@pytest.mark.gpu
@NEEDS_A_GPU
@pytest.mark.parametrize("block", blocks("gpu"), ids=str)
def test_commands_for_a_gpu_do_what_they_say(block: Block, reader: Path) -> None:
    assert reader == Path.cwd()
    assert {line: code for line in block.commands if (code := type_in(line))} == {}


@pytest.mark.skip(reason="pip install from the network: .ci/run installs the suite from this folder")
@pytest.mark.parametrize("block", blocks("network"), ids=str)
def test_commands_that_install(block: Block) -> None:
    assert {line: code for line in block.commands if (code := type_in(line))} == {}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("python -m bench list", 0),
        ("python -m bench lst", 2),
        ("python -m bench.sweep plain_vs_residual --scal paper", 2),
        ("python -m bench.sweep nothing", 2),
        ("python -m pytest tests/train -n 0  # a folder", 0),
        ("python -m pytest tests/trains", 2),
        ("BENCH_FUZZ=2 python -m pytest -m 'slurm and not long'", 0),
        ("python -m pytest -m slow", 2),
        ("nonsense --at-all", 127),
    ],
)
def test_a_command_that_fails_is_found(line: str, code: int, reader: Path) -> None:
    assert reader == Path.cwd()
    assert type_in(line) == code


def test_blocks_are_read_with_their_lines(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# One\n\n```sh plain\nx  # why\n# only words\n\n```\n\n```\ny\n```\n")

    first, second = blocks_of(page)

    assert (first.line, first.kind, first.commands) == (3, "sh plain", ["x  # why"])
    assert (second.line, second.kind) == (9, "")
