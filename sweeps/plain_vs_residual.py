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

SWEEP = Sweep(
    title="Plain against residual nets on CIFAR-10",
    question="Does a plain net get worse when it gets deeper, and does a residual net of the same depth not?",
    claim=(
        "Section 4.2: the training error of plain nets rises from 20 to 56 layers (degradation), "
        "that of residual nets does not; residual nets gain accuracy from depth, down to 6.43 % at 110 layers."
    ),
    scales={
        "paper": Scale(tuple((net, paper_recipe(net)) for d in DEPTHS for net in pair(d)), seeds=(0, 1, 2, 3, 4)),
        "short": Scale(tuple((net, short_recipe(net)) for d in DEPTHS for net in pair(d)), seeds=(0, 1, 2, 3, 4)),
        "quick": Scale(tuple((net, QUICK) for d in (20, 56) for net in pair(d)), seeds=(0,)),
    },
    deviations=(
        "The warm-up of the 110-layer nets lasts exactly 400 steps; the paper warms up until the training error is "
        "below 80 %, about 400 iterations.",
        "Batch-norm running statistics take both groups of 64 in turn (two updates of momentum 0.1 a step); "
        "the paper does not say how its two GPUs' statistics were combined.",
        "He initialisation uses the fan-in; the paper's reference [13] allows fan-in and fan-out alike.",
        "Weight decay acts on every parameter, batch norm and biases included; the paper does not say.",
        "Momentum is torch's form (the rate outside the buffer), which differs from Caffe's for some ten steps "
        "after each change of the rate.",
        "Pixels are divided by 255 before the per-pixel mean is subtracted; the first batch norm undoes any scale.",
    ),
)
