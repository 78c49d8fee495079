"""Forged witnesses: registers of starts, manifests and lock files, in the form that witnesses_kept.py says.

Each is skipped until the suite publishes such files.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from bench.store import read_json, sha256, write_json
from tests.forgeries.base import Forged, Forgery
from tests.forgeries.invented import fresh_digest, invent, with_error
from tests.forgeries.witnesses_kept import Line, lines_of, there, write_chain

ENDS = ("done", "diverged", "failed", "given up")


def _chain(base: Forged) -> tuple[Path, list[Line]]:
    path = there(base.results, "register")[0]
    return path, lines_of(path)


def _done_run(base: Forged) -> str:
    """The first run that a register says is done and that is in the results."""
    ids = {row["id"] for row in base.rows() if row["state"] == "done"}
    return str(next(line["run"] for line in _chain(base)[1] if line["event"] == "done" and line["run"] in ids))


# registers


def a_register_without_an_unlucky_seed(base: Forged) -> None:
    """A seed is taken out of the results, and the register is chained anew from its first line without it."""
    path, lines = _chain(base)
    name = _done_run(base)
    base.drop(name)
    write_chain(path, [line for line in lines if line.get("run") != name])
    base.renew()


def a_register_cut_off(base: Forged) -> None:
    """The last lines of the register are cut off: what was started last is not known."""
    path, lines = _chain(base)
    write_chain(path, lines[: max(1, len(lines) - 4)])
    base.renew()


def a_line_taken_out(base: Forged) -> None:
    """A line is taken out of the middle, and the hashes stay."""
    path, _ = _chain(base)
    texts = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(texts[: len(texts) // 2] + texts[len(texts) // 2 + 1 :]), encoding="utf-8")
    base.renew()


def a_divergence_given_up(base: Forged) -> None:
    """A run that ended is said to have been given up, chained anew, and its row is pending."""
    path, lines = _chain(base)
    name = _done_run(base)
    base.drop(name)
    write_chain(path, [
        {k: v for k, v in line.items() if not k.endswith("_sha256")} | {"event": "given up"}
        if line.get("run") == name and line["event"] in ENDS else line
        for line in lines
    ])  # fmt: skip
    base.renew()


def a_register_begun_again(base: Forged) -> None:
    """The register is begun anew, with another chain id, and knows only the runs that are published."""
    path, lines = _chain(base)
    kept = {row["id"] for row in base.rows() if row["state"] == "done"}
    first = lines[0] | {"chain": fresh_digest(base.rng)[:32]}
    new = path.with_name(f"{first['chain'][:12]}.jsonl")
    write_chain(new, [first, *(line for line in lines[1:] if line.get("run") in kept)])
    path.unlink()
    base.renew()


def a_second_machine(base: Forged) -> None:
    """A machine that never was has a register of its own and a manifest for an invented seed, all by the suite."""
    left = invent(base.left("plain-20-short-s0"), base.planned("plain-20-short-s4"), base.rng)
    base.put(left)
    base.renew()


def a_start_moved(base: Forged) -> None:
    """The times of a run's lines are moved before the claims were changed, and the chain is made anew."""
    path, lines = _chain(base)
    name = _done_run(base)
    moved = [line | ({"time": "2026-11-26T19:00:00Z"} if line.get("run") == name else {}) for line in lines]
    write_chain(path, moved)
    base.edit(name, started="2026-11-26T19:00:00Z", ended="2026-11-26T22:00:00Z")
    base.renew()


def no_register(base: Forged) -> None:
    """The registers are deleted, and an invented seed is published."""
    base.put(invent(base.left("plain-20-short-s0"), base.planned("plain-20-short-s4"), base.rng))
    shutil.rmtree(base.results / "registers")
    base.renew()


# manifests


def _manifest(base: Forged) -> tuple[Path, dict[str, object]]:
    path = there(base.results, "manifest")[0]
    return path, read_json(path)


def a_manifest_to_forged_numbers(base: Forged) -> None:
    """A better error with its images and curve, and the manifest made anew to it; signatures stay as they were."""
    path, _ = _manifest(base)
    left = base.left(path.stem)
    with_error(left, left.result["test_error"] * 0.94, base.rng)
    left.result["weights_sha256"] = fresh_digest(base.rng)
    base.put(left)
    base.renew()


def a_manifest_of_another_run(base: Forged) -> None:
    """One run has the manifest of another one, with its own id in it."""
    one, other = there(base.results, "manifest")[:2]
    write_json(one, json.loads(json.dumps(read_json(other)).replace(other.stem, one.stem)))
    base.renew()


def a_manifest_lost(base: Forged) -> None:
    """A better error, and the manifest is said never to have been."""
    path, _ = _manifest(base)
    left = base.left(path.stem)
    with_error(left, left.result["test_error"] * 0.94, base.rng)
    base.put(left)
    for kept in path.parent.glob(f"{path.stem}.*"):
        kept.unlink()
    base.renew()


def a_manifest_of_a_clean_tree(base: Forged) -> None:
    """The manifest names the tree of another commit and says that nothing was changed."""
    path, kept = _manifest(base)
    other = base.git("rev-parse", "HEAD~20")
    write_json(path, kept | {"commit": other, "tree": base.git("rev-parse", f"{other}^{{tree}}"), "dirty": False})
    base.edit(path.stem, commit=other)
    base.renew()


def a_signature_of_something_else(base: Forged) -> None:
    """A signature and a time stamp that were made of nothing lie beside the manifest."""
    path, _ = _manifest(base)
    armour = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTk=\n-----END SSH SIGNATURE-----\n"
    path.with_name(f"{path.name}.sig").write_text(armour)
    path.with_name(f"{path.name}.tsr").write_bytes(b"\x30\x03\x02\x01\x00")
    base.renew()


# lock files


def an_older_lock_file(base: Forged) -> None:
    """A lock file names other versions than the runs had, under the name of its new digest."""
    path = there(base.results, "requirements")[0]
    text = path.read_text(encoding="utf-8").replace("torch==2.14.1", "torch==2.12.0")
    path.unlink()
    (path.parent / f"{sha256(text.encode())[:12]}.txt").write_text(text, encoding="utf-8")
    base.renew()


REGISTERS = (
    a_register_without_an_unlucky_seed,
    a_register_cut_off,
    a_divergence_given_up,
    a_register_begun_again,
    a_second_machine,
    a_start_moved,
    no_register,
)
MANIFESTS = (
    a_manifest_to_forged_numbers,
    a_manifest_of_another_run,
    a_manifest_lost,
    a_manifest_of_a_clean_tree,
    a_signature_of_something_else,
)
FORGERIES = (
    Forgery(a_line_taken_out, "register", False, needs="register"),
    *(Forgery(forge, "register", True, needs="register") for forge in REGISTERS),
    *(Forgery(forge, "manifest", True, needs="manifest") for forge in MANIFESTS),
    Forgery(an_older_lock_file, "lock file", True, needs="requirements"),
)
