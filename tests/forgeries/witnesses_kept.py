"""Files that witness a run and that a forger has to forge as well: registers of starts, manifests, weights, lock files.

The suite does not write them yet; this is their agreed form, and the one module to adapt when it does.

    results/<sweep>/registers/<chain>.jsonl  runs/<sweep>/register.jsonl    one line an event, with the hash of the last
    results/<sweep>/manifests/<id>.json      runs/<sweep>/<id>/manifest.json    digests of a run; .sig, .tsr beside it
    results/<sweep>/requirements/<first 12 of SHA-256>.txt                   the lock file
    results/<sweep>/weights/<id>.safetensors                                 the final weights
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.store import RunFolder, make_folder, read_json, sha256, write_json, write_text
from bench.store.files import file_digest

# what a forgery needs that is there only once the suite publishes it: the file that shows it
SHOWN_BY = {"register": "registers/*.jsonl", "manifest": "manifests/*.json", "weights": "weights/*.safetensors",
            "requirements": "requirements/*.txt"}  # fmt: skip
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
        texts.append(json.dumps({**line, "previous": previous}))
        previous = sha256(texts[-1].encode())
    write_text(path, "".join(f"{text}\n" for text in texts))


def renew(folder: RunFolder) -> None:
    """Makes the manifest of a run and its line in the register say what the folder now holds, where they are there."""
    register, manifest = folder.path.parent / "register.jsonl", folder.path / "manifest.json"
    if manifest.exists():
        result = folder.result() or {}
        kept = {
            name: result.get(name) for name in ("curve_sha256", "layers_sha256", "weights_sha256") if name in result
        }
        write_json(manifest, {**read_json(manifest), **kept, "run_sha256": file_digest(folder.path / "run.json")})
    if register.exists():
        lines = lines_of(register)
        for line in lines:
            if line.get("run") == folder.path.name and line["event"] == "done":
                result = folder.result() or {}
                line |= {key: result[key] for key in ("weights_sha256", "curve_sha256") if key in line}
                line |= {"manifest_sha256": file_digest(manifest)} if "manifest_sha256" in line else {}
        write_chain(register, lines)


def unpack(results: Path, sweep_folder: Path, name: str) -> None:
    """Puts a run's manifest, and the first chain of starts, back where the run and its machine left them."""
    make_folder(sweep_folder / name)
    if (manifest := results / "manifests" / f"{name}.json").exists():
        write_text(sweep_folder / name / "manifest.json", manifest.read_text(encoding="utf-8"))
    register = sweep_folder / "register.jsonl"
    if (chains := there(results, "register")) and not register.exists():
        write_text(register, chains[0].read_text(encoding="utf-8"))
