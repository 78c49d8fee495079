"""What a machine is asked: its bf16 units, its compiler, the allocator of its workers."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from bench import machine
from bench.cli.sweep import main as sweep
from bench.launch import cost
from bench.launch import local as executors
from bench.launch.local import Local
from bench.launch.slurm.executor import Slurm
from bench.launch.slurm.profile import Profile, load_profile
from bench.launch.worker import Stop
from bench.machine import (
    KEEPS_PAGES,
    MEMORY,
    TUNABLES,
    SettingError,
    allocator,
    allocator_settings,
    cache_folder,
    cxx_compiler,
    lacks_bf16,
    memory_gib,
)
from bench.spec import Net, Recipe, Resources, Run
from bench.store import RunFolder, Submission
from tests.builders import needs, tiny_run

CPUINFO = "processor\t: 0\nmodel name\t: A chip\nflags\t\t: fpu sse avx2 avx512f{}\nbugs\t\t: none\n\n"
BF16 = Run("paper", Net("cifar", 20, "A"), "cifar10", Recipe(precision="bf16"), 0)


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        (CPUINFO.format(""), True),
        (CPUINFO.format(" avx512_vnni avx512_bf16x"), True),
        (CPUINFO.format(" avx512_bf16 x"), False),
        (CPUINFO.format(" amx_bf16"), False),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", False),
        ("", False),
    ],
)
def test_bf16_units_are_read_from_the_flags(text: str, lacks: bool) -> None:
    assert lacks_bf16(text) is lacks


@pytest.mark.parametrize(
    ("answer", "lacks"), [(("7.5",), True), (("8.0",), False), (("9.0", "7.0"), True), ((), False), (("?",), False)]
)
def test_a_gpu_before_ampere_has_no_bf16_units(
    answer: tuple[str, ...], lacks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def smi(column: str) -> tuple[str, ...]:
        asked.append(column)
        return answer

    monkeypatch.setattr(machine, "_nvidia_smi", smi)
    machine.gpu_lacks_bf16.cache_clear()

    assert [machine.gpu_lacks_bf16(), machine.gpu_lacks_bf16()] == [lacks, lacks]
    assert asked == ["compute_cap"], "one that hangs is waited for once"
    machine.gpu_lacks_bf16.cache_clear()


def test_of_bf16_is_said_what_it_costs_on_the_device_that_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "cpu_lacks_bf16", lambda: True)
    monkeypatch.setattr(cost, "gpu_lacks_bf16", lambda: True)
    monkeypatch.setattr(cost, "cuda_devices", lambda: ("a GPU",))
    on_cpu = replace(BF16, resources=Resources(gpus=0))

    assert cost.slow_bf16([BF16]).startswith("a GPU here has no bf16 units (they come from compute capability 8.0 on)")
    assert cost.slow_bf16([on_cpu]).startswith("this processor has no bf16 units (amx_bf16, avx512_bf16)")
    assert cost.slow_bf16([replace(BF16, recipe=Recipe())]) == ""
    monkeypatch.setattr(cost, "cuda_devices", lambda: ())
    assert cost.slow_bf16([BF16]) == cost.slow_bf16([on_cpu])
    monkeypatch.setattr(cost, "cpu_lacks_bf16", lambda: False)
    assert cost.slow_bf16([BF16]) == ""


def test_the_compiler_is_the_one_that_torch_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", f"{sys.executable} --flag")
    assert cxx_compiler() == sys.executable
    monkeypatch.setenv("CXX", "")
    assert cxx_compiler() is None
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    assert cxx_compiler() is None


def test_memory_is_the_machines_or_what_one_says_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MEMORY, raising=False)
    own = memory_gib()
    assert own > 0
    for told, gib in (("64", 64.0), ("1.5", 1.5), ("", own)):
        monkeypatch.setenv(MEMORY, told)
        assert memory_gib() == gib
    for told in ("0", "0.0", "-3", "64G", "a lot", "1e3", "nan", "9" * 400):
        monkeypatch.setenv(MEMORY, told)
        with pytest.raises(SettingError, match=f"{MEMORY}='{told}' is no number of GiB; write one such as 64"):
            memory_gib()


def test_a_driver_that_hangs_is_said_and_one_that_is_not_there_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def hangs(words: list[str], *, timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(words, timeout)

    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError("nvidia-smi")

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for run, words in ((hangs, "bench: nvidia-smi has not answered for 30 s"), (missing, "")):
        monkeypatch.setattr(subprocess, "run", run)
        machine.cuda_devices.cache_clear()
        assert machine.cuda_devices() == ()
        said = capsys.readouterr()
        assert (said.out, said.err.startswith(words), bool(said.err)) == ("", True, bool(words))
    machine.cuda_devices.cache_clear()


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of a user without HOME, XDG_CACHE_HOME and an entry in passwd."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "set_to", [{}, {"XDG_CACHE_HOME": "cache"}, {"HOME": "a/b"}, {"HOME": "/proc/gone"}, {"HOME": "/proc/version"}]
)
def test_a_user_without_a_home_has_a_cache_below_the_temporary_folder(
    set_to: dict[str, str], homeless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in set_to.items():
        monkeypatch.setenv(name, value)
    if "HOME" in set_to:
        monkeypatch.setattr(Path, "home", lambda: Path(set_to["HOME"]))

    assert cache_folder() == cache_folder() == homeless / f"resnet-bench-{os.getuid()}"
    assert cache_folder().stat().st_mode & 0o777 == 0o700
    assert load_profile(None) == Profile()


@pytest.mark.parametrize("taken", ["open to all", "link", "file"])
def test_a_temporary_cache_that_others_could_write_to_is_refused(taken: str, homeless: Path) -> None:
    folder = homeless / f"resnet-bench-{os.getuid()}"
    if taken == "open to all":
        folder.mkdir()
        folder.chmod(0o777)
    elif taken == "link":
        folder.symlink_to(homeless)
    else:
        folder.write_text("")

    with pytest.raises(SettingError, match="no home folder, and .* cannot be used: set XDG_CACHE_HOME to a folder"):
        cache_folder()


def test_a_start_without_a_home_needs_no_more(
    homeless: Path, tiny_sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("BENCH_DATA")

    assert sweep([str(tiny_sweep), "--cluster", "inline", "--dry-run"]) == 0
    assert f"CIFAR-10 is not in {homeless}/resnet-bench-" in capsys.readouterr().out


def test_the_cache_is_where_the_user_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own" / "resnet-bench"

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "resnet-bench"


linux = pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings are for Linux")


@linux
@needs("submitit")
@pytest.mark.parametrize("own", [None, "glibc.malloc.check=0"])
def test_a_worker_is_started_with_an_allocator_that_keeps_its_pages(
    own: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The process itself says what it was started with."""
    monkeypatch.delenv(TUNABLES, raising=False)
    if own is not None:
        monkeypatch.setenv(TUNABLES, own)
    monkeypatch.setattr(executors, "work", _says)
    folder = RunFolder(tmp_path / "run")
    local = Local(tmp_path, 1, None)

    local.submit([(tiny_run(), folder)])
    _, job, _ = local._jobs[folder.path]

    expected = own or KEEPS_PAGES
    assert job.result() == (expected, "own" if own else "tuned", True)
    assert os.environ.get(TUNABLES) == own, "this process was not started so"


def _says(*_: object) -> tuple[str, str, bool]:
    value = os.environ[TUNABLES]
    at_start = f"{TUNABLES}={value.split(':')[0]}".encode()  # glibc cuts what it reads at each colon
    return value, allocator(), at_start in Path("/proc/self/environ").read_bytes()


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_off_linux_there_is_nothing_to_set(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TUNABLES, raising=False)
    monkeypatch.setattr(sys, "platform", platform)

    assert allocator_settings() == {}
    assert allocator() == "default"


@needs("submitit")
def test_jobs_on_slurm_keep_their_pages_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell lines of a job leave a value of the user's, or of the profile's own lines, as it is."""
    asked: dict[str, list[str]] = {}

    class Executor:
        def __init__(self, **_: object) -> None: ...

        def update_parameters(self, **given: list[str]) -> None:
            asked.update(given)

    monkeypatch.setattr("submitit.SlurmExecutor", Executor)
    jobs = Slurm(tmp_path, tmp_path, Profile(setup=("module load x",)), tmp_path, Stop(), print)
    jobs._submitit(Submission(tmp_path / "a"), Resources(), None)
    line = asked["setup"][-1]

    assert "module load x" in asked["setup"]
    for before, after in (({}, KEEPS_PAGES), ({TUNABLES: "own"}, "own"), ({TUNABLES: ""}, "")):
        shown = subprocess.run(
            ["bash", "-c", f"{line}; env"], env={"PATH": os.environ["PATH"], **before}, capture_output=True, text=True
        )
        assert f"{TUNABLES}={after}" in shown.stdout.splitlines()
