"""1202 layers, and 110 without a warm-up: where depth stops paying on CIFAR-10 (Table 6, Fig. 6, Section 4.2).

    python -m bench.sweep thousand_layers

Paper: ResNet-1202 has 7.93 % test error against ResNet-110's 6.43 (the best of five, mean 6.61) at a training error
below 0.1 %, which it lays to overfitting. ResNet-110 at the rate of 0.1 from the start is below 90 % training error
after several epochs only, and reaches a similar accuracy (footnote 5).

One seed of each, as the paper has of ResNet-1202: a run of it costs eleven times one of ResNet-110. One seed decides
no claim, so that none is judged. At scale paper ResNet-110 by its own recipe has the ids that it has in
`plain_vs_residual`: a copy of such a run's folder in runs/thousand_layers is taken as done.
"""

from dataclasses import replace

from bench.spec import Claim, Net, Recipe, Resources, Scale, Sweep, shortened

RESNET_110, RESNET_1202 = Net("cifar", 110, "A"), Net("cifar", 1202, "A")
WARMED = Recipe(warmup_steps=400, precision="bf16")
QUICK = shortened(
    Recipe(warmup_steps=400),
    20,
    drops=(),
    warmup_steps=10,
    batch=16,
    bn_group=16,
    test_images=100,
    curve_every=5,
    test_every=20,
)
BF16 = (
    "Activations, their gradients and the gradients of the weights round to bf16 (torch's autocast); weights, batch "
    "norm's statistics, the loss and the optimiser's steps are fp32. The paper names no precision."
)
WARM_UP = (
    "The warm-up lasts exactly 400 steps; the paper's lasts until the training error is below 80 %, about 400 "
    "iterations. ResNet-1202 has the same; the paper says that it was trained as the others."
)
TWO_GPUS = (
    "Batch norm takes groups of 64 as on the paper's two GPUs, and its running statistics follow both groups in turn; "
    "the paper does not say how it combined them."
)
ONE_SEED = "One seed of each net, as the paper has of ResNet-1202; one seed decides no claim."


def cells(recipe: Recipe) -> tuple[tuple[Net, Recipe], ...]:
    """ResNet-110 with and without its warm-up, then ResNet-1202."""
    return (RESNET_110, recipe), (RESNET_110, replace(recipe, warmup_steps=0)), (RESNET_1202, recipe)


SWEEP = Sweep(
    title="A thousand layers, and a hundred without a warm-up, on CIFAR-10",
    question="Is a 1202-layer residual network worse than a 110-layer one, and does the latter need its warm-up?",
    claim=(
        "Section 4.2: ResNet-1202 trains without difficulty (training error below 0.1 %), and its test error, 7.93 %, "
        "is worse than ResNet-110's, 6.43 % (the best of five; mean 6.61). Footnote 5: without its warm-up ResNet-110 "
        "starts later and reaches a similar accuracy."
    ),
    scales={
        "paper": Scale(
            cells(WARMED),
            (0,),
            (BF16, WARM_UP, TWO_GPUS, ONE_SEED),
            resources=Resources(memory_gib=12.0),
            judges=(),
        ),
        "quick": Scale(
            cells(QUICK),
            (0,),
            (
                "20 steps of 16 images, a warm-up of 10 steps, and batch norm over all 16 images, in fp32, where the "
                "paper has 64,000 steps of 128 images, a warm-up of about 400 and batch norm over 64. The test is on "
                "the first 100 images.",
                ONE_SEED,
            ),
            about="20 steps, to measure the cost of 1202 layers",
            resources=Resources(memory_gib=4.0),
        ),
    },
    deviations=(
        "What the sweep `plain_vs_residual` says of initialisation, batch norm, weight decay, momentum, pixels and the "
        "training error holds here as well.",
    ),
    claims=(
        Claim(
            "resnet-1202-worse",
            "The test error rises from ResNet-110 to ResNet-1202.",
            "Table 6; Fig. 6, right",
            "worse with depth",
            (RESNET_110, RESNET_1202),
        ),
        Claim(
            "resnet-1202-number",
            "ResNet-1202 has the paper's test error, to within 0.5 points.",
            "Table 6",
            "equals",
            (RESNET_1202,),
            margin=0.5,
            number="t6.resnet-1202.error",
        ),
        Claim(
            "no-warm-up",
            "Without its warm-up ResNet-110 has the same test error, to within 0.5 points.",
            "footnote 5",
            "unchanged",
            (RESNET_110,),
            margin=0.5,
            variant="warmup_steps=0",
        ),
    ),
)
