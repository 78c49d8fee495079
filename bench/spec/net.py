"""Net: one of the paper's nets, or one of timm."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from bench.spec.advice import nearest, shown
from bench.spec.declare import declaration, one_of
from bench.spec.families import FAMILIES, SOURCES, Family, Weights
from bench.spec.words import require


def _other_word(name: str, given: str, words: Iterable[str]) -> str:
    near = nearest(given, words)
    return f"{name} {shown(given)} is not one of: {', '.join(words)}" + (f": write {near!r}" if near else "")


@declaration
class Net:
    """One of the paper's nets.

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
    """

    family: Annotated[str, Field(examples=['"cifar"'])]
    depth: Annotated[int, Field(examples=["20"])]
    shortcut: Annotated[str, Field(examples=['"A"'])]
    stride_in: Annotated[str, one_of("1x1", "3x3")] = "1x1"
    norm: str = "bn"
    weights: Annotated[str, Field(examples=['"torchvision:IMAGENET1K_V1"'])] = ""

    def __post_init__(self) -> None:
        require("net", (self.family in FAMILIES, _other_word("family", self.family, FAMILIES)))
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
        name = f"{row.plain}-{self.depth}" if self.plain else f"{row.residual.word}-{self.depth}-{self.shortcut}"
        name = name if self.norm == "bn" else f"{name}-nobn"
        return f"{name}-{weights}" if weights else name
