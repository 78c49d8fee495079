"""Files that witness a run, forged as well: registers of starts, manifests, final weights, lists of packages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from bench.store import RunFolder, make_folder, read_json, register, sha256, write_json, write_text
from bench.store.files import file_digest
from bench.store.manifest import layers_digest, manifest

# what a forgery needs: the file that shows it
SHOWN_BY = {"register": "registers/*.jsonl", "manifest": "manifests/*.json", "weights": "weights/*.safetensors",
            "requirements": "requirements/*.txt"}  # fmt: skip
LIST = "# Python {python}, resnet-bench {bench} at commit {commit}\nnumpy==2.4.0\ntorch==2.14.1\ntorchvision==0.29.1\n"
Line = dict[str, Any]


def there(results: Path, what: str) -> list[Path]:
    """The published files of this kind of a sweep."""
    return sorted(results.glob(SHOWN_BY[what]))


def lines_of(path: Path) -> list[Line]:
    """A register's lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_chain(path: Path, lines: Sequence[Line]) -> None:
    """A register with these lines, chained anew from the first: what a forger who holds the file can always do."""
    texts, previous = [], ""
    for line in lines:
        texts.append(json.dumps({"previous": previous} | {k: v for k, v in line.items() if k != "previous"}))
        previous = sha256(texts[-1].encode())
    write_text(path, "".join(f"{text}\n" for text in texts))


@contextmanager
def at(seconds: float) -> Iterator[None]:
    """The clock of registers stands at that time."""
    with patch.object(register, "time", SimpleNamespace(time=lambda: seconds, time_ns=lambda: int(seconds * 1e9))):
        yield


def witness(*folders: RunFolder) -> None:
    """What the worker of today leaves of runs: instruction set and packages, lines in one register, manifests."""
    starts: dict[RunFolder, register.Start] = {}

    def begin(folder: RunFolder) -> None:
        env = folder.env() or {}
        facts = {name: env.get(name) for name in ("commit", "dirty", "data_sha256")} | {"start_sha256": ""}
        starts[folder] = register.start(folder.path.parent, folder.path.name, 0, trains=True, **facts)

    def end(folder: RunFolder) -> None:
        result, env = folder.result() or {}, folder.env() or {}
        env |= {"isa": "AVX512 (oneDNN: AVX512)", "start_sha256": env.get("start_sha256", "")}
        env |= {"requirements": [LIST.format(**{name: env[name] for name in ("python", "bench", "commit")})]}
        digests = {"layers_sha256": layers_digest(folder.layer_rows()), "matches_sha256": None}
        folder.finish(result, env, manifest(folder.run(), result, env, starts[folder], **digests))

    works = {"started": begin, "ended": end}
    events = [((folder.env() or {})[when], when, folder) for folder in folders for when in works]
    for seconds, when, folder in sorted(events, key=lambda event: event[0]):
        with at(seconds):
            works[when](folder)


def renew(folder: RunFolder) -> None:
    """Makes the manifest of a run and its line in the register say what the folder now holds, where they are there."""
    chain, path = folder.path.parent / register.NAME, folder.path / "manifest.json"
    result, env = folder.result() or {}, folder.env() or {}
    if path.exists():
        start, layers = register.Start(**read_json(path)["register"]), layers_digest(folder.layer_rows())
        write_json(path, manifest(folder.run(), result, env, start, layers_sha256=layers, matches_sha256=None))
    if chain.exists():
        lines = lines_of(chain)
        for line in lines:
            if line.get("run") == folder.path.name and line["event"] == "done":
                line |= {key: result[key] for key in ("weights_sha256", "curve_sha256")}
                line |= {"manifest_sha256": file_digest(path)}
        write_chain(chain, lines)


def unpack(results: Path, sweep_folder: Path, name: str) -> None:
    """Puts a run's manifest, and the first chain of starts, back where the run and its machine left them."""
    make_folder(sweep_folder / name)
    if (kept := results / "manifests" / f"{name}.json").exists():
        write_text(sweep_folder / name / "manifest.json", kept.read_text(encoding="utf-8"))
    chain = sweep_folder / register.NAME
    if (chains := there(results, "register")) and not chain.exists():
        write_text(chain, chains[0].read_text(encoding="utf-8"))
