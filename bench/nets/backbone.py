"""Backbones: a classification net as a row of stages, each with its channels and its stride (Appendix A).

The paper's own nets, VGG-16 and every net that timm can cut into stages. Batch norm is fixed unless asked otherwise:
its statistics and its affine terms are constants of the detector ("the BN layers become linear activations").
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import timm
import torchvision
from timm.layers import freeze_batch_norm_2d
from timm.models import FeatureListNet
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from bench.nets.resnet import CifarNet, ImageNetNet, cifar, imagenet
from bench.nets.weights import CIFAR, IMAGENET, Pixels, load_weights, read_weights, source_of
from bench.spec import Net

VGG16_ENDS = (4, 9, 16, 23, 30)  # after conv1_2, 2_2, 3_3, 4_3, 5_3 and their ReLUs; the last pool is the RoI's


class Backbone(nn.Module):
    """Stages in a row. `channels` and `reductions`: of each stage's output; `pixels`: what its weights expect.

    top: what works on each region in place of a last stage, with its output's size: VGG's fc6 and fc7; else None.
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        channels: Sequence[int],
        reductions: Sequence[int],
        pixels: Pixels,
        top: tuple[nn.Module, int] | None = None,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.channels, self.reductions, self.pixels = tuple(channels), tuple(reductions), pixels
        self.top: nn.Module | None = top[0] if top else None
        self.top_channels = top[1] if top else 0

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """(N, 3, H, W) to each stage's (N, channels, H/reduction, W/reduction), by its number from "0"."""
        outputs: OrderedDict[str, Tensor] = OrderedDict()
        for number, stage in enumerate(self.stages):
            x = stage(x)
            outputs[str(number)] = x
        return outputs


def fix_batch_norm(net: nn.Module, batches: Iterable[Tensor] | None = None) -> nn.Module:
    """`net` with every batch norm as the constant affine map that it is in evaluation: no training changes a bit.

    batches: of (N, 3, H, W) inputs, over which the statistics are first computed anew, as true averages (Appendix A:
    "for each pre-trained model, on the ImageNet training set"). Without weights and without batches the map is the
    identity, and a deep net's values double with each block: then give batches.
    """
    if batches is not None:
        update_bn(batches, net)
    fixed: nn.Module = freeze_batch_norm_2d(net)
    return fixed


def of_cifar(depth: int, shortcut: str, weights: Path | None = None, *, fix_bn: bool = True) -> Backbone:
    """The paper's CIFAR net: 16, 32 and 64 channels at strides 1, 2 and 4 (Section 4.2).

    weights: a checkpoint of this suite. Raises ValueError where it is not of this net.
    """
    net = cifar(depth, shortcut)
    if weights is not None:
        load_weights(net, read_weights(weights), f"resnet-{depth}-{shortcut}")
    stages = [nn.Sequential(*_stem(net), net.layer1), net.layer2, net.layer3]
    return _finished(Backbone(stages, (16, 32, 64), (1, 2, 4), CIFAR), fix_bn)


def of_imagenet(
    depth: int,
    shortcut: str,
    weights: Path | None = None,
    *,
    source: str = "torchvision",
    stride_in: str = "1x1",
    fix_bn: bool = True,
) -> Backbone:
    """The paper's ImageNet net: conv1 to conv5_x at strides 2, 4, 8, 16 and 32 (Table 1).

    source: who trained the weights, one of bench.nets.weights.SOURCES; it decides the pixels.
    Raises ValueError where the weights are of another net or have the stride elsewhere than `stride_in`.
    """
    net = imagenet(depth, shortcut, stride_in)
    pixels = IMAGENET
    if weights is not None:
        trained = source_of(source, stride_in, bottleneck=depth >= 50)
        load_weights(net, read_weights(weights), f"resnet-{depth}-{shortcut}", bgr=trained.bgr)
        pixels = trained.pixels
    k = 1 if depth < 50 else 4
    pool = nn.MaxPool2d(3, 2, 1)
    stages = [nn.Sequential(*_stem(net)), nn.Sequential(pool, net.layer1), net.layer2, net.layer3, net.layer4]
    return _finished(Backbone(stages, (64, 64 * k, 128 * k, 256 * k, 512 * k), (2, 4, 8, 16, 32), pixels), fix_bn)


def _stem(net: CifarNet | ImageNetNet) -> tuple[nn.Module, ...]:
    return net.conv1, net.bn1, nn.ReLU()


def vgg16(weights: Path | None = None, *, source: str = "torchvision") -> Backbone:
    """VGG-16 [41] to conv5_3 at stride 16, with fc6 and fc7 as the top: Faster R-CNN's own net.

    conv1 and conv2 stay as they were trained, as in Faster R-CNN. weights: a file with torchvision's names, the
    classifier's included. Raises ValueError.
    """
    net = torchvision.models.vgg16()
    pixels = IMAGENET
    if weights is not None:
        trained = source_of(source, "", bottleneck=False)
        state = read_weights(weights)
        fc = {
            n.replace("classifier.", "fc_"): v for n, v in state.items() if n[:12] in ("classifier.0", "classifier.3")
        }
        convolutions = {n: v for n, v in state.items() if n.startswith("features.")}
        named = nn.ModuleDict({"features": net.features, "fc_0": net.classifier[0], "fc_3": net.classifier[3]})
        load_weights(named, convolutions | fc, "VGG-16", bgr=trained.bgr)
        pixels = trained.pixels
    stages = [net.features[start:end] for start, end in pairwise((0, *VGG16_ENDS))]
    for stage in stages[:2]:
        stage.requires_grad_(False)
    top = nn.Sequential(nn.Flatten(), *net.classifier[:6])
    return Backbone(stages, (64, 128, 256, 512, 512), (1, 2, 4, 8, 16), pixels, (top, 4096))


def of_timm(name: str, weights: Path | None = None, *, fix_bn: bool = True, pretrained: bool = False) -> Backbone:
    """Any net of timm that is a row of stages; channels, strides and pixels are what timm says of it.

    weights: a state dict file with timm's names. pretrained: those that timm publishes, where there is no file.
    timm's ResNets have a bottleneck's stride in the 3x3, as torchvision's.
    Raises ValueError where timm has no such net, or cannot cut it into stages.
    """
    if not timm.is_model(name.partition(".")[0]):
        close = timm.list_models(f"{name[:8]}*")[:5]
        raise ValueError(f"timm has no net {name!r}; {'close to it: ' + ', '.join(close) if close else 'see its list'}")
    net: Any = _timm_stages(name, pretrained=pretrained and weights is None)
    if weights is not None:
        load_weights(net, read_weights(weights), name)
    pixels = Pixels(tuple(net.pretrained_cfg["mean"]), tuple(net.pretrained_cfg["std"]))
    info = net.feature_info
    ends = [list(net).index(module.replace(".", "_")) + 1 for module in info.module_name()]
    layers = list(net.values())
    stages = [nn.Sequential(*layers[start:end]) for start, end in pairwise((0, *ends))]
    return _finished(Backbone(stages, info.channels(), info.reduction(), pixels), fix_bn)


def _timm_stages(name: str, *, pretrained: bool) -> Any:
    """timm's net as a list of layers that it runs in a row."""
    try:
        net: Any = timm.create_model(name, features_only=True, pretrained=pretrained)
    except OSError as error:  # the hub's and the network's
        raise ValueError(f"timm cannot get the weights of {name} ({str(error).splitlines()[0]})") from None
    except RuntimeError:  # timm's word for a net without features
        net = None
    if isinstance(net, FeatureListNet):
        return net
    raise ValueError(f"timm's {name} is no row of stages: give a convolutional net such as resnet50")


def _finished(backbone: Backbone, fix_bn: bool) -> Backbone:
    if fix_bn:
        fix_batch_norm(backbone)
    return backbone


# what a row of bench.spec.families names as `backbone`: weights is a file or None; source, who trained ours


def cifar_backbone(net: Net, weights: Path | None, *, source: str, fix_bn: bool) -> Backbone:  # noqa: ARG001
    """See of_cifar."""
    return of_cifar(net.depth, net.shortcut, weights, fix_bn=fix_bn)


def imagenet_backbone(net: Net, weights: Path | None, *, source: str, fix_bn: bool) -> Backbone:
    """See of_imagenet."""
    return of_imagenet(net.depth, net.shortcut, weights, source=source, stride_in=net.stride_in, fix_bn=fix_bn)


def vgg_backbone(net: Net, weights: Path | None, *, source: str, fix_bn: bool) -> Backbone:  # noqa: ARG001
    """See vgg16; it has no batch norm."""
    return vgg16(weights)


def timm_backbone(net: Net, weights: Path | None, *, source: str, fix_bn: bool) -> Backbone:  # noqa: ARG001
    """See of_timm."""
    return of_timm(net.source[1], weights, pretrained=True, fix_bn=fix_bn)
