"""Where the weights come from that a net starts with, a row each: what the suite has to know of a source, it asks here.

To add one, add a row, and the functions that it names as "module:function", which are imported when they are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from bench.spec.words import Row


class Weights(NamedTuple):
    """What `Net.weights` says as one text, "source:name"; both "" for random weights."""

    source: str
    name: str


@dataclass(frozen=True, slots=True)
class Source(Row):
    """Weights of one origin, under the word that stands before the colon of Net.weights.

    Functions of (net, job), see bench.tasks.weights. file: finds the file of the weights. pixels: what they expect of
    an image; "" for ImageNet's mean and deviation, or the family's mean. error: the classification error of the net
    with them; "" where nobody says it.
    stride_in: which convolution of a bottleneck had the stride where they were trained; "" for either. With the other
    they would load, and be wrong. words: how pages call the weights, with the source and the sweep of its run.
    """

    name: str
    file: str = ""
    pixels: str = ""
    error: str = ""
    stride_in: str = ""
    words: str = "{source}'s weights"


ROWS = (
    Source(""),
    Source(
        "torchvision",
        file="bench.tasks.weights:torchvision_file",
        error="bench.tasks.weights:torchvision_error",
        stride_in="3x3",
    ),
    Source("timm", file="bench.tasks.weights:timm_file", pixels="bench.tasks.weights:timm_pixels"),
    Source("file", file="bench.tasks.weights:local_file", stride_in="3x3"),
    Source(
        "run",
        file="bench.tasks.weights:run_file",
        pixels="bench.tasks.weights:run_pixels",
        error="bench.tasks.weights:run_error",
        words="weights of {sweep}",
    ),
)
SOURCES: Mapping[str, Source] = MappingProxyType({row.name: row for row in ROWS})
