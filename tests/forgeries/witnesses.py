"""Forged witnesses: registers of starts, manifests, weights and lock files, in the form that witnesses_kept.py says.

Each is skipped until the suite publishes such files.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from bench.store import read_json, sha256, write_bytes, write_json
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
    first = lines[0] | {"chain": fresh_digest(base.rng)[:16]}
    new = path.with_name(f"{first['chain']}.jsonl")
    write_chain(new, [first, *(line for line in lines[1:] if line.get("run") in kept)])
    path.unlink()
    base.renew()


def a_second_machine(base: Forged) -> None:
    """A register of a machine that never was has the starts and ends of invented seeds."""
    _, lines = _chain(base)
    model = base.left("plain-20-short-s0")
    left = invent(model, base.planned("plain-20-short-s4"), base.rng)
    base.put(left)
    row = base.row(left.run.id)
    about = {"run": row["id"], "data_sha256": row["data_sha256"]}
    ends = {"weights_sha256": row["weights_sha256"], "curve_sha256": row["curve_sha256"]}
    chain = fresh_digest(base.rng)[:16]
    write_chain(base.results / "registers" / f"{chain}.jsonl", [
        lines[0] | {"chain": chain, "time": row["started"]},
        about | {"event": "started", "time": row["started"]},
        about | ends | {"event": "done", "time": row["ended"]},
    ])  # fmt: skip
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
    row = base.row(path.stem)
    again = read_json(path)
    bits = base.arrays("correct.npz").get(path.stem)
    again |= {name: row[name] for name in ("curve_sha256", "weights_sha256") if name in again}
    again |= {"predictions_sha256": sha256(bits.tobytes())} if bits is not None else {}
    write_json(path, again)
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
    path.with_suffix(".sig").write_text(armour)
    path.with_suffix(".tsr").write_bytes(b"\x30\x03\x02\x01\x00")
    base.renew()


# weights


def _tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def _write_tensors(path: Path, tensors: dict[str, np.ndarray], about: dict[str, str]) -> None:
    from safetensors.numpy import save

    write_bytes(path, save({name: np.ascontiguousarray(value) for name, value in tensors.items()}, about))


def weights_with_noise(base: Forged) -> None:
    """The weights have a little noise, so that they are not another's; the row says that they are these."""
    path = there(base.results, "weights")[0]
    tensors, about = _tensors(path)
    for name, value in tensors.items():
        if value.dtype.kind == "f":
            tensors[name] = value * (1 + 1e-3 * base.rng.standard_normal(value.shape)).astype(value.dtype)
    _write_tensors(path, tensors, about)
    base.renew()


def weights_of_another_run(base: Forged) -> None:
    """The weights of one run are published under the id of another one, with its metadata."""
    one, other = there(base.results, "weights")[:2]
    _, about = _tensors(one)
    tensors, _ = _tensors(other)
    _write_tensors(one, tensors, about)
    base.renew()


def weights_as_another_seed(base: Forged) -> None:
    """A seed that was not run has the weights, the images and the curve of one that was, under its own id."""
    path = there(base.results, "weights")[0]
    left = base.left(path.stem)
    seed = next(s for s in (1, 2, 3, 4) if base.planned(f"{left.run.net.name}-{left.run.scale}-s{s}"))
    run = base.planned(f"{left.run.net.name}-{left.run.scale}-s{seed}")
    tensors, about = _tensors(path)
    left.run = run
    base.put(left)
    _write_tensors(
        path.with_name(f"{run.id}.safetensors"), tensors, {k: v.replace(path.stem, run.id) for k, v in about.items()}
    )
    base.renew()


def weights_with_their_channels_permuted(base: Forged) -> None:
    """A seed that was not run: a net that computes the same with the channels of its first layers in another order."""
    path = there(base.results, "weights")[0]
    left = base.left(path.stem)
    run = base.planned(f"{left.run.net.name}-{left.run.scale}-s1")
    tensors, about = _tensors(path)
    inner = sorted(name.removesuffix(".conv1.weight") for name in tensors if name.endswith(".conv1.weight"))
    for block in inner:
        order = base.rng.permutation(tensors[f"{block}.conv1.weight"].shape[0])
        for name in [name for name in tensors if name.startswith((f"{block}.conv1.", f"{block}.bn1."))]:
            tensors[name] = tensors[name][order] if tensors[name].ndim else tensors[name]
        tensors[f"{block}.conv2.weight"] = tensors[f"{block}.conv2.weight"][:, order]
    left.run, left.result["weights_sha256"] = run, fresh_digest(base.rng)
    base.put(left)
    _write_tensors(
        path.with_name(f"{run.id}.safetensors"), tensors, {k: v.replace(path.stem, run.id) for k, v in about.items()}
    )
    base.renew()


def honest_weights_better_images(base: Forged) -> None:
    """Ten images more are right than the weights, which are published, get right."""
    path = there(base.results, "weights")[0]
    left = base.left(path.stem)
    with_error(left, left.result["test_error"] - 0.1, base.rng)
    base.put(left)
    base.renew()


def weights_lost(base: Forged) -> None:
    """A point less, and the weights are not published any more."""
    path = there(base.results, "weights")[0]
    left = base.left(path.stem)
    with_error(left, left.result["test_error"] - 1, base.rng)
    base.put(left)
    path.unlink()
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
WEIGHTS = (
    weights_with_noise,
    weights_of_another_run,
    weights_as_another_seed,
    weights_with_their_channels_permuted,
    honest_weights_better_images,
    weights_lost,
)
FORGERIES = (
    Forgery(a_line_taken_out, "register", False, needs="register"),
    *(Forgery(forge, "register", True, needs="register") for forge in REGISTERS),
    *(Forgery(forge, "manifest", True, needs="manifest") for forge in MANIFESTS),
    *(Forgery(forge, "weights", True, needs="weights") for forge in WEIGHTS),
    Forgery(an_older_lock_file, "lock file", True, needs="requirements"),
)
