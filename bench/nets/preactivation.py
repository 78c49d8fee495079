"""Pre-activation nets on CIFAR: batch norm and ReLU come before each convolution, and nothing behind the addition.

He et al. 2016, "Identity Mappings in Deep Residual Networks" (arXiv:1603.05027), Fig. 4(e), Section 5 and the authors'
github.com/KaimingHe/resnet-1k-layers. A unit is x + F(x), F being BN, ReLU, convolution, two or three times. The first
unit's first BN and ReLU come before both of its paths (Section 5), and so they do in the units whose shortcut changes
the dimensions (the authors' code): by option B a 1x1 convolution without BN. BN and ReLU follow the last unit.
"""

from functools import partial

from torch import Tensor, nn

from bench.nets.backbone import Stage
from bench.nets.batch_norm import BatchNorm2d, norm_relu
from bench.nets.resnet import ResNet, ZeroPadShortcut, block_channels, convolution
from bench.spec import Net


class Unit(nn.Module):
    """Arguments as of bench.nets.resnet.Block. shared: whether the shortcut takes the first activation, not x."""

    def __init__(
        self, c_in: int, width: int, stride: int, option: str, norm: str, kernels: tuple[int, ...], strided: int
    ) -> None:
        super().__init__()
        channels = block_channels(c_in, width, kernels)
        for k, kernel in enumerate(kernels):
            self.add_module(f"bn{k + 1}", BatchNorm2d(channels[k]))
            step = stride if k == strided else 1
            self.add_module(f"conv{k + 1}", convolution(channels[k], channels[k + 1], kernel, step, norm))
        self.depth = len(kernels)
        self.shared = stride != 1 or c_in != channels[-1]
        project = partial(convolution, kernel=1, norm=norm) if option == "B" else ZeroPadShortcut
        self.downsample = project(c_in, channels[-1], stride=stride) if self.shared else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, H, W) to (N, width or 4 width, H/stride, W/stride)."""
        y = x
        for k in range(1, self.depth + 1):
            y = norm_relu(getattr(self, f"bn{k}"), y)
            x = y if k == 1 and self.shared else x
            y = getattr(self, f"conv{k}")(y)
        added: Tensor = self.downsample(x) + y
        return added


class PreActivationNet(ResNet):
    """A convolution, stages of units, BN, ReLU, global average pool, classifier."""

    block = Unit
    response = "conv"  # BN comes before the convolution, so that a layer's response is the convolution's own output

    def __init__(self, net: Net, classes: int) -> None:
        super().__init__(net, classes)
        next(m for m in self.modules() if isinstance(m, Unit)).shared = True

    def add_norm(self, _first: int, last: int, _norm: str) -> None:
        """The BN behind the last unit."""
        self.bn = BatchNorm2d(last)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) images to the last stage's map behind its BN and ReLU."""
        x = self.conv1(x)
        for layer in self.layers():
            x = layer(x)
        return norm_relu(self.bn, x)

    def stages(self) -> list[Stage]:
        """What `forward_features` does, cut where the stride grows; the last BN and ReLU belong to the last stage."""
        first, *others, last = self.layers()
        layers = (nn.Sequential(self.conv1, first), *others, nn.Sequential(last, self.bn, nn.ReLU()))
        return [Stage(layer, *output) for layer, output in zip(layers, self.outputs, strict=True)]
