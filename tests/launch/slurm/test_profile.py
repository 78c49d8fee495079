"""A cluster profile says what it may say, and every mistake in it at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.launch.slurm.packing import flags
from bench.launch.slurm.profile import Profile, load_profile
from bench.spec import Resources, SpecError
from tests.fuzzing import FILES, mutated


def write(folder: Path, text: str) -> Path:
    path = folder / "slurm.toml"
    path.write_text(text)
    return path


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    assert load_profile(None) == Profile()


def test_the_users_own_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "resnet-bench").mkdir()
    write(tmp_path / "resnet-bench", 'partition = "gpu"')

    assert load_profile(None).partition == "gpu"


EVERY_KEY = """
partition = "gpu"
account = "vision"
qos = "long"
constraint = "a100"
time = "1.5h"
warn = "90s"
memory_gib = 3.5
cpus = 4
gpus = 0
jobs = 8
pack = 5
at_once = 2
setup = ["module load cuda"]
nodes = 2
tasks = 4
[extra]
mail-type = "FAIL"
exclusive = true
"""


@pytest.mark.parametrize("text", [EVERY_KEY, f"\ufeff{EVERY_KEY}", EVERY_KEY.replace("\n", "\r\n")])
def test_every_key_is_read(tmp_path: Path, text: str) -> None:
    """Whatever editor wrote the file."""
    (tmp_path / "slurm.toml").write_text(text, encoding="utf-8", newline="")

    assert load_profile(tmp_path / "slurm.toml") == Profile(
        "gpu", "vision", "long", "a100", 5400, 90, 3.5, 4, 0, 8, 5, 2, ("module load cuda",),
        {"mail-type": "FAIL", "exclusive": True}, 2, 4,
    )  # fmt: skip


MISTAKES = {
    "a misspelt key": ('partiton = "gpu"', "unknown key 'partiton' (allowed: partition, account, qos"),
    "a number as text": ('cpus = "4"', "cpus must be a whole number, got '4'"),
    "a time without a unit": ("time = 60", """time must be a time such as "90s", "50m", "4h" or "2d", got '60'"""),
    "a truth as number": ("pack = true", "pack must be a whole number, got True"),
    "no memory": ("memory_gib = 0", "memory_gib must be above 0, got 0"),
    "a flag of ours": ('extra = {array = "0-9"}', "extra must leave array to the suite and its own keys"),
    "a flag that is a key": ("extra = {ntasks-per-node = 2}", "extra must leave ntasks-per-node to the suite"),
    "another cluster": ('extra = {clusters = "gpu"}', "extra must leave clusters to the suite"),
    "another cluster, short": ('extra = {cluster = "gpu"}', "extra must leave cluster to the suite"),
    "another cluster, one letter": ('extra = {M = "gpu"}', "extra must leave M to the suite"),
    "a flag of ours, short": ('extra = {arr = "0-5"}', "extra must leave arr to the suite"),
    "a key's flag, short": ('extra = {part = "low"}', "extra must leave part to the suite"),
    "no requeue": ("extra = {no-requeue = true}", "extra must leave no-requeue to the suite"),
    "no answer": ("extra = {quiet = true}", "extra must leave quiet to the suite"),
    "no nodes": ("nodes = 0", "nodes must be 1 or more, got 0"),
    "a flag of no kind": ("extra = {hold = false}", "extra hold must be a text on one line, a whole number or true"),
    "more side by side than packed": ("pack = 2\nat_once = 3", "at_once 3 must not be above pack 2"),
    "a warning before the start": ('time = "2m"\nwarn = "2m"', "warn 120 s must be less than time 120 s"),
    "seconds": ('time = "30s"\nwarn = "1s"', "time 30 s must be at least 1m"),
    "endless memory": ("memory_gib = inf", "memory_gib must be finite, got inf"),
    "memory of no number": ("memory_gib = nan", "memory_gib must be finite, got nan"),
    "memory beyond all nodes": ("memory_gib = 1e308", "memory_gib must be 1,000,000 or less, got 1e+308"),
    "a time that sbatch would take modulo 2^32": ('time = "99999999999d"', "time 8.64e+15 s must be at most 366d"),
    "a warning that Slurm cannot give": ('time = "2d"\nwarn = "20h"', "must be at most 18h"),
    "cores beyond Slurm's own bound": ("cpus = 70000", "cpus must be 65,533 or less, got 70000"),
    "tasks beyond it": (f"tasks = {10**40}", "tasks must be 65,533 or less"),
    "an account of two words": ('account = "a b"', "account must be one word, got 'a b'"),
    "a line of commands": ('partition = "main\\nrm -r x"', "partition must be one word"),
    "another option": ('qos = "--x"', "qos must be one word, got '--x'"),
    "an empty word": ('constraint = ""', "constraint must be one word, got ''"),
    "a flag of two lines": ('extra = {comment2 = "a\\nb"}', "extra comment2 must be a text on one line"),
    "a flag that is no name": ('extra = {"--hold" = true}', "'--hold' must be names of flags, without dashes"),
    "a byte that ends bash's line": ('setup = ["a\\u0000b"]', "setup[0] must have no control characters"),
    "a number of 5,000 digits": (f"cpus = {'9' * 5_000}", "Exceeds the limit"),
    "brackets without an end": (f"cpus = {'[' * 5_000}", "recursion"),
    "a file of another kind": ("#" * 1_000_001, "larger than 1,000,000 bytes"),
    "no TOML": ("partition = gpu", "Invalid value (at line 1"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_named(tmp_path: Path, case: str) -> None:
    text, words = MISTAKES[case]

    with pytest.raises(SpecError) as error:
        load_profile(write(tmp_path, text))

    assert words in str(error.value)
    assert str(tmp_path / "slurm.toml") in str(error.value)


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        load_profile(write(tmp_path, 'partiton = "gpu"\ncpus = 0\nquality = 1'))

    assert all(words in str(error.value) for words in ("'partiton'", "cpus must be", "'quality'"))


def test_a_named_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="No such file"):
        load_profile(tmp_path / "nowhere.toml")


def test_the_profile_has_the_last_word_on_what_a_run_asks_for() -> None:
    own = Resources(cpus=2, gpus=1, memory_gib=2.0)

    assert Profile().asks(own) == own
    assert Profile(cpus=8, gpus=0, memory_gib=4).asks(own) == Resources(cpus=8, gpus=0, memory_gib=4)
    several = Profile(nodes=2, tasks=3).asks(own)
    assert (several.nodes, several.tasks, several.processes) == (2, 3, 6)


@pytest.mark.fuzz
def test_a_damaged_profile_is_read_or_refused_in_one_line(tmp_path: Path) -> None:
    """What is read makes flags that each stay on one line of the job's script."""
    path, read, refused = tmp_path / "slurm.toml", 0, []
    for content in mutated(EVERY_KEY.encode(), FILES):
        path.write_bytes(content)
        try:
            profile = load_profile(path)
        except SpecError as error:
            refused.append(str(error))
            continue
        read += 1
        given = flags(profile, profile.asks(Resources()))
        assert all(str(value).isprintable() for value in given.values()), content
    assert read
    assert [words for words in refused if len(words.splitlines()) != 1] == []
