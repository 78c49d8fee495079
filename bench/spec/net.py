"""Net: one of the paper's nets, one of timm, or one of the user's own."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field

from bench.spec.advice import nearest, shown
from bench.spec.declare import declaration, one_of
from bench.spec.families import FAMILIES, SOURCES, Family, Weights
from bench.spec.own import CODE, SHA256, declared_code
from bench.spec.words import OWN_SHORTCUT, require

LABEL = re.compile(r"[a-z][A-Za-z0-9]*")
TAKEN = {word for row in FAMILIES.values() for word in (row.plain, row.residual.word, row.name)}
OWN = 'Net.own("my_nets.py:build", depth=20, name="gated")'


def _other_word(name: str, given: str, words: Iterable[str]) -> str:
    near = nearest(given, words)
    return f"{name} {shown(given)} is not one of: {', '.join(words)}" + (f": write {near!r}" if near else "")


def own_word(name: str) -> str:
    """`gated` of the name of a net of the user's, gated-20; "" of others."""
    word, _, rest = name.partition("-")
    return word if rest[:1].isdigit() and LABEL.fullmatch(word) and word not in TAKEN else ""


@declaration
class Net:
    """One of the paper's nets; `Net.own` makes one of the user's.

    family: "cifar" (Section 4.2, depth 6n+2), "imagenet" (Table 1), or "vgg", VGG-16, the baseline of detectors.
    shortcut: "none" for the plain net, else option "A", "B" or "C" (Section 3.3 and 4.1).
    stride_in: which convolution of a bottleneck block has the stride, "1x1" (the paper) or "3x3" (torchvision).
    norm: "bn" after every convolution (Section 3.4), or "none", which gives the convolutions a bias instead.
    weights: weights that the net starts from, "" for none: "torchvision:IMAGENET1K_V1"; "file:NAME", a state dict NAME
    in the folder `weights` of the data, made as torchvision's are (RGB, its pixels, the stride in the 3x3);
    "pytorch-cifar:NAME", such a file of a CIFAR net in the common PyTorch layout, whose option A pads on both sides; or
    "run:SWEEP/RUN", the last checkpoint of a run in the same folder of runs.
    family "timm" is any net of timm by its weights' name, "timm:densenet121.tv_in1k"; its depth is 0, its shortcut
    "none".
    build, build_sha256, label, options: of family "own", as `own` says.
    """

    family: Annotated[str, Field(examples=['"cifar"'])]
    depth: Annotated[int, Field(examples=["20"])]
    shortcut: Annotated[str, Field(examples=['"A"'])]
    stride_in: Annotated[str, one_of("1x1", "3x3")] = "1x1"
    norm: str = "bn"
    weights: Annotated[str, Field(examples=['"torchvision:IMAGENET1K_V1"'])] = ""
    build: str = ""
    build_sha256: str = ""
    label: str = ""
    options: str = ""

    @classmethod
    def own(cls, code: str, *, depth: int, name: str, norm: str = "bn", weights: str = "", **options: Any) -> Net:
        """A net of the user's: what `code`, "my_nets.py:build", returns for build(depth=…, classes=…, **options).

        build returns an nn.Module from (N, 3, H, W) to (N, classes), from torch's random numbers alone; bench.nets.own
        says what is checked. The file is one, and lies beside the sweep file; its SHA-256 is in the id of each run.
        depth: as the net's name and the axes of figures have it. name: the word before it, of letters and digits; pages
        draw all nets of one name as one line over depth. norm: "none" for a net without batch norm. options: texts,
        numbers, True and False. Raises SpecError.
        """
        build, sha256 = declared_code(code, f"the code of net {shown(name)}")
        wrong = [
            f"{key}={shown(value)}"
            for key, value in options.items()
            if type(value) not in (str, int, float, bool) or (type(value) is float and not math.isfinite(value))
        ]
        given = sorted({"depth", "classes"} & set(options))
        require(
            "net",
            (not wrong, f"options must be texts, finite numbers, True or False, got {', '.join(wrong)}"),
            (not given, f"{', '.join(given)} cannot be an option: the data set says how many classes build is to make"),
        )
        text = json.dumps(options, sort_keys=True, separators=(",", ":")) if options else ""
        return cls("own", depth, OWN_SHORTCUT, "1x1", norm, weights, build, sha256, name, text)

    def __post_init__(self) -> None:
        require("net", (self.family in FAMILIES, _other_word("family", self.family, FAMILIES)))
        self._check_own()
        row, (word, name) = self.row, self.start
        source = SOURCES.get(word)
        require(
            "net",
            (
                source is not None and bool(word) == bool(self.weights),
                f"weights {shown(self.weights)} do not begin with one of: {', '.join(f'{s}:' for s in SOURCES if s)}",
            ),
            (
                source is None or bool(re.fullmatch(source.names, name)),
                f"weights {shown(self.weights)} are not {word}:{source.example if source else ''}",
            ),
            (
                not row.by_weights or word in row.sources,
                f"family {self.family!r} needs weights that name its net, "
                f"{' or '.join(f'{s}:…' for s in row.sources)}, got {shown(self.weights)}",
            ),
            (
                source is None
                or not source.published
                or (word in row.sources and (source.of_plain or row.one_net or not self.plain)),
                f"{word} has no weights of {self.family} {'plain' if self.plain else self.shortcut}-{self.depth}",
            ),
            (
                not row.one_net or (self.plain and self.norm == "bn"),
                f"VGG-16 is one net: it takes no shortcut {self.shortcut!r} or norm {self.norm!r}",
            ),
            (self.shortcut in row.shortcuts, _other_word("shortcut", self.shortcut, row.shortcuts)),
            (self.norm in row.norms, _other_word("norm", self.norm, row.norms)),
            (row.fits(self.depth), f"depth {self.depth!r} is not one of: {row.depths}"),
        )

    def _check_own(self) -> None:
        """Raises SpecError where what is said of the user's code does not go with the family."""
        if not self.row.own:
            given = [name for name in ("build", "build_sha256", "label", "options") if getattr(self, name)]
            require("net", (not given, f"{', '.join(given)}: of nets of one's own alone: write {OWN}"))
            return
        taken = self.label in TAKEN
        require(
            "net",
            (
                bool(CODE.fullmatch(self.build) and SHA256.fullmatch(self.build_sha256)),
                f"build {shown(self.build)} and its SHA-256 are not those of a file of code: write {OWN}",
            ),
            (
                bool(LABEL.fullmatch(self.label)) and not taken,
                f"name {shown(self.label)} "
                + ("is that of nets of this suite" if taken else "must begin with a small letter and be of letters and")
                + (": take another" if taken else f" digits, as it stands in ids before a hyphen: write {OWN}"),
            ),
            (self.arguments is not None, f"options {shown(self.options)} are no JSON of names and values: write {OWN}"),
        )

    @property
    def arguments(self) -> dict[str, Any] | None:
        """What a net of the user's is built with beside depth and classes; None where `options` are no such JSON."""
        try:
            found = json.loads(self.options or "{}")
        except ValueError:
            return None
        named = isinstance(found, dict) and all(name.isidentifier() for name in found)
        return found if named and not {"depth", "classes"} & set(found) else None

    @property
    def row(self) -> Family:
        """What the suite knows of its family."""
        return FAMILIES[self.family]

    @property
    def start(self) -> Weights:
        """The weights that it starts from."""
        source, _, name = self.weights.partition(":")
        return Weights(source, name)

    @property
    def bottleneck(self) -> bool:
        """Whether its blocks are bottlenecks."""
        return 0 < self.row.bottleneck <= self.depth

    @property
    def plain(self) -> bool:
        """Whether the net has no shortcuts."""
        return self.shortcut == "none"

    @property
    def name(self) -> str:
        """The paper's name with the shortcut option: `plain-20`, `resnet-20-A`; without BN `resnet-20-A-nobn`.

        With published weights these come behind it: `resnet-50-B-torchvision.IMAGENET1K_V1`.
        """
        source = SOURCES[self.start.source]
        if source.short:
            weights = re.sub(source.names, source.short, self.start.name)
        else:
            weights = re.sub(r"[^A-Za-z0-9_.-]", ".", self.weights)
        if not self.depth:
            return weights
        row = self.row
        shortcut = f"{row.residual.word}-{self.depth}-{self.shortcut}"
        name = f"{self.label}-{self.depth}" if row.own else f"{row.plain}-{self.depth}" if self.plain else shortcut
        name = name if self.norm == "bn" else f"{name}-nobn"
        return f"{name}-{weights}" if weights else name
