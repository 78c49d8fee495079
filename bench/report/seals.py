"""What others vouch for in a manifest: an SSH signature (ssh-keygen), a time stamp of RFC 3161 (openssl)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.report.witnesses import SIGNATURE, STAMP
from bench.spec import counted
from bench.store import StoreError, sha256, write_bytes

NAMESPACE = "resnet-bench"  # a signature counts for nothing else
TIMEOUT = 20  # seconds, that a time-stamping service may take
PACKAGES = {"ssh-keygen": "openssh-client", "openssl": "openssl"}


class SealError(StoreError):
    """A signature or time stamp that cannot be made, or does not hold; says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Seals:
    """What publishing adds to manifests. key: private, or public where ssh-agent has the other. service: a URL."""

    key: Path | None = None
    service: str | None = None

    def put_on(self, manifests: Sequence[Path], say: Callable[[str], object]) -> None:
        """Signs and stamps those that are not yet. Raises SealError where they cannot be signed.

        Without its time stamps, where the service gives none, what is published is as true: that is said.
        """
        unsigned = [path for path in manifests if self.key and not beside(path, SIGNATURE).exists()]
        if self.key and unsigned:
            sign(unsigned, self.key)
            say(f"{counted(len(unsigned), 'manifest')} signed with {self.key}")
        try:
            for path in manifests if self.service else ():
                if not beside(path, STAMP).exists():
                    write_bytes(beside(path, STAMP), stamp(path, str(self.service)))
        except SealError as error:
            say(f"published without time stamps where they are missing: {error}")


NO_SEALS = Seals()


def beside(manifest: Path, kind: str) -> Path:
    """The file of its signature or time stamp."""
    return manifest.with_name(manifest.name + kind)


def is_here(tool: str) -> bool:
    """Whether the tool is installed."""
    return shutil.which(tool) is not None


def sign(manifests: Sequence[Path], key: Path) -> None:
    """Signs each with the key, a signature beside it. Raises SealError."""
    done = _run("ssh-keygen", "-Y", "sign", "-f", str(key), "-n", NAMESPACE, *map(str, manifests))
    if not done.returncode:
        return
    said = _last(done.stderr)
    if "passphrase" in said:
        said = f"it has a passphrase: add it to ssh-agent (ssh-add {key}), and give its public half, --sign {key}.pub"
    elif not key.exists():
        said = "no such file; make a key with ssh-keygen -t ed25519"
    raise SealError(f"--sign {key}: {said}; nothing was published")


def signer(manifest: Path, signers: Path) -> str:
    """Who signed it, by the list of allowed signers. Raises SealError where nobody there did, or it was changed."""
    signature = str(beside(manifest, SIGNATURE))
    found = _run("ssh-keygen", "-Y", "find-principals", "-f", str(signers), "-s", signature)
    who = found.stdout.decode(errors="replace").partition("\n")[0].partition(",")[0]
    if not who:
        broken = found.stderr.decode(errors="replace").partition("\n")[0]
        unknown = broken.startswith("No principal")  # the only line of a signature that can be read
        if broken.startswith(f"{signers}:"):  # ssh-keygen names the line
            raise SealError(f"nobody could be looked up in the list of signers: {broken}")
        raise SealError(f"it is of nobody that {signers} names" if unknown else f"it is no signature: {broken}")
    words = ("ssh-keygen", "-Y", "verify", "-n", NAMESPACE, "-f", str(signers), "-I", who, "-s", signature)
    done = _run(*words, given=manifest.read_bytes())
    if done.returncode:
        raise SealError(f"it is of {who}, and not of this manifest ({_last(done.stderr) or _last(done.stdout)})")
    return who


def stamp(manifest: Path, service: str) -> bytes:
    """The service's time stamp of the manifest. Raises SealError where it gives none."""
    asked = _run("openssl", "ts", "-query", "-sha256", "-cert", "-data", str(manifest))
    if asked.returncode:
        raise SealError(f"openssl asks for no time stamp: {_last(asked.stderr)}")
    try:
        headers = {"Content-Type": "application/timestamp-query"}
        request = urllib.request.Request(service, asked.stdout, headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
            answer: bytes = reply.read()
    except (OSError, ValueError) as error:
        raise SealError(f"{service} does not answer: {getattr(error, 'reason', None) or error}") from None
    if stamped(answer)[0] != sha256(manifest.read_bytes()):
        raise SealError(f"{service} answers with a time stamp of something else")
    return answer


def stamped(answer: bytes) -> tuple[str, datetime]:
    """The SHA-256 that a time stamp is of, and its time. Raises SealError where it is none."""
    text = _run("openssl", "ts", "-reply", "-in", "/dev/stdin", "-text", given=answer).stdout.decode(errors="replace")
    dump = re.search(r"^Message data:\n((?: +[0-9a-f]{4} - .*\n)+)", text, re.MULTILINE)
    time = re.search(r"^Time stamp: (\w{3} +\d+ [\d:]{8})(?:\.\d+)? (\d{4}) GMT$", text, re.MULTILINE)
    if not dump or not time or not re.search(r"^Hash Algorithm: sha256$", text, re.MULTILINE):
        status = re.search(r"^(?:Status description|Status): (?!unspecified)(.*)$", text, re.MULTILINE)
        raise SealError(f"it is no time stamp of a SHA-256{f' ({status[1]})' if status else ''}")
    lines = re.findall(r"^ +[0-9a-f]{4} - ((?:[0-9a-f]{2}[ -]){1,16})", dump[1], re.MULTILINE)
    digest = re.sub("[ -]", "", "".join(lines))
    return digest, datetime.strptime(f"{time[1]} {time[2]}", "%b %d %H:%M:%S %Y").replace(tzinfo=UTC)


def check_stamp(manifest: Path, authorities: Path) -> None:
    """Raises SealError where the stamp is not of this manifest, by one of these authorities as it was at that time."""
    answer = beside(manifest, STAMP)
    then = str(int(stamped(answer.read_bytes())[1].timestamp()))
    words = ("-data", str(manifest), "-in", str(answer), "-CAfile", str(authorities), "-attime", then)
    done = _run("openssl", "ts", "-verify", *words)
    if done.returncode:
        reason = re.sub(r"^.*?(routines:)?(\w+:)?", "", _last(done.stderr)) or "it does not hold"
        raise SealError(f"the time stamp is of no authority in {authorities}, or was changed ({reason})")


def _run(*words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """What a tool says; it asks nobody for a passphrase. Raises SealError where it is not installed."""
    env = os.environ | {"LC_ALL": "C", "SSH_ASKPASS_REQUIRE": "never"}
    try:
        return subprocess.run(words, input=given, capture_output=True, env=env, start_new_session=True)
    except OSError as error:
        package = PACKAGES[words[0]]
        raise SealError(f"{words[0]} cannot be started: {error.strerror}; apt-get install {package}") from None


def _last(said: bytes) -> str:
    """The last line."""
    return (said.decode(errors="replace").strip().splitlines() or [""])[-1]
