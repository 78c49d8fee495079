"""The families of nets, and the sources of weights that nets start from, a row each: who has to know of one asks here.

To add one, add a row, and the functions that it names as "module:function", which are imported when they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from bench.spec.words import NORMS, OWN_SHORTCUT, SHORTCUTS, Row

IMAGENET_DEPTHS = (18, 34, 50, 101, 152)


def _six_n_plus_two(depth: int) -> bool:
    return depth >= 8 and depth % 6 == 2


@dataclass(frozen=True, slots=True)
class Kind:
    """What a family's nets with shortcuts are called.

    word: first in names and ids, without hyphens. title: on pages, before the depth. nets: all of them, in words; pages
    draw the nets of one such word as one line over depth.
    """

    word: str
    title: str
    nets: str


RESIDUAL = Kind("resnet", "ResNet", "residual")


@dataclass(frozen=True, slots=True)
class Family(Row):
    """Nets of one kind under the name that Net.family gives.

    title: on pages, whose nets they are. fits: whether there is a net of that depth; depths: which there are, in words.
    module: the class of its nets, (net, classes), where bench.nets.resnet makes them.
    build: makes the net with a classifier of so many classes. backbone: cuts it into stages, features: makes it without
    its classifier, see bench.nets.backbone; all with the weights of a file, None for none (timm's own of timm's nets).
    check: refuses a net of the user's whose number would mean nothing; "" where there is nothing to check.
    layout: its convolutions by arithmetic, see bench.nets.counts, "" where nobody counts them.
    sources: of published weights that there are of it. by_weights: whether weights of these say which net it is.
    residual: how its nets with shortcuts are called. plain: how those without are named.
    own: whether its nets are the user's, each with code, label and random numbers of its own.
    takes_kernels: whether its batch norms go by groups, and its step may be a CUDA graph.
    one_net: whether it is one net, without choices. shortcuts, norms: which choices there are.
    norm_first: whether BN comes before each convolution in place of behind it, for bench.nets.counts.
    mean: what its nets, once trained by this suite, expect to be subtracted of images in [0, 1]; () for another way.
    bottleneck: the depth from which on its blocks are bottlenecks, whose stride may be in either of two convolutions; 0
    for no such depth.
    printed: the depths that its papers have and reports/nets.md lists.
    tasks: what alone it is there for; () for all.
    """

    name: str
    title: str
    fits: Callable[[int], bool]
    depths: str
    module: str = ""
    build: str = ""
    check: str = ""
    backbone: str = ""
    features: str = ""
    layout: str = ""
    sources: tuple[str, ...] = ()
    by_weights: bool = False
    residual: Kind = RESIDUAL
    plain: str = "plain"
    own: bool = False
    takes_kernels: bool = False
    one_net: bool = False
    shortcuts: tuple[str, ...] = SHORTCUTS
    norms: tuple[str, ...] = NORMS
    norm_first: bool = False
    mean: tuple[float, ...] = ()
    bottleneck: int = 0
    printed: tuple[int, ...] = ()
    tasks: tuple[str, ...] = ()


CIFAR_MEAN = (0.4914, 0.4822, 0.4465)


def _ours(name: str, title: str, *, module: str = "bench.nets.resnet:ResNet", layout: str, **others: Any) -> Family:
    """A family of the suite's own residual nets: bench.nets.resnet has their functions, whatever the class is."""
    functions: dict[str, Any] = {what: f"bench.nets.resnet:{what}" for what in ("build", "backbone", "features")}
    layout = f"bench.nets.counts:{layout}"
    return Family(name, title, module=module, layout=layout, takes_kernels=True, **functions, **others)


ROWS = (
    _ours(
        "cifar",
        "CIFAR-10",
        fits=_six_n_plus_two,
        depths="6n+2 with n >= 1, such as 20, 32, 44, 56, 110, 1202",
        layout="cifar_layout",
        sources=("pytorch-cifar",),
        mean=CIFAR_MEAN,
        printed=(20, 32, 44, 56, 110, 1202),
    ),
    _ours(
        "bottleneck",
        "CIFAR-10, bottlenecks",
        fits=lambda depth: depth >= 11 and depth % 9 == 2,
        depths="9n+2 with n >= 1, such as 164, 1001",
        layout="cifar_layout",
        residual=Kind("bottleneck", "bottleneck ResNet", "residual"),
        shortcuts=("A", "B", "C"),
        mean=CIFAR_MEAN,
        bottleneck=1,
        printed=(164, 1001),
    ),
    _ours(
        "imagenet",
        "ImageNet",
        fits=lambda depth: depth in IMAGENET_DEPTHS,
        depths=", ".join(map(str, IMAGENET_DEPTHS)),
        layout="imagenet_layout",
        sources=("torchvision",),
        bottleneck=50,
        printed=IMAGENET_DEPTHS,
    ),
    _ours(
        "preactivation",
        "CIFAR-10, pre-activation",
        fits=lambda depth: depth >= 8 and depth % (6 if depth < 164 else 9) == 2,
        depths="6n+2 below 164, such as 110, and from there on 9n+2, such as 164, 1001, whose units are bottlenecks",
        module="bench.nets.preactivation:PreActivationNet",
        layout="cifar_layout",
        residual=Kind("preactivation", "pre-activation ResNet", "pre-activation"),
        shortcuts=("A", "B"),
        norms=("bn",),
        norm_first=True,
        mean=CIFAR_MEAN,
        bottleneck=164,
        printed=(110, 164, 1001),
    ),
    Family(
        "vgg",
        "VGG",
        fits=lambda depth: depth == 16,
        depths="16",
        backbone="bench.nets.vgg:backbone",
        sources=("torchvision",),
        plain="vgg",
        one_net=True,
        tasks=("detect",),
    ),
    Family(
        "timm",
        "timm",
        fits=lambda depth: depth == 0,
        depths="0 (timm's name says it)",
        build="bench.nets.timm_nets:build",
        backbone="bench.nets.timm_nets:backbone",
        features="bench.nets.timm_nets:features",
        sources=("timm",),
        by_weights=True,
    ),
    Family(
        "own",
        "own nets",
        fits=lambda depth: depth >= 1,
        depths="1 or more",
        build="bench.nets.own:build",
        check="bench.nets.own:check",
        backbone="bench.nets.own:backbone",
        features="bench.nets.own:features",
        own=True,
        shortcuts=(OWN_SHORTCUT,),
    ),
)
FAMILIES: Mapping[str, Family] = MappingProxyType({row.name: row for row in ROWS})


class Weights(NamedTuple):
    """What `Net.weights` says as one text, "source:name"; both "" for random weights."""

    source: str
    name: str


@dataclass(frozen=True, slots=True)
class Source(Row):
    """Weights of one origin, under the word that stands before the colon of Net.weights.

    names: what may stand behind it, as a regular expression; example: of one that may. short: how the names of nets say
    it, by groups of `names`; "" for all of it. published: whether only families that name it have such weights, and
    of_plain whether their plain nets have, too.
    Functions of (net, job), see bench.tasks.weights. file: finds the file of the weights. pixels: what they expect of
    an image; "" for ImageNet's mean and deviation, or the family's mean. error: the classification error of the net
    with them; "" where nobody says it. digest: the SHA-256 of the weights; "" for that of their file.
    stride_in: which convolution of a bottleneck had the stride where they were trained; "" for either. With the other
    they would load, and be wrong. outputs: how many classes they tell apart, 0 where their file says. trained: the run
    of this suite that made them; "" for weights from elsewhere. words: how pages call the weights, with the source and
    the sweep of its run.
    """

    name: str
    file: str = ""
    pixels: str = ""
    error: str = ""
    digest: str = ""
    stride_in: str = ""
    outputs: int = 0
    trained: str = ""
    layout: str = ""
    words: str = "{source}'s weights"
    names: str = r".+"
    example: str = "NAME, as in file:mine.pth"
    short: str = ""
    published: bool = False
    of_plain: bool = True


SOURCE_ROWS = (
    Source("", names=""),
    Source(
        "torchvision",
        file="bench.tasks.weights:torchvision_file",
        error="bench.tasks.weights:torchvision_error",
        stride_in="3x3",
        outputs=1000,
        published=True,
        of_plain=False,
    ),
    Source("timm", file="bench.tasks.weights:timm_file", pixels="bench.tasks.weights:timm_pixels", published=True),
    Source("file", file="bench.tasks.weights:local_file", stride_in="3x3"),
    Source(
        "pytorch-cifar",
        file="bench.tasks.weights:local_file",
        pixels="bench.tasks.weights:imagenet_pixels",
        layout="bench.nets.convert:pytorch_cifar",
        published=True,
        of_plain=False,
    ),
    Source(
        "run",
        file="bench.tasks.weights:run_file",
        pixels="bench.tasks.weights:run_pixels",
        error="bench.tasks.weights:run_error",
        digest="bench.tasks.weights:run_digest",
        trained="bench.tasks.weights:run_trained",
        words="weights of {sweep}",
        names=r"([^/]+)/[^/]+-(?:paper|short|quick)-s\d+-([0-9a-f]{8})",
        example="SWEEP/RUN, as in run:plain_vs_residual/resnet-20-A-quick-s0-811fdd6d",
        short=r"run.\1.\2",
    ),
)
SOURCES: Mapping[str, Source] = MappingProxyType({row.name: row for row in SOURCE_ROWS})
