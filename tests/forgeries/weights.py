"""Forged final weights, in the form that witnesses_kept.py says. Each is skipped until the suite publishes weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.store import write_bytes
from tests.forgeries.base import Forged, Forgery
from tests.forgeries.invented import fresh_digest, with_error
from tests.forgeries.witnesses_kept import there


def _tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def _write_tensors(path: Path, tensors: dict[str, np.ndarray], about: dict[str, str]) -> None:
    from safetensors.numpy import save

    write_bytes(path, save({name: np.ascontiguousarray(value) for name, value in tensors.items()}, about))


def _publish_as(base: Forged, path: Path, name: str, tensors: dict[str, np.ndarray], about: dict[str, str]) -> None:
    """Tensors under another run's id, which takes the place of their own in the metadata."""
    _write_tensors(
        path.with_name(f"{name}.safetensors"), tensors, {k: v.replace(path.stem, name) for k, v in about.items()}
    )
    base.renew()


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
    _publish_as(base, path, run.id, tensors, about)


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
    _publish_as(base, path, run.id, tensors, about)


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


FORGERIES = tuple(
    Forgery(forge, "weights", True, needs="weights")
    for forge in (
        weights_with_noise,
        weights_of_another_run,
        weights_as_another_seed,
        weights_with_their_channels_permuted,
        honest_weights_better_images,
        weights_lost,
    )
)
