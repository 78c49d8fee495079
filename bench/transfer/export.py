"""`python -m bench export NAME`: what of runs that are done others can read, such as their final weights.

The tensors are those that the run was tested with, bit by bit; the same run makes the same bytes. The metadata say
which run it is, what it reached, and on what.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from bench.spec import counted
from bench.spec.own import content_of, copy_name
from bench.store import RunFolder, StoreError, file_digest, make_folder, tensor_file, write_bytes
from bench.train import checkpoint

PAPER = "He, Zhang, Ren, Sun, Deep Residual Learning for Image Recognition, arXiv:1512.03385"
MIB = 2**20
Written = TypeVar("Written")


def of_each(
    chosen: Iterable[RunFolder], write: Callable[[RunFolder, Mapping[str, Any]], Written], say: Callable[[str], object]
) -> tuple[dict[str, Written], bool]:
    """What `write` returns for each run that is done, by its id; of one in several folders the first that can.

    And whether all that are done are there. Says which are not, and why: by the StoreError that `write` raises.
    """
    results = [(folder, result) for folder in chosen if (result := folder.result()) is not None]
    written: dict[str, Written] = {}
    problems: dict[str, str] = {}
    for folder, result in results:
        name = folder.path.name
        if name in written:
            continue
        try:
            written[name] = write(folder, result)
        except StoreError as error:
            problems[name] = str(error)
    left = [f"{name}: {problem}" for name, problem in problems.items() if name not in written]
    for line in left:
        say(line)
    return written, bool(written) and not left


def export_weights(
    chosen: Iterable[RunFolder],
    to: Path,
    say: Callable[[str], object],
    write_card: Callable[[Path], object] = lambda _: None,
) -> bool:
    """Writes `<id>.safetensors` into `to` for each run that is done; returns whether all that are done are there.

    write_card: writes what stands beside a file.
    """
    make_folder(to)

    def write(folder: RunFolder, result: Mapping[str, Any]) -> int:
        content = weights_file(folder, result)
        write_bytes(path := to / f"{folder.path.name}{tensor_file.SUFFIX}", content)
        for code, sha256 in folder.run().codes.values():  # of the user's, without which they are nothing
            write_bytes(to / copy_name(code, sha256), content_of(code, sha256))
        write_card(path)
        return len(content)

    written, whole = of_each(chosen, write, say)
    say(f"{to}: the weights of {counted(len(written), 'run')}, {sum(written.values()) / MIB:.2f} MiB")
    return whole


def weights_file(folder: RunFolder, result: Mapping[str, Any]) -> bytes:
    """The content of the file for a run that is done. Raises StoreError where its weights are not here any more."""
    try:
        content = folder.checkpoint.read_bytes()
    except OSError as error:
        raise StoreError(
            f"{folder.checkpoint} cannot be read ({error.strerror}): its weights were deleted, stayed on the machine "
            "that trained it, or are a publisher's"
        ) from None
    try:
        net = checkpoint.of_run(content, folder.path.name, str(result["weights_sha256"]))["net"]
        return tensor_file.dumps(checkpoint.raw(net), _about(folder, result))
    except (ValueError, AttributeError) as error:  # AttributeError: a value that is no tensor
        raise StoreError(f"{folder.checkpoint}: {error}") from None


def _about(folder: RunFolder, result: Mapping[str, Any]) -> dict[str, str]:
    """The file's metadata, all of it text."""
    env = folder.env() or {}
    about = {
        "format": "pt",  # what other libraries ask for
        "id": folder.path.name,
        "run": (folder.path / "run.json").read_text(encoding="utf-8"),
        **{name: json.dumps(result[name]) for name in ("test_error", "test_images")},
        "weights_sha256": str(result["weights_sha256"]),
        **{name: str(env.get(name) or "") for name in ("data", "data_sha256", "commit")},
        "manifest_sha256": file_digest(folder.path / "manifest.json") or "",
        "citation": f"{PAPER}; reproduced by resnet-bench {env.get('bench', '')} (Apache-2.0)",
    }
    return {name: value for name, value in about.items() if value}
