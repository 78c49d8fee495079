"""Published weights under the paper's protocols (Tables 3 and 4): no training, and so the first thing to run.

Other nets of timm are a line each: Net("timm", 0, "none", weights="timm:densenet121.tv_in1k").
"""

from __future__ import annotations

from dataclasses import replace

from bench.spec import IMAGENET_DEPTHS, Ensemble, Net, Recipe, Resources, Scale, Sweep, Views


def torchvision(depth: int, weights: str) -> Net:
    """torchvision's ResNet: option B, and in bottlenecks the stride in the 3x3 convolution."""
    return Net("imagenet", depth, "B", "3x3", weights=f"torchvision:{weights}")


def timm(name: str) -> Net:
    """A net of timm by its weights' name."""
    return Net("timm", 0, "none", weights=f"timm:{name}")


TEST = Recipe(steps=0, drops=(), batch=256, bn_group=256, test_images=50_000, views=Views())
V1 = tuple(torchvision(depth, "IMAGENET1K_V1") for depth in IMAGENET_DEPTHS)
BESIDE = tuple(map(timm, ("densenet121.tv_in1k", "vgg16.tv_in1k")))

SWEEP = Sweep(
    title="Published ImageNet weights under the paper's protocols",
    question="What errors do published weights of the paper's networks have under its 10-crop and multi-scale tests?",
    claim=(
        "Tables 3 and 4: by 10 crops ResNet-34 (B), 50, 101 and 152 have a top-1 error of 24.52, 22.85, 21.75 and "
        "21.43 %; at many scales 21.84, 20.74, 19.87 and 19.38 %."
    ),
    scales={
        "paper": Scale(tuple((net, TEST) for net in (*V1, *BESIDE)), (0,), about="all 50,000 validation images"),
        "quick": Scale(
            tuple((net, replace(TEST, test_images=1_000)) for net in V1[:3]), (0,), about="1,000 validation images"
        ),
    },
    deviations=(
        "torchvision's IMAGENET1K_V1 weights were trained for 90 epochs on crops of 8 to 100 % of the area, with the "
        "stride of bottlenecks in the 3x3 convolution; inputs are normalised by a channel's mean and deviation.",
        "Scores are softmax values averaged over crops, positions, mirror images and scales; the paper does not say "
        "whether it averaged before or after the softmax, nor whether its many scales were mirrored.",
    ),
    resources=Resources(cpus=16, gpus=1, memory_gib=16.0),
    task="evaluate",
    ensembles=(Ensemble("torchvision", "five ResNets of 18 to 152 layers", V1),),
    data="imagenet",
)
