"""Parameters and multiply-adds of the paper's nets by arithmetic: no torch, so that plans and reports can ask.

Multiply-adds are those of convolutions and the classifier at 32x32 (CIFAR) or 224x224 (ImageNet), as the paper
counts its "FLOPs" (Table 1). A test holds them against the built nets and the published counts, to the unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.spec import Net, Run

IMAGENET_BLOCKS = {
    18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution: channels, kernel side, side of its output in pixels, and whether it is a shortcut's projection."""

    c_in: int
    c_out: int
    kernel: int
    side: int
    projects: bool = False

    @property
    def weights(self) -> int:
        """Entries of the kernel."""
        return self.c_in * self.c_out * self.kernel**2


def _block(net: Net, c_in: int, width: int, stride: int, side: int) -> Iterator[Conv]:
    c_out = 4 * width if net.bottleneck else width
    if net.bottleneck:
        yield Conv(c_in, width, 1, side if net.stride_in == "1x1" else side * stride)
        yield Conv(width, width, 3, side)
        yield Conv(width, c_out, 1, side)
    else:
        yield Conv(c_in, width, 3, side)
        yield Conv(width, width, 3, side)
    if net.shortcut == "C" or (net.shortcut == "B" and (stride != 1 or c_in != c_out)):
        yield Conv(c_in, c_out, 1, side, projects=True)


Layout = tuple[Conv, list[tuple[int, int, int]], int]  # the stem, (blocks, width, side) a stage, and the classes


def cifar_layout(net: Net, side: int, classes: int) -> Layout:
    """Section 4.2's nets: 6n+2 layers, or 9n+2 where the blocks are bottlenecks.

    side, classes: of the input in pixels and of the classifier; 0 for the paper's.
    """
    n, side = (net.depth - 2) // (9 if net.bottleneck else 6), side or 32
    return Conv(3, 16, 3, side), list(zip((n, n, n), (16, 32, 64), _halved(side, 2), strict=True)), classes or 10


def imagenet_layout(net: Net, side: int, classes: int) -> Layout:
    """Table 1's nets; else as `cifar_layout`."""
    sides = _halved(side or 224, 5)
    widths = zip(IMAGENET_BLOCKS[net.depth], (64, 128, 256, 512), sides[2:], strict=True)
    return Conv(3, 64, 7, sides[1]), list(widths), classes or 1000


def _halved(side: int, times: int) -> list[int]:
    """The sides of the maps as strides of 2 halve them, rounded up as padded convolutions do."""
    sides = [side]
    for _ in range(times):
        sides.append(-(-sides[-1] // 2))
    return sides


def convolutions(net: Net, side: int = 0, classes: int = 0) -> tuple[list[Conv], int, int]:
    """Every convolution of `net`, the features before the classifier, and the classes."""
    stem, parts, outputs = net.row.resolve("layout")(net, side, classes)
    convs, c_in = [stem], stem.c_out
    for stage, (blocks, width, map_side) in enumerate(parts):
        for k in range(blocks):
            convs += _block(net, c_in, width, 2 if k == 0 and stage > 0 else 1, map_side)
            c_in = 4 * width if net.bottleneck else width
    return convs, c_in, outputs


def parameters(net: Net, classes: int = 0) -> int:
    """All trained parameters: convolutions, BN weights and biases (or the biases without BN), classifier."""
    convs, features, outputs = convolutions(net, classes=classes)
    a_channel = 2 if net.norm == "bn" else 1
    behind = sum(c.c_out for c in convs)  # channels that have a BN (or a bias); first: one BN is behind the last block
    first = sum(c.c_in for c in convs[1:] if not c.projects) + features
    channels = first if net.row.norm_first else behind
    return sum(c.weights for c in convs) + a_channel * channels + (features + 1) * outputs


def multiply_adds(net: Net, side: int = 0, classes: int = 0) -> int:
    """Multiply-adds of one image forward, convolutions and classifier."""
    convs, features, outputs = convolutions(net, side, classes)
    return sum(c.weights * c.side**2 for c in convs) + features * outputs


def activations(net: Net, side: int = 0) -> int:
    """Values in the outputs of all convolutions for one image: what training keeps for the backward pass, at least."""
    return sum(c.c_out * c.side**2 for c in convolutions(net, side)[0])


def parameters_of(run: Run, classes: int = 0) -> int:
    """Parameters of the run's net with its classifier; 0 where only the module tells them.

    So of a part of another net, of a task of one's own, where the data tell the number of classes and `classes` does
    not, and of given weights on a part of a data set: they may tell more classes apart than there are.
    """
    task, outputs = run.task_row, run.dataset.classes or classes
    itself = not task.backbone and not run.own_task and (task.trains or not run.dataset.replaces)
    return parameters(run.net, outputs) if run.net.row.layout and outputs and itself else 0


def multiply_adds_of(run: Run, classes: int = 0) -> int:
    """Multiply-adds of one of the run's images forward; of an embedder or a detector those of its backbone.

    A detector's image counts as a square of its shorter side, and a backbone with ten outputs; so does a classifier
    where the data tell the number of classes, and `classes` does not. 0 for VGG-16 and timm's nets.
    """
    return multiply_adds(run.net, run.recipe.side, run.dataset.classes or classes or 10) if run.net.row.layout else 0


VGG_BLOCKS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def vgg_convolutions(depth: int) -> list[Conv]:
    """The 3x3 convolutions of VGG-16 or VGG-19, with which Section 3.3 and 4.1 compare the cost of the nets."""
    convs, c_in = [], 3
    for blocks, width, side in zip(VGG_BLOCKS[depth], (64, 128, 256, 512, 512), (224, 112, 56, 28, 14), strict=True):
        for _ in range(blocks):
            convs.append(Conv(c_in, width, 3, side))
            c_in = width
    return convs


def vgg_multiply_adds(depth: int, *, classifier: bool) -> int:
    """Multiply-adds of VGG's convolutions, and of its three fully connected layers where `classifier`."""
    dense = 7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 1000
    return sum(c.weights * c.side**2 for c in vgg_convolutions(depth)) + dense * classifier
