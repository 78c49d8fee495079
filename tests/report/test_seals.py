"""Manifests are signed with a real key and stamped by a real authority; what goes wrong is said in plain words."""

from __future__ import annotations

import os
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.report import seals
from bench.report.seals import SealError, Seals, check_stamp, sign, signer, stamp, stamped
from bench.store import sha256
from tests.report.authority import answer, authority, key, needs_openssl, needs_ssh, run, service, signers


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.json"
    path.write_text('{"run": "a"}\n')
    return path


@pytest.fixture
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@needs_ssh
def test_a_signature_holds_for_its_manifest_and_its_signer(tmp_path: Path, manifest: Path) -> None:
    ours, theirs = key(tmp_path, "ours"), key(tmp_path, "theirs")
    known, others = signers(tmp_path / "known", ann=ours, bob=theirs), signers(tmp_path / "others", bob=theirs)
    sign([manifest], ours)

    assert signer(manifest, known) == "ann@example.org"
    with pytest.raises(SealError, match="it is of nobody that .*others names"):
        signer(manifest, others)
    manifest.write_text('{"run": "b"}\n')
    with pytest.raises(SealError, match="it is of ann@example.org, and not of this manifest"):
        signer(manifest, known)
    manifest.with_name("manifest.json.sig").write_text("broken")
    with pytest.raises(SealError, match="it is no signature: "):
        signer(manifest, known)


@needs_ssh
def test_a_signature_for_another_purpose_does_not_count(tmp_path: Path, manifest: Path) -> None:
    ours = key(tmp_path)
    run("ssh-keygen", "-Y", "sign", "-f", str(ours), "-n", "git", str(manifest))

    with pytest.raises(SealError, match="and not of this manifest"):
        signer(manifest, signers(tmp_path / "known", ann=ours))


@needs_ssh
@pytest.mark.usefixtures("no_agent")
def test_why_nothing_was_signed_is_said(tmp_path: Path, manifest: Path) -> None:
    locked = key(tmp_path, "locked", "secret")

    with pytest.raises(SealError, match="locked: it has a passphrase: add it to ssh-agent .ssh-add .*locked.,"):
        sign([manifest], locked)
    with pytest.raises(SealError, match="nowhere: no such file; make a key with ssh-keygen -t ed25519"):
        sign([manifest], tmp_path / "nowhere")
    with pytest.raises(SealError, match=r"manifest.json: .*; nothing was published"):
        sign([manifest], manifest)


def test_a_missing_tool_is_named_with_its_package(
    tmp_path: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SealError, match="ssh-keygen cannot be started: .*; apt-get install openssh-client"):
        sign([manifest], tmp_path / "key")
    with pytest.raises(SealError, match="openssl cannot be started: .*; apt-get install openssl"):
        stamp(manifest, "http://127.0.0.1:9")


@needs_openssl
def test_a_time_stamp_is_of_its_manifest_and_its_authority(tmp_path: Path, manifest: Path) -> None:
    root, other = authority(tmp_path / "tsa"), authority(tmp_path / "other")
    with service(tmp_path / "tsa") as url:
        seals.beside(manifest, ".tsr").write_bytes(stamp(manifest, url))

    digest, time = stamped(seals.beside(manifest, ".tsr").read_bytes())
    assert digest == sha256(manifest.read_bytes())
    assert abs((datetime.now(UTC) - time).total_seconds()) < 600
    check_stamp(manifest, root)
    with pytest.raises(SealError, match="the time stamp is of no authority in .*root.pem, or was changed"):
        check_stamp(manifest, other)
    manifest.write_text("another")
    with pytest.raises(SealError, match="or was changed .*imprint mismatch"):
        check_stamp(manifest, root)


@needs_openssl
def test_no_proxy_stands_between_a_test_and_its_authority(
    tmp_path: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor one that urllib has kept from an earlier test."""
    proxies = urllib.request.ProxyHandler({"http": "http://127.0.0.1:9"})
    monkeypatch.setattr(urllib.request, "_opener", urllib.request.build_opener(proxies))
    authority(tmp_path / "tsa")

    with service(tmp_path / "tsa") as url:
        assert stamp(manifest, url)


@needs_openssl
def test_what_is_no_time_stamp_of_the_manifest_is_refused(tmp_path: Path, manifest: Path) -> None:
    authority(tmp_path / "tsa")
    query = run("openssl", "ts", "-query", "-sha512", "-data", str(manifest))

    with pytest.raises(SealError, match="it is no time stamp of a SHA-256"):
        stamped(b"<html>")
    with pytest.raises(SealError, match="it is no time stamp of a SHA-256"):
        stamped(answer(tmp_path / "tsa", query))
    with pytest.raises(SealError, match="it is no time stamp of a SHA-256 .Rejected"):
        stamped(answer(tmp_path / "tsa", b"nonsense"))


@needs_openssl
@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nowhere", "file:///etc/passwd"])
def test_a_service_that_is_out_of_reach_stops_nothing(manifest: Path, url: str) -> None:
    said: list[str] = []

    Seals(service=url).put_on([manifest, manifest], said.append)

    (line,) = said
    assert line.startswith("published without time stamps where they are missing: ")
    assert not seals.beside(manifest, ".tsr").exists()


@needs_ssh
@needs_openssl
def test_what_is_sealed_stays_as_it_is(tmp_path: Path, manifest: Path) -> None:
    authority(tmp_path / "tsa")
    said: list[str] = []
    with service(tmp_path / "tsa") as url:
        every = Seals(key(tmp_path), url)
        every.put_on([manifest], said.append)
        before = {path.name: path.read_bytes() for path in tmp_path.glob("manifest*")}
        every.put_on([manifest], said.append)

    assert said == [f"1 manifest signed with {tmp_path / 'key'}"]
    assert sorted(before) == ["manifest.json", "manifest.json.sig", "manifest.json.tsr"]
    assert {path.name: path.read_bytes() for path in tmp_path.glob("manifest*")} == before
    assert os.environ.get("SSH_ASKPASS_REQUIRE") != "never", "the user's own settings stay"
