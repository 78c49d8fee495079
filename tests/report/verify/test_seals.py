"""Signatures and time stamps beside results: by whom, of what, when; and what could not be checked is said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.report import seals
from bench.report.seals import Seals
from bench.report.verify import Trusted, result_problems
from bench.report.verify.seals import in_seals, unsealed
from tests.report.authority import answer, authority, key, needs_openssl, needs_ssh, run, service, signers
from tests.report.verify.builders import problems

pytestmark = [needs_ssh, needs_openssl]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key, lists of signers with it and without, and an authority."""
    folder = tmp_path_factory.mktemp("keys")
    ours, theirs = key(folder, "ours"), key(folder, "theirs")
    signers(folder / "signers", ann=ours)
    signers(folder / "others", bob=theirs)
    authority(folder / "tsa")
    authority(folder / "another")
    return folder


def manifests(results: Path) -> list[Path]:
    return sorted((results / "manifests").glob("*.json"))


@pytest.fixture
def sealed(results: Path, keys: Path) -> Path:
    """Results of which two runs are signed and stamped."""
    with service(keys / "tsa") as url:
        Seals(keys / "ours", url).put_on(manifests(results)[:2], print)
    return results


def trusted(keys: Path, who: str = "signers", by: str = "tsa") -> Trusted:
    return Trusted(keys / who, keys / by / "root.pem")


def test_sealed_results_have_no_problem_and_nothing_is_left_open(sealed: Path, keys: Path) -> None:
    assert list(result_problems(sealed, trusted(keys))) == []
    assert problems(sealed, unsealed, trusted(keys)) == []


def test_results_without_seals_have_nothing_to_check(results: Path) -> None:
    assert problems(results, unsealed) == []


def test_what_could_not_be_checked_is_said(sealed: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    near = sealed.parent
    assert problems(sealed, in_seals) == []
    assert problems(sealed, unsealed) == [
        f"2 signatures: {near / 'allowed_signers'} is not there; name a list of allowed signers with --signers FILE",
        f"2 time stamps: {near / 'authorities.pem'} is not there; name certificates (PEM) with --authorities FILE",
    ]
    shutil.copy(keys / "signers", near / "allowed_signers")
    shutil.copy(keys / "tsa" / "root.pem", near / "authorities.pem")
    assert problems(sealed, in_seals) == []
    assert [line.partition(" (")[0] for line in problems(sealed, unsealed)] == [
        "2 signatures: the list of signers came with the results",
        "2 time stamps: the certificates came with the results",
    ]

    monkeypatch.setattr(seals, "is_here", lambda _: False)
    assert problems(sealed, in_seals, trusted(keys, "others", "another")) == []
    assert problems(sealed, unsealed) == [
        "2 signatures: there is no ssh-keygen here (apt-get install openssh-client)",
        "2 time stamps: there is no openssl here (apt-get install openssl)",
    ]


def test_a_signature_of_somebody_unknown_is_a_problem(sealed: Path, keys: Path) -> None:
    found = problems(sealed, in_seals, trusted(keys, who="others"))

    assert found == [f"{path}.sig: it is of nobody that {keys / 'others'} names" for path in manifests(sealed)[:2]]


def test_a_damaged_list_of_signers_is_not_a_fault_of_the_signature(sealed: Path, keys: Path) -> None:
    (keys / "damaged").write_text("garbage\n")

    for path, problem in zip(
        manifests(sealed)[:2], problems(sealed, in_seals, trusted(keys, who="damaged")), strict=True
    ):
        words = f"nobody could be looked up in the list of signers: {keys / 'damaged'}:1: "
        assert problem.startswith(f"{path}.sig: {words}")


def test_a_time_stamp_of_an_unknown_authority_is_a_problem(sealed: Path, keys: Path) -> None:
    (first, _) = problems(sealed, in_seals, trusted(keys, by="another"))

    assert first.startswith(f"{manifests(sealed)[0]}.tsr: the time stamp is of no authority in")


def changed_manifest(manifest: Path, _: Path) -> None:
    manifest.write_text(manifest.read_text() + "\n")


def swapped_signature(manifest: Path, _: Path) -> None:
    shutil.copy(f"{manifests(manifest.parents[1])[1]}.sig", f"{manifest}.sig")


def swapped_stamp(manifest: Path, _: Path) -> None:
    shutil.copy(f"{manifests(manifest.parents[1])[1]}.tsr", f"{manifest}.tsr")


def broken_stamp(manifest: Path, _: Path) -> None:
    manifest.with_name(manifest.name + ".tsr").write_text("hello")


def stamped_before(manifest: Path, keys: Path) -> None:
    """A run that ended after its manifest was stamped."""
    manifest.write_text(manifest.read_text().replace('"ended": "2026-', '"ended": "2999-'))
    query = run("openssl", "ts", "-query", "-sha256", "-cert", "-data", str(manifest))
    manifest.with_name(manifest.name + ".tsr").write_bytes(answer(keys / "tsa", query))
    manifest.with_name(manifest.name + ".sig").unlink()


CHANGES: dict[Callable[[Path, Path], None], str] = {
    changed_manifest: "json.sig: it is of ann@example.org, and not of this manifest",
    swapped_signature: "json.sig: it is of ann@example.org, and not of this manifest",
    swapped_stamp: "json.tsr is of another file than",
    broken_stamp: "json.tsr: it is no time stamp of a SHA-256",
    stamped_before: ", before the run ended",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda one: one.__name__)
def test_a_seal_that_does_not_hold_is_a_problem(sealed: Path, keys: Path, change: Callable[[Path, Path], None]) -> None:
    change(manifests(sealed)[0], keys)

    found = problems(sealed, in_seals, trusted(keys))

    assert any(str(manifests(sealed)[0]) in problem and CHANGES[change] in problem for problem in found), found


def test_a_stamp_is_held_against_its_manifest_also_where_no_authority_is_known(sealed: Path, keys: Path) -> None:
    swapped_stamp(manifests(sealed)[0], keys)

    (found,) = problems(sealed, in_seals)

    assert "is of another file than" in found
