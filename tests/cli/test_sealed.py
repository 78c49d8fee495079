"""bench publish --sign and --timestamp, and bench verify with a reader's own list of signers."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli.commands import main
from tests.report.authority import authority, key, needs_openssl, needs_ssh, service, signers
from tests.report.verify.builders import NAME, SWEEP, trained

pytestmark = [pytest.mark.usefixtures("figures_not_rendered"), needs_ssh, needs_openssl]
RUNS = len(SWEEP.runs("paper")) + len(SWEEP.runs("quick"))


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of keys beside a project with finished runs, which is the folder of the commands."""
    project = tmp_path / "project"
    trained(project)
    (project / "sweeps").mkdir()
    (project / "sweeps" / f"{NAME}.py").write_text("from tests.report.verify.builders import SWEEP\n")
    monkeypatch.chdir(project)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path / "keys"


def test_published_runs_are_signed_and_stamped_and_a_reader_checks_that(
    keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, ours = authority(keys / "tsa"), key(keys)
    known, strange = signers(keys / "known", ann=ours), signers(keys / "strange", bob=key(keys, "other"))
    with service(keys / "tsa") as url:
        assert main(["publish", NAME, "--sign", str(ours), "--timestamp", url]) == 0
    assert f"{RUNS} manifests signed with {ours}" in capsys.readouterr().out
    page = Path("reports", NAME, "README.md").read_text()
    assert "The 4 finished runs have a manifest, 4 of them signed, 4 of them time-stamped." in page

    assert main(["verify", NAME, "--signers", str(known), "--authorities", str(root)]) == 0
    said = capsys.readouterr().out
    unchecked = [line for line in said.splitlines() if line.startswith("  not checked: ")]
    assert not [line for line in unchecked if "signature" in line or "time stamp" in line]
    assert f"a signature for {RUNS}, a time stamp for {RUNS}" in said
    assert main(["verify", NAME]) == 0
    assert f"  not checked: {RUNS} signatures: results/allowed_signers is not there" in capsys.readouterr().out
    assert main(["verify", NAME, "--signers", str(strange)]) == 1
    assert f".json.sig: it is of nobody that {strange} names" in capsys.readouterr().err
    assert main(["verify", NAME, "--signers", "nowhere"]) == 2
    assert "nowhere: no such file" in capsys.readouterr().err

    assert main(["publish", NAME]) == 0
    assert "4 of them signed" in Path("reports", NAME, "README.md").read_text(), "they stay"


def test_a_key_that_cannot_sign_publishes_nothing(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locked = key(keys, "locked", "secret")

    assert main(["publish", NAME, "--sign", str(locked)]) == 2
    assert "it has a passphrase: add it to ssh-agent" in capsys.readouterr().err
    assert not Path("results").exists()
    assert main(["publish", "--sign", str(locked)]) == 2
    assert "--sign and --timestamp are for the runs of a sweep: give its name, too" in capsys.readouterr().err
    assert main(["publish", NAME, "--timestamp", "freetsa.org/tsr"]) == 2
    assert "--timestamp 'freetsa.org/tsr' is no address: it begins with http" in capsys.readouterr().err
    assert not Path("results").exists()


def test_without_the_service_it_is_said_and_published(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys.name

    assert main(["publish", NAME, "--timestamp", "http://127.0.0.1:9"]) == 0
    said = capsys.readouterr().out
    assert "published without time stamps where they are missing: http://127.0.0.1:9 does not answer" in said
    assert "signed" not in Path("reports", NAME, "README.md").read_text().partition("## Provenance")[2]
