"""Archives made to do harm: nothing of them leaves its folder, runs, grows or is placed."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.speed.made_up import finish
from bench.store import RunFolder, StoreError, sha256
from bench.transfer import archive
from bench.transfer.unpack import unpack as place
from tests.builders import tiny_run
from tests.fuzzing import FILES, mutated, mutated_json
from tests.transfer.builders import HOME, RUN, archive_files, files_of, make, noise, pack, unpack


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname, info.mode = size, kind, link, mode
    return info.tobuf(tarfile.GNU_FORMAT)


def holes(name: str, size: int) -> bytes:
    """A member in GNU's sparse format: 512 bytes that say they are of a file of this size."""
    block = bytearray(header(name, 512, tarfile.GNUTYPE_SPARSE))
    for start, number in ((386, 0), (398, 512), (483, size)):
        block[start : start + 12] = b"\x80" + number.to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + b"{}".ljust(512)


def pax(name: str, **said: str) -> bytes:
    """A member of which an extended header says more."""
    info = tarfile.TarInfo(name)
    info.pax_headers = {key.replace("_", "."): value for key, value in said.items()}
    return info.tobuf(tarfile.PAX_FORMAT)


RUN_JSON, TEN_TB = f"{HOME}/run.json", 10 * 2**40
HOSTILE: dict[str, tuple[bytes, str]] = {
    "symbolic link": (header(f"{HOME}/env.json", kind=tarfile.SYMTYPE, link="/etc/passwd"), "is no file of a run"),
    "hard link": (header(f"{HOME}/env.json", kind=tarfile.LNKTYPE, link=RUN_JSON), "is no file of a run"),
    "link to above": (header(HOME, kind=tarfile.SYMTYPE, link="../.."), "is no file of a run"),
    "folder": (header(f"{HOME}/", kind=tarfile.DIRTYPE), "is no file of a run"),
    "device": (header(f"{HOME}/env.json", kind=tarfile.CHRTYPE), "is no file of a run"),
    "disk": (header(f"{HOME}/env.json", kind=tarfile.BLKTYPE), "is no file of a run"),
    "FIFO": (header(f"{HOME}/env.json", kind=tarfile.FIFOTYPE), "is no file of a run"),
    "absolute": (header("/etc/cron.d/run.json"), "is no file of a run"),
    "above": (header("../../tiny/x/run.json"), "is no file of a run"),
    "dots in the middle": (header("tiny/../run.json"), "is no file of a run"),
    "deeper": (header(f"{HOME}/x/run.json"), "is no file of a run"),
    "hidden sweep": (header(".ssh/x/run.json"), "is no file of a run"),
    "absolute by PAX": (pax("tiny/x/run.json", path="/etc/cron.d/x/run.json"), "is no file of a run"),
    "link by PAX": (pax("tiny/x/run.json", path="../x/run.json"), "is no file of a run"),
    "in capitals": (header(f"{HOME}/RUN.JSON"), "is no file of a run"),
    "twice": (header(RUN_JSON), "is there twice"),
    "10 TB": (header(f"{HOME}/declared.json", TEN_TB), "unexpected end of data"),
    "10 TB of holes": (holes(f"{HOME}/env.json", TEN_TB), "is no file of a run"),
    "holes by PAX": (pax(f"{HOME}/env.json", GNU_sparse_major="1", GNU_sparse_size=str(TEN_TB)), "no archive"),
    "10 TB of a name": (header("x", TEN_TB, tarfile.GNUTYPE_LONGNAME), "no archive"),
    "10 TB of PAX": (header("x", TEN_TB, tarfile.XHDTYPE), "no archive"),
    "long manifest": (header("manifest.json", 2**20), "is there twice"),
}


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """An archive of a run that is done, and of one at step 3."""
    finish(make(tmp_path / "there"), RUN, error=50)
    other = tiny_run(seed=1)
    noise(make(tmp_path / "there", other), other, 3, 0.001)
    assert pack(tmp_path) == 0
    return archive_files(tmp_path)[0]


def before_its_end(path: Path, member: bytes) -> None:
    """Puts a member where the archive's end is."""
    content = path.read_bytes().rstrip(b"\0")
    path.write_bytes(content.ljust(-(-len(content) // 512) * 512, b"\0") + member + bytes(1024))


@pytest.mark.parametrize("case", HOSTILE)
def test_what_bench_pack_does_not_write_is_refused_with_nothing_placed(
    case: str, packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    member, words = HOSTILE[case]
    before_its_end(packed, member)
    capsys.readouterr()

    assert unpack(tmp_path) == 2

    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"bench: {packed} is damaged or no archive of bench pack (")
    assert words in error
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize(
    ("name", "most", "words"),
    [("FILES", 5, "it has more than 5 files"), ("MANIFEST_BYTES", 100, "bytes, more than 100")],
)
def test_what_is_held_in_memory_has_limits(
    name: str, most: int, words: str, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, name, most)

    with pytest.raises(StoreError, match=words):
        archive.read(packed)


def members_of(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {member.name: (tar.extractfile(member) or io.BytesIO()).read() for member in tar}


def rewrite(path: Path, members: dict[str, bytes], mode: int = 0o644) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid = len(data), mode, 12345
            tar.addfile(info, io.BytesIO(data))


def bracketed(members: dict[str, bytes]) -> None:
    members["manifest.json"] = b"[" * 1_000_000


def named_twice(members: dict[str, bytes]) -> None:
    manifest = json.loads(members["manifest.json"])
    members["manifest.json"] = json.dumps({**manifest, "runs": manifest["runs"] * 2}).encode()


def of_another_size(members: dict[str, bytes]) -> None:
    members["manifest.json"] = members["manifest.json"].replace(b'"bytes": ', b'"bytes": 1', 1)


def inflating(members: dict[str, bytes]) -> None:
    """A checkpoint whose parts grow a thousandfold, under its own digest."""
    name = next(name for name in members if name.endswith("checkpoint.pt"))
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(members[name])) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            new.writestr(part.filename, old.read(part))
    members[name] = packed.getvalue()
    manifest = json.loads(members["manifest.json"])
    files = next(run["files"] for run in manifest["runs"] if run["id"] in name)
    files["checkpoint.pt"] = {"bytes": len(members[name]), "sha256": sha256(members[name])}
    members["manifest.json"] = json.dumps(manifest).encode()


CHANGED: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "brackets": (bracketed, "recursion"),
    "a run twice": (named_twice, "a run is in the manifest twice"),
    "another size": (of_another_size, "of the manifest"),
    "inflating": (inflating, "it is compressed, as no checkpoint of torch's is"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_an_archive_changed_to_do_harm_is_refused(
    case: str, packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, words = CHANGED[case]
    members = members_of(packed)
    change(members)
    rewrite(packed, members)
    capsys.readouterr()

    assert unpack(tmp_path) == 2
    assert words in capsys.readouterr().err
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize("mode", [0o4755, 0o2777, 0o1777, 0o0])
def test_modes_and_owners_of_an_archive_do_not_count(mode: int, packed: Path, tmp_path: Path) -> None:
    rewrite(packed, members_of(packed), mode)

    assert unpack(tmp_path) == 0

    placed = [path for path in (tmp_path / "here").rglob("*") if path.is_file()]
    assert len(placed) > 4
    assert {path.stat().st_mode & 0o7111 for path in placed} == {0}, "as files are made, whatever the umask"
    assert {path.stat().st_uid for path in placed} == {tmp_path.stat().st_uid}


def attempts(path: Path) -> Iterator[bytes]:
    """Damaged archives: half of them by their bytes, half whole but with another manifest."""
    content, members = path.read_bytes(), members_of(path)
    yield from mutated(content, FILES // 2)
    for manifest in mutated_json(json.loads(members["manifest.json"]), FILES - FILES // 2):
        rewrite(path, {**members, "manifest.json": manifest})
        yield path.read_bytes()


@pytest.mark.fuzz
def test_a_damaged_archive_is_refused_in_a_line_or_gives_the_packed_runs(packed: Path, tmp_path: Path) -> None:
    there = {name: data for name, data in files_of(tmp_path / "there").items() if not name.endswith("lock")}
    here, damaged, lines = tmp_path / "here", tmp_path / "damaged.tar", 0
    for content in attempts(packed):
        damaged.write_bytes(content)
        refusal = _refusal(damaged, here)
        lines += bool(refusal)
        assert "\n" not in refusal
        for folder in here.glob("*/*"):
            assert not refusal
            assert RunFolder(folder).damage() is None
            found = {f"{folder.relative_to(here)}/{name}": data for name, data in files_of(folder).items()}
            found.pop(f"{folder.relative_to(here)}/heartbeat.json")
            assert found.items() <= there.items()
        shutil.rmtree(here)
    assert lines > FILES // 4


def _refusal(path: Path, runs: Path) -> str:
    """Why an archive is refused, in words; "" where its runs are placed."""
    try:
        assert place([path], runs, say=lambda _: None)
    except StoreError as error:
        return str(error)
    return ""
