"""Weights of others and of our own checkpoints: read as plain tensors, and loaded whole or not at all."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from bench.nets.torch_files import reason, unpickled
from bench.spec import counted

CLASSIFIERS = ("fc.", "classifier.", "head.", "pre_logits.")
HEADS = ("fc_weight", "classifier_weight", "head_weight")
# what others put around their weights: keys of the file, or the beginning of all names
WRAPPERS = (
    *("net", "state_dict", "model", "model_state", "model_state_dict", "network", "weights", "params", "backbone"),
    *("encoder", "ema", "model_ema", "state_dict_ema", "params_ema"),
)
# what torch puts into names, at any place
TRANSPARENT = ("module", "_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module")
# torch's and timm's names: the SHA-256 begins so, which a date such as -20240131 does not say
HASHED = re.compile(r"-(?!(?:19|20)\d{6}\.)([0-9a-f]{8,64})\.[a-z]+$")

Tensors: TypeAlias = Mapping[str, Tensor]


class WeightsError(RuntimeError):
    """Weights that are not there, cannot be had, or are another net's; says which file is looked for and where."""


class Pixels(NamedTuple):
    """What a net expects of an RGB image with values in [0, 1]: minus `mean`, over `std`, one of each a channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...] = (1.0, 1.0, 1.0)


IMAGENET = Pixels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Layout(NamedTuple):
    """How others' weights become ours: `name` of each tensor, then `value` of each by our name, of the same shape."""

    name: Callable[[str], str]
    value: Callable[[str, Tensor], Tensor]


OURS = Layout(lambda name: name, lambda _, value: value)


class Stored(NamedTuple):
    """The weights that a file holds.

    sets: its mappings of tensors by name, by where they are: "net", "state_dict.model", "" for the file itself. Of
    wrapped names there is one with and one without the wrapper.
    run: of a checkpoint of this suite, or a file that it exported, the run that made it, "" where it does not say;
    None for others' files.
    """

    sets: Mapping[str, Tensors]
    run: str | None = None


def read_weights(path: Path) -> Stored:
    """The weights of a checkpoint of this suite, a state dict, others' checkpoints or a safetensors file.

    Only plain tensors are read: a file cannot run code. Raises WeightsError naming the file.
    """
    try:
        data = path.read_bytes()
        said, sha = HASHED.search(path.name), hashlib.sha256(data).hexdigest()
        if said and not sha.startswith(said[1]) and not _exported_as(path.stem, data):
            raise ValueError(
                f"its name says that its SHA-256 begins with {said[1]}, it is {sha[:16]}…: download it again, or give "
                "a file of your own another name"
            )
        content: Any = load_safetensors(data) if path.suffix == ".safetensors" else unpickled(data)
        sets = _sets(content)
    except (OSError, MemoryError, ValueError, SafetensorError) as error:
        raise WeightsError(f"{path} cannot be read as weights ({reason(error)})") from None
    if not sets:
        raise WeightsError(f"{path} holds no state dict: give a checkpoint of this suite or a file of tensors by name")
    if path.suffix == ".safetensors":
        return Stored(sets, _exported(data))
    ours = type(content.get("format")) is int and "net" in content  # bench.train.checkpoint writes both
    return Stored(sets, str(content.get("run", "")) if ours else None)


def _exported_as(name: str, data: bytes) -> bool:
    """Whether `bench export` gave a file its name, the id of a run, which ends in the run's digest."""
    with suppress(ValueError):
        return _exported(data) == name
    return False


def _exported(data: bytes) -> str | None:
    """The run whose weights `bench export` wrote into a safetensors file, None for others' files."""
    about = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
    return str(about["id"]) if {"id", "run", "weights_sha256"} <= about.keys() else None


def _sets(content: Any) -> dict[str, dict[str, Tensor]]:
    """All that may be meant by the weights of a file, see Stored. Raises ValueError where a name comes twice."""
    found: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for keys, name, value in _tensors(content):
        parts = [*keys, *(part for part in name.split(".") if part not in TRANSPARENT)]
        outer = next((k for k, part in enumerate(parts) if part not in WRAPPERS), len(parts))
        for depth in range(len(keys), min(outer, len(parts) - 1) + 1):
            tensors, rest = found[".".join(parts[:depth])], ".".join(parts[depth:])
            if rest in tensors:
                raise ValueError(f"two of its tensors are {rest}")
            tensors[rest] = value
    return dict(found)


def _tensors(content: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, Tensor]]:
    """Each tensor with its name and the keys that lead to its mapping; what is no weights is passed over."""
    for key, value in content.items() if isinstance(content, Mapping) else ():
        if isinstance(key, str) and isinstance(value, Tensor):
            yield keys, key, value
        elif isinstance(key, str) and key in WRAPPERS + TRANSPARENT and len(keys) < 9:
            yield from _tensors(value, keys if key in TRANSPARENT else (*keys, key))


def outputs_of(found: Stored) -> int:
    """How many classes the classifier among the weights tells apart; 0 where no name says which one it is."""
    tensors = [(_key(name), value) for its in found.sets.values() for name, value in its.items() if value.ndim]
    counts = {len(value) for key, value in tensors if key in (*HEADS, "head_fc_weight")}
    return counts.pop() if len(counts) == 1 else 0


def load_weights(net: nn.Module, file: Path | None, name: str, without: tuple[str, ...] = CLASSIFIERS) -> None:
    """Loads all of `net` but its classifier from a file, as `load` does; None leaves the net as it is."""
    if file is not None:
        load(net, read_weights(file), f"{name} ({file})", without)


def load(net: nn.Module, found: Stored, name: str, without: tuple[str, ...], layout: Layout = OURS) -> None:
    """Loads all of `net` but what `without` begins, () for the whole net, from the one set of weights that is of it.

    Names may have underscores for dots, as timm's stages have. name: the net's, for the error.
    Raises WeightsError where none is, naming what is off in the nearest, or where several are that differ; the net is
    then unchanged.
    """
    wanted = {_key(n): (n, v) for n, v in net.state_dict().items() if not _optional(n, without)}
    given = {place: _named(tensors, layout, without) for place, tensors in found.sets.items()}
    fits = {place: tensors for place, tensors in given.items() if not any(_faults(wanted, tensors).values())}
    if not fits:
        nearest = max(given.values(), key=lambda tensors: (len(wanted.keys() & tensors.keys()), -len(tensors)))
        raise WeightsError(f"these weights are of another net than {name}: {_words(wanted, nearest)}")
    first, *others = fits.values()
    if not all(_equal(first[key], other[key]) for other in others for key in wanted):
        raise WeightsError(
            f"there are several sets of weights for {name}, and they differ: {', '.join(fits)}. Save the one that is "
            "meant in a file of its own"
        )
    if broken := [n for key, (n, _) in wanted.items() if not (first[key].is_meta or first[key].isfinite().all())]:
        raise WeightsError(
            f"{name}: not all of these weights are finite numbers ({broken[0]} and {len(broken) - 1} more): their "
            "training diverged, or the file is damaged; give others"
        )
    net.load_state_dict({n: layout.value(n, first[key]) for key, (n, _) in wanted.items()}, strict=False)


def _named(tensors: Tensors, layout: Layout, without: tuple[str, ...]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if not _optional(ours := layout.name(name), without):
            found[name if _key(ours) in found else _key(ours)] = value  # a second one is left over
    return found


def _key(name: str) -> str:
    return name.replace(".", "_")


def _optional(name: str, without: tuple[str, ...]) -> bool:
    return name.endswith("num_batches_tracked") or name.startswith(without)


def _faults(wanted: Mapping[str, tuple[str, Tensor]], given: Tensors) -> dict[str, list[str]]:
    both = sorted(wanted.keys() & given.keys())
    return {
        "missing": sorted(wanted.keys() - given.keys()),
        "left over": sorted(given.keys() - wanted.keys()),
        "of another shape": [key for key in both if wanted[key][1].shape != given[key].shape],
        "of another type": [key for key in both if not _alike(wanted[key][1], given[key])],
    }


def _alike(ours: Tensor, theirs: Tensor) -> bool:
    """Whether the numbers can be taken as they are: of any precision, on the CPU, neither sparse nor quantised."""
    plain = theirs.layout == torch.strided and theirs.is_meta == ours.is_meta and not theirs.is_quantized
    return plain and theirs.is_floating_point() == ours.is_floating_point() and not theirs.is_complex()


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)


def _words(wanted: Mapping[str, tuple[str, Tensor]], given: Tensors) -> str:
    """What is off, and what that means, as far as names and shapes tell it."""
    faults = _faults(wanted, given)
    parts = [f"{len(keys)} {what} ({', '.join(keys[:3])} …)" for what, keys in faults.items() if keys]
    means = []
    if (projected := _projected(given)) != _projected(wanted) and _blocks(given):
        means.append(
            "they have projections (downsample), as options B and C have them"
            if projected
            else "they have no projections (downsample), as option A and plain nets have none"
        )
    theirs, ours = _blocks(given), _blocks(wanted)
    if theirs and ours and theirs != ours:
        means.append(f"they have {theirs} blocks by stage and the net has {ours}: give their depth")
    heads = [key for key in faults["of another shape"] if key.endswith(HEADS) and given[key].ndim]
    means += [f"they tell {counted(len(given[key]), 'class')} apart and the net {len(wanted[key][1])}" for key in heads]
    return "; ".join([*parts, *means]) + ("" if means else ". Name the net that they were trained with")


def _projected(names: Iterable[str]) -> bool:
    return any("downsample" in name or "shortcut" in name for name in names)


def _blocks(names: Iterable[str]) -> str:
    """How many blocks each stage has, as in 3, 4, 6, 3; "" where the names do not say."""
    blocks = {found[0] for name in names if (found := re.match(r"layer(\d+)_(\d+)_", name))}
    counts = {stage: sum(block.startswith(f"layer{stage}_") for block in blocks) for stage in range(1, 10)}
    return ", ".join(str(count) for count in counts.values() if count)
