"""Deeper plain nets get worse, deeper residual nets get better: CIFAR-10, Table 6 and Figures 1 and 6 (Section 4.2).

    python -m bench.sweep plain_vs_residual

Paper: ResNet-20/32/44/56/110 8.75, 7.51, 7.17, 6.97, 6.61 ± 0.16 % test error (Table 6; the other rows name no
number of runs). The plain nets have curves only (Fig. 6), where 56 layers are worse than 20 in training error too.
The same claim on ImageNet (Table 2) needs plain and residual nets of 18 and 34 layers, a sweep of its own.
"""

from bench.spec import Net, Recipe, Scale, Sweep, shortened

DEPTHS = (20, 32, 44, 56, 110)


def pair(depth: int) -> tuple[Net, Net]:
    """The plain net and the residual net (option A) of the same depth, width and number of parameters."""
    return Net("cifar", depth, "none"), Net("cifar", depth, "A")


NETS = tuple(net for depth in DEPTHS for net in pair(depth))
PAPER = Recipe()
WARMED = Recipe(warmup_steps=400)  # 110 layers: 0.01 "until the training error is below 80 % (about 400 iterations)"


def paper_recipe(net: Net) -> Recipe:
    """The paper's recipe for the net."""
    return WARMED if net.depth >= 110 else PAPER


def short_recipe(net: Net) -> Recipe:
    """An eighth of the paper's steps, drops at the same shares, the warm-up as long as the paper's."""
    return shortened(paper_recipe(net), 8_000, curve_every=100, test_every=500)


# 6,400 images a run: enough for ResNet-56 to learn where plain-56 stays at chance; it is at 0.1 that the gap opens
QUICK = shortened(
    PAPER, 200, drops=(150, 180), batch=32, bn_group=32, test_images=2_000, curve_every=20, test_every=100
)

SEEDS = (0, 1, 2, 3, 4)
FEW_STEPS = (
    "200 steps of 32 images at the rate of 0.1, with drops after 150 and 180, batch norm over those 32, and the first "
    "2,000 test images: everything that the paper's 64,000 steps of 128 are not."
)
EIGHTH = "8,000 steps with drops after 4,000 and 6,000: an eighth of the paper's."
TWO_GPUS = (
    "Batch norm takes groups of 64 as on the paper's two GPUs, and its running statistics follow both groups in turn; "
    "the paper does not say how it combined them."
)
WARM_UP = (
    "The warm-up of the 110-layer nets lasts exactly 400 steps; the paper's lasts until the training error is below "
    "80 %, about 400 iterations."
)

SWEEP = Sweep(
    title="Plain against residual nets on CIFAR-10",
    question="Does a plain net get worse when it gets deeper, and does a residual net of the same depth not?",
    claim=(
        "Section 4.2: the training error of plain nets rises from 20 to 56 layers (degradation), "
        "that of residual nets does not; residual nets gain accuracy from depth, down to 6.43 % at 110 layers."
    ),
    scales={
        "paper": Scale(tuple((net, paper_recipe(net)) for net in NETS), SEEDS, (TWO_GPUS, WARM_UP)),
        "short": Scale(tuple((net, short_recipe(net)) for net in NETS), SEEDS, (EIGHTH, TWO_GPUS, WARM_UP)),
        "quick": Scale(tuple((net, QUICK) for d in (20, 56) for net in pair(d)), (0,), (FEW_STEPS,)),
    },
    deviations=(
        "Batch norm is tested with running averages (momentum 0.1 an update); the authors computed true averages over "
        "a large training batch for their released ImageNet nets.",
        "He initialisation uses the fan-in, for the classifier as well; the paper's reference [13] allows fan-in and "
        "fan-out alike and does not speak of the classifier.",
        "Weight decay acts on every parameter, batch norm and biases included; the paper does not say.",
        "Momentum is torch's form (the rate outside the buffer), which differs from Caffe's for some ten steps "
        "after each change of the rate.",
        "Pixels are divided by 255 before the per-pixel mean is subtracted; the first batch norm undoes any scale.",
        "The training error is that of augmented batches in training mode; the paper does not say how it is measured.",
    ),
)
