"""An SSH key and a time-stamping authority of a test's own, made by ssh-keygen and openssl."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bench.report.seals import is_here

needs_ssh = pytest.mark.skipif(not is_here("ssh-keygen"), reason="needs ssh-keygen")
needs_openssl = pytest.mark.skipif(not is_here("openssl"), reason="needs openssl")
SETTINGS = """
[tsa]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
certs = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
ess_cert_id_alg = sha256
[stamps]
extendedKeyUsage = critical,timeStamping
"""


def key(folder: Path, name: str = "key", passphrase: str = "") -> Path:
    """A private key, its public half beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", str(folder / name))
    return folder / name


def signers(path: Path, **keys: Path) -> Path:
    """A list of allowed signers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{who}@example.org {one.with_suffix('.pub').read_text()}" for who, one in keys.items()))
    return path


def authority(folder: Path) -> Path:
    """Makes an authority; returns the certificate by which its stamps are checked."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "serial").write_text("01\n")
    (folder / "tsa.cnf").write_text(SETTINGS.format(folder=folder))
    root = ("-keyout", f"{folder}/root.key", "-out", f"{folder}/root.pem", "-subj", "/CN=root", "-days", "30")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("openssl", "req", "-x509", *curve, *root)
    run("openssl", "req", *curve, "-keyout", f"{folder}/tsa.key", "-out", f"{folder}/tsa.csr", "-subj", "/CN=tsa")
    of_root = ("-CA", f"{folder}/root.pem", "-CAkey", f"{folder}/root.key", "-set_serial", "2", "-days", "30")
    purpose = ("-extfile", f"{folder}/tsa.cnf", "-extensions", "stamps")
    run("openssl", "x509", "-req", "-in", f"{folder}/tsa.csr", *of_root, *purpose, "-out", f"{folder}/tsa.pem")
    return folder / "root.pem"


def answer(folder: Path, query: bytes) -> bytes:
    """What the authority answers."""
    (folder / "query").write_bytes(query)
    settings = ("-config", f"{folder}/tsa.cnf", "-section", "tsa")
    return run("openssl", "ts", "-reply", *settings, "-queryfile", f"{folder}/query")


class _Stamps(BaseHTTPRequestHandler):
    def __init__(self, folder: Path, *rest: object) -> None:
        self.folder = folder
        super().__init__(*rest)  # type: ignore[arg-type]  # as the server gives them

    def do_POST(self) -> None:
        query = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer(self.folder, query))

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """The URL at which the authority stamps; no proxy stands between, also not one that urllib has kept."""
    server = HTTPServer(("127.0.0.1", 0), partial(_Stamps, folder))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "127.0.0.1")
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def run(*words: str) -> bytes:
    return subprocess.run(words, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout
