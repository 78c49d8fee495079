"""Fixtures of all tests: a cache of their own, a folder of real data where there is one, a tiny sweep."""

from __future__ import annotations

import gc
import multiprocessing
import os
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch

from bench.tasks.classification import synthetic
from tests.builders import SWEEP_FILE

torch.set_num_threads(1)


def pytest_configure() -> None:
    """Looking for garbage among all that is imported and collected, which stays, took a quarter of the tests' time."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    gc.enable()


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was downloaded or measured on this machine moves no test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session", autouse=True)
def one_stand_in() -> Iterator[None]:
    """Its images, which nothing changes, are made once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "stand_in", cache(synthetic.stand_in))
        yield


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """What sets torch's threads, such as a command, slows no test that comes after it."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    """What a failed test leaves of its processes would train on, and hold up the end of the tests."""
    yield
    for process in multiprocessing.active_children():
        process.kill()
        process.join()


@pytest.fixture
def figures_not_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn, and their files say what they were drawn from, but show nothing: most of a report's time."""
    from matplotlib.figure import Figure

    from bench.report.frame import Set
    from bench.report.render import style

    def save(figure: Figure, path: Path, results: Set) -> None:
        text = f'<svg width="{72 * figure.get_figwidth()}pt" height="99pt"><!-- {style.drawn_from(results)} --></svg>'
        for kind in style.KINDS:
            path.with_suffix(kind).write_text(text)

    monkeypatch.setattr(style, "save", save)


@pytest.fixture
def bench_data() -> Path:
    """The folder of real data; the test is skipped, saying so, where there is none."""
    folder = os.environ.get("BENCH_DATA")
    if not folder:
        pytest.skip("BENCH_DATA is not set: no real data here")
    return Path(folder)


@pytest.fixture
def tiny_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep file of two tiny runs, in an empty project folder without data or network."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: a download fails at once
    monkeypatch.setattr(urllib.request, "_opener", None)  # the first download of a process keeps its proxies for all
    path = tmp_path / "sweeps" / "tiny.py"
    path.write_text(SWEEP_FILE.format(steps=12, plain_lr=0.1))
    return path
