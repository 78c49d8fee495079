"""Signatures and time stamps of manifests: whether they hold, and what of that could not be checked here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from bench.report import seals
from bench.report.copied import MANIFESTS
from bench.report.seals import SealError, beside
from bench.report.verify.published import Published
from bench.report.verify.registers import time_of
from bench.report.witnesses import SIGNATURE, STAMP
from bench.spec import counted
from bench.store import sha256

SIGNERS, AUTHORITIES = "allowed_signers", "authorities.pem"  # in results/, beside the folders of the sweeps


def in_seals(published: Published) -> Iterator[str]:
    """Each signature is of somebody known, each time stamp of its manifest and not older than the run's end."""
    signers, authorities = _trusted(published)
    for path in _sealed(published, SIGNATURE) if signers.is_file() and seals.is_here("ssh-keygen") else ():
        try:
            seals.signer(path, signers)
        except SealError as error:
            yield f"{beside(path, SIGNATURE)}: {error}"
    for path in _sealed(published, STAMP) if seals.is_here("openssl") else ():
        try:
            yield from _stamp_problems(path)
            if authorities.is_file():
                seals.check_stamp(path, authorities)
        except SealError as error:
            yield f"{beside(path, STAMP)}: {error}"


def unsealed(published: Published) -> Iterator[str]:
    """Which signatures and time stamps could not be checked, and why."""
    signers, authorities = _trusted(published)
    own = published.trusted
    if signatures := counted(len(_sealed(published, SIGNATURE)), "signature").removeprefix("0 signatures"):
        if not seals.is_here("ssh-keygen"):
            yield f"{signatures}: there is no ssh-keygen here (apt-get install openssh-client)"
        elif not signers.is_file():
            yield f"{signatures}: {signers} is not there; name a list of allowed signers with --signers FILE"
        elif own.signers is None:
            came = f"the list of signers came with the results ({signers})"
            yield f"{signatures}: {came}; name your own with --signers FILE"
    if stamps := counted(len(_sealed(published, STAMP)), "time stamp").removeprefix("0 time stamps"):
        if not seals.is_here("openssl"):
            yield f"{stamps}: there is no openssl here (apt-get install openssl)"
        elif not authorities.is_file():
            yield f"{stamps}: {authorities} is not there; name certificates (PEM) with --authorities FILE"
        elif own.authorities is None:
            came = f"the certificates came with the results ({authorities})"
            yield f"{stamps}: {came}; name your own with --authorities FILE"


def _trusted(published: Published) -> tuple[Path, Path]:
    """The lists of signers and authorities: the reader's, else those beside the results."""
    own, near = published.trusted, published.folder.parent
    return own.signers or near / SIGNERS, own.authorities or near / AUTHORITIES


def _sealed(published: Published, kind: str) -> list[Path]:
    """The manifests that have a signature, or a time stamp; one of no manifest is said by `in_manifests`."""
    found = sorted((published.folder / MANIFESTS).glob("*.json"))
    return [path for path in found if beside(path, kind).is_file()]


def _stamp_problems(manifest: Path) -> Iterator[str]:
    """What contradicts the manifest in its stamp, whoever made it."""
    content, answer = manifest.read_bytes(), beside(manifest, STAMP)
    digest, time = seals.stamped(answer.read_bytes())
    if digest != sha256(content):
        yield f"{answer} is of another file than {manifest.name} (SHA-256)"
    try:
        ended = time_of(str(json.loads(content)["ended"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return  # which `in_manifests` says
    if ended and time < ended:
        yield f"{answer} is of {time:%Y-%m-%dT%H:%M:%SZ}, before the run ended"
