"""The paper's nets, plain and residual: CIFAR-10 (Section 4.2) and ImageNet (Table 1, Section 3.3).

Batch norm follows each convolution and comes before the activation (Section 3.4). Convolutions and the
classifier start from He et al. 2015 [13]: normal with variance 2 / fan-in (the forward case, its Eq. 10, and the
default of the authors' framework), biases from zero; batch norm from weight 1, bias 0.
With norm "none" each convolution has a bias in place of BN, as in VGG [41] and the nets of [13]. From one seed such a
net starts from the same kernels as its twin with BN. Parameter names are torchvision's (`layer1.0.conv1.weight`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.nets.backbone import Backbone, Features, Stage
from bench.nets.batch_norm import BatchNorm2d, norm_relu
from bench.nets.weights import CLASSIFIERS, OURS, Stored, WeightsError, load, read_weights
from bench.spec import SOURCES, Net

SIDE = 32  # of an image in pixels, that every stride of the nets divides: a map's side says its reduction


def convolution(c_in: int, c_out: int, kernel: int, stride: int, norm: str) -> nn.Conv2d:
    """A convolution that keeps the size but for its stride; with a bias where no BN follows it."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
    if norm == "none":
        # not by bias=True, which draws random numbers: kernels of later layers would differ from those beside BN
        conv.bias = nn.Parameter(torch.zeros(c_out))
    return conv


def _norm(channels: int, norm: str) -> nn.Module:
    """Follows a convolution; its output is the layer's response (Fig. 7)."""
    return BatchNorm2d(channels) if norm == "bn" else nn.Identity()


class ZeroPadShortcut(nn.Module):
    """Option A: every second pixel, and zeros as the added channels at the end. No parameters."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.added, self.stride = c_out - c_in, stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, H, W) to (N, c_out, H/stride, W/stride)."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))


def _shortcut(option: str, c_in: int, c_out: int, stride: int, norm: str) -> nn.Module | None:
    """The shortcut of one block by the paper's options, a projection being 1x1, BN; None for a plain net."""
    changes = stride != 1 or c_in != c_out
    if option == "none":
        return None
    if option == "C" or (option == "B" and changes):
        return nn.Sequential(convolution(c_in, c_out, 1, stride, norm), _norm(c_out, norm))
    return ZeroPadShortcut(c_in, c_out, stride) if changes else nn.Identity()


class Block(nn.Module):
    """Convolutions, each with BN and ReLU, the shortcut of x (none in a plain net) added before the last ReLU. Fig. 5.

    kernels: (3, 3), or (1, 3, 1) of a bottleneck, whose last convolution has 4 `width` channels. strided: the place of
    the one with the block's stride: a bottleneck's first, as the authors published it and as Table 1 counts it, or its
    second, as torchvision has it.
    """

    def __init__(
        self, c_in: int, width: int, stride: int, option: str, norm: str, kernels: tuple[int, ...], strided: int
    ) -> None:
        super().__init__()
        channels = block_channels(c_in, width, kernels)
        for k, kernel in enumerate(kernels):
            step = stride if k == strided else 1
            self.add_module(f"conv{k + 1}", convolution(channels[k], channels[k + 1], kernel, step, norm))
            self.add_module(f"bn{k + 1}", _norm(channels[k + 1], norm))
        self.depth = len(kernels)
        self.downsample = _shortcut(option, c_in, channels[-1], stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, H, W) to (N, width or 4 width, H/stride, W/stride)."""
        y = x
        for k in range(1, self.depth):
            y = norm_relu(getattr(self, f"bn{k}"), getattr(self, f"conv{k}")(y))
        y = getattr(self, f"conv{self.depth}")(y)
        shortcut = None if self.downsample is None else self.downsample(x)
        return norm_relu(getattr(self, f"bn{self.depth}"), y, shortcut)


def block_channels(c_in: int, width: int, kernels: tuple[int, ...]) -> tuple[int, ...]:
    """The channels before, between and behind the convolutions of a block."""
    return (c_in, *(width for _ in kernels[1:]), width if len(kernels) == 2 else 4 * width)


class ResNet(nn.Module):
    """A net of Section 4.2 (family "cifar") or of Table 1 ("imagenet"), plain or residual, as bench.nets.counts has it.

    A convolution (in Table 1's nets a pooling after it), stages of blocks, of which all but the first halve the map,
    global average pool, classifier. classes: 0 for the paper's number.
    """

    block: Callable[..., nn.Module] = Block
    response = "bn"  # which module beside each convolution gives out its response: what bench.train.probes looks at

    def __init__(self, net: Net, classes: int) -> None:
        super().__init__()
        stem, parts, outputs = net.row.resolve("layout")(net, SIDE, classes)
        kernels, k = ((1, 3, 1), 4) if net.bottleneck else ((3, 3), 1)
        shape = {"norm": net.norm, "kernels": kernels, "strided": int(net.bottleneck and net.stride_in == "3x3")}
        block = partial(type(self).block, option=net.shortcut, **shape)
        self.pooled = parts[0][2] < stem.side
        self.outputs = [(k * width, SIDE // side) for _, width, side in parts]
        if self.pooled:
            self.outputs.insert(0, (stem.c_out, SIDE // stem.side))
        self.conv1 = convolution(3, stem.c_out, stem.kernel, SIDE // stem.side, net.norm)
        self.add_norm(stem.c_out, k * parts[-1][1], net.norm)
        c_in = stem.c_out
        for number, (blocks, width, _) in enumerate(parts, 1):
            first = block(c_in, width, 1 if number == 1 else 2)
            others = (block(k * width, width, 1) for _ in range(blocks - 1))
            self.add_module(f"layer{number}", nn.Sequential(first, *others))
            c_in = k * width
        self.fc = nn.Linear(c_in, outputs)
        he_init(self)

    def add_norm(self, first: int, _last: int, norm: str) -> None:
        """The BN outside the blocks, by the channels behind the first convolution and behind the last block."""
        self.bn1 = _norm(first, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) images, mean subtracted, to (N, classes) logits; H = W = 32 or 224 in the paper's training."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) images to the last stage's map: (N, 64, H/4, W/4), or (N, 512 or 2048, H/32, W/32)."""
        x = norm_relu(self.bn1, self.conv1(x))
        if self.pooled:
            x = F.max_pool2d(x, 3, 2, 1)
        for layer in self.layers():
            x = layer(x)
        return x

    def forward_head(self, x: Tensor) -> Tensor:
        """Pools a map globally and classifies it: (N, C, h, w) to (N, classes) logits. timm's name for it."""
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits

    def stages(self) -> list[Stage]:
        """What `forward_features` does, cut where the stride grows: conv1 to conv5_x, or the three of a CIFAR net."""
        first, *others = self.layers()
        stem = (self.conv1, self.bn1, nn.ReLU())
        cuts = ((*stem,), (nn.MaxPool2d(3, 2, 1), first)) if self.pooled else ((*stem, first),)
        layers = (*(nn.Sequential(*cut) for cut in cuts), *others)  # not nested further: checkpoints have these names
        return [Stage(layer, *output) for layer, output in zip(layers, self.outputs, strict=True)]

    def layers(self) -> list[nn.Module]:
        """The stages of blocks, in their order."""
        return [layer for name, layer in self.named_children() if name.startswith("layer")]


def he_init(net: nn.Module) -> None:
    """He initialisation of every convolution and linear layer, from torch's global generator."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def build(net: Net, classes: int, file: Path | None = None, without: tuple[str, ...] = ()) -> ResNet:
    """The net with a classifier of so many classes (0: the paper's) and the weights of a file. Raises WeightsError.

    without: how the names of what is not loaded begin.
    """
    built: ResNet = net.row.resolve("module")(net, classes)
    if file is not None:
        found, source = read_weights(file), SOURCES[net.start.source]
        _refuse_other(net, found, file)
        load(built, found, f"{net.name} ({file})", without, source.resolve("layout")(net) if source.layout else OURS)
    return built


def _refuse_other(net: Net, found: Stored, file: Path) -> None:
    """Raises WeightsError for weights that would load and be another net's: their names and shapes are the same."""
    source, of_net = SOURCES[net.start.source], replace(net, weights="").name
    if found.run is None:
        if net.shortcut == "A" and not source.layout:
            also = [f"weights='{one}:{file.name}'" for one in net.row.sources if SOURCES[one].layout]
            raise WeightsError(
                f"{file} does not say where its option A puts the zeros, at the end as this suite does or on both "
                "sides as the common PyTorch layout does: the weights would load, and may be wrong. Give a checkpoint "
                f"of this suite{''.join(f', or of the common layout {word}' for word in also)}"
            )
        return
    if found.run and not found.run.startswith(f"{of_net}-"):
        raise WeightsError(f"{file} is of the run {found.run}, which trained another net than {of_net}")
    if source.layout:
        raise WeightsError(f"{file} is a checkpoint of this suite, in its own layout: give it as weights='file:…'")
    if source.stride_in and (net.bottleneck or not net.row.mean):
        raise WeightsError(
            f"{file} is a checkpoint of this suite, which does not say where its stride is and what pixels it expects; "
            f"its run does: give weights='run:SWEEP/{found.run or 'RUN'}'"
        )


def backbone(net: Net, file: Path | None = None) -> Backbone:
    """The net in stages, with the weights of a file but for its classifier. Raises WeightsError."""
    return Backbone(build(net, 0, file, CLASSIFIERS).stages())


def features(net: Net, file: Path | None = None, _side: int = 0) -> Features:
    """The net without its classifier, with the weights of a file. Raises WeightsError."""
    built = build(net, 0, file, CLASSIFIERS)
    built.fc = None  # type: ignore[assignment]  # no parameters of a classifier that is not asked
    return Features(built)


def cifar(depth: int, shortcut: str, norm: str = "bn") -> ResNet:
    """The CIFAR-10 net of `depth` = 6n+2 weighted layers (Section 4.2). Arguments as of Net. Raises SpecError."""
    return ResNet(Net("cifar", depth, shortcut, norm=norm), 10)


def imagenet(depth: int, shortcut: str, stride_in: str = "1x1", norm: str = "bn", classes: int = 1000) -> ResNet:
    """The ImageNet net of 18, 34, 50, 101 or 152 layers (Table 1). Arguments as of Net. Raises SpecError."""
    return ResNet(Net("imagenet", depth, shortcut, stride_in, norm), classes)
