"""Detection transfer: Faster R-CNN over a backbone, COCO 2014 (Tables 8 and 9; Appendix A and B).

    python -m bench.sweep detection_coco --scale paper

Paper: trained on the 80,000 images of train, tested on the 40,000 of val, mAP@.5 is 41.5 % with VGG-16 and 48.4 % with
ResNet-101, mAP@[.5,.95] 21.2 and 27.2 %.
"""

from __future__ import annotations

from bench.spec import Claim, Detection, Net, Recipe, Resources, Scale, Sweep, shortened

# Appendix A: 240,000 steps at 0.001 and 80,000 at 0.0001, of 8 images, one on each of 8 GPUs. COCO's anchors of Faster
# R-CNN have 64 pixels, too.
PAPER = Recipe(
    steps=320_000,
    lr=0.001,
    drops=(240_000,),
    weight_decay=5e-4,
    batch=8,
    bn_group=1,
    test_images=50_000,
    curve_every=500,
    test_every=80_000,
    detection=Detection(anchors=(64, 128, 256, 512), refine=True, scales=(200, 400, 600, 800, 1000)),
)
SHORT = shortened(PAPER, 40_000, test_images=5_000, test_every=20_000)

TORCHVISION = "torchvision:IMAGENET1K_V1"
VGG_16 = Net("vgg", 16, "none", weights=TORCHVISION)
RESNET_50, RESNET_101 = (Net("imagenet", depth, "B", "3x3", weights=TORCHVISION) for depth in (50, 101))

SWEEP = Sweep(
    title="Detection transfer to COCO",
    question="Does ResNet-101 in place of VGG-16 improve Faster R-CNN on COCO, at IoU .5 and at stricter IoU?",
    claim="Table 8: with ResNet-101 in place of VGG-16 mAP@.5 rises by 6.9 points, and mAP@[.5,.95] by 6.0 (28 %).",
    scales={
        "paper": Scale(((VGG_16, PAPER), (RESNET_101, PAPER)), (0,)),
        "short": Scale(
            tuple((net, SHORT) for net in (VGG_16, RESNET_50, RESNET_101)),
            (0,),
            about="an eighth of the paper's steps, first 5,000 images of val; AP is not comparable with the paper's",
        ),
    },
    deviations=(
        "Proposal network and detector are trained together, on 8 images a step; the paper alternates between them, "
        "with 8 images for the one and 16 for the other.",
        "ImageNet's weights are torchvision's, with the stride in the 3x3 convolution and its running averages in the "
        "batch norms; the paper's nets are its own, with statistics computed anew over the training set.",
        "RoIs are pooled to 14x14 and conv5_1 keeps its stride of 2; the paper does not say.",
        "As torchvision has it: anchors over the image's edge are trained on, biases decay and learn like weights, and "
        "the box losses are smooth L1 that turns linear at 1/9.",
    ),
    resources=Resources(cpus=8, gpus=1, memory_gib=32.0),
    claims=(
        Claim(
            "resnet-101-beats-vgg-16",
            "A detector over ResNet-101 misses less (100 - AP50) than one over VGG-16.",
            "Table 8",
            "residual beats plain",
            (VGG_16, RESNET_101),
        ),
    ),
    task="detect",
    data="coco14",
)
