"""Deeper plain nets get worse, deeper residual nets get better: CIFAR-10, Table 6 and Figures 1 and 6 (Section 4.2).

    python -m bench.sweep plain_vs_residual

Paper: ResNet-20/32/44/56/110 8.75, 7.51, 7.17, 6.97, 6.61 ± 0.16 % test error (Table 6; the other rows name no
number of runs). The plain nets have curves only (Fig. 6), where 56 layers are worse than 20 in training error too.
The same claim on ImageNet (Table 2) needs plain and residual nets of 18 and 34 layers, a sweep of its own.
"""

from dataclasses import replace

from bench.spec import Claim, Net, Recipe, Scale, Sweep, shortened

DEPTHS = (20, 32, 44, 56, 110)


def pair(depth: int) -> tuple[Net, Net]:
    """The plain net and the residual net (option A) of the same depth, width and number of parameters."""
    return Net("cifar", depth, "none"), Net("cifar", depth, "A")


NETS = tuple(net for depth in DEPTHS for net in pair(depth))
PAPER = Recipe(precision="bf16")
# 110 layers: 0.01 "until the training error is below 80 % (about 400 iterations)"
WARMED = replace(PAPER, warmup_steps=400)


def paper_recipe(net: Net) -> Recipe:
    """The paper's recipe for the net."""
    return WARMED if net.depth >= 110 else PAPER


def short_recipe(net: Net) -> Recipe:
    """An eighth of the paper's steps, drops at the same shares, the warm-up as long as the paper's."""
    return shortened(paper_recipe(net), 8_000, curve_every=200, test_every=1_000)


# 6,400 images a run at a fifth of the paper's rate, chosen by the errors of these nets, seeds and test images: at 0.1
# ResNet-56 stayed at chance in one of two seeds, and a warm-up helped one seed and hurt the other
QUICK = shortened(
    Recipe(), 200, lr=0.02, drops=(150, 180), batch=32, bn_group=32, test_images=2_000, curve_every=20, test_every=100
)

SEEDS = (0, 1, 2, 3, 4)
# scale short: five seeds where a claim compares the ends of the range, three between, and one look at 110 layers
SHORT_SEEDS = {20: (0, 1, 2, 3, 4), 32: (0, 1, 2), 44: (0, 1, 2), 56: (0, 1, 2, 3, 4), 110: (0,)}
FEW_STEPS = (
    "200 steps of 32 images at a learning rate of 0.02 (drops after 150 and 180), batch norm over those 32, and the "
    "first 2,000 test images; the paper has 64,000 steps of 128 at 0.1, and 10,000 test images."
)
TUNED = (
    "The learning rate of scale quick was chosen, and a warm-up tried and dropped, by the errors of these nets and "
    "seeds on these test images: at 0.1 ResNet-56 stayed at chance in one of two seeds. Its results describe; they "
    "test nothing."
)
AN_EIGHTH = "8,000 steps with drops after 4,000 and 6,000: an eighth of the paper's, 20 epochs."
BF16 = (
    "Activations, their gradients and the gradients of the weights round to bf16 (torch's autocast); weights, batch "
    "norm's statistics, the loss and the optimiser's steps are fp32. The paper names no precision; cifar_details asks "
    "whether bf16 changes an error."
)
TWO_GPUS = (
    "Batch norm takes groups of 64 as on the paper's two GPUs, and its running statistics follow both groups in turn; "
    "the paper does not say how it combined them."
)
WARM_UP = (
    "The warm-up of the 110-layer nets lasts exactly 400 steps; the paper's lasts until the training error is below "
    "80 %, about 400 iterations."
)

# Points of test error. The paper's ResNet-110 has a standard deviation of 0.16 over its seeds, so that one run, which
# the other rows of Table 6 seem to be, lies within 0.32 of its mean 19 times in 20; the rest is for the recipe's
# details that the paper leaves open (deviations, below). The step from 20 to 32 layers, 1.24, is well above it. The
# same 0.5 is the margin of training errors: what counts as no rise is what counts as the same number.
TOLERANCE = 0.5

PLAIN = tuple(Net("cifar", depth, "none") for depth in DEPTHS)
RESIDUAL = tuple(Net("cifar", depth, "A") for depth in DEPTHS)
FROM_20_TO_56 = (PLAIN[0], PLAIN[3], RESIDUAL[0], RESIDUAL[3])


def same_number(net: Net) -> Claim:
    """The net's number in Table 6, for ResNet-110 the mean of the paper's five runs."""
    name = f"resnet-{net.depth}"
    text = f"ResNet-{net.depth} has the paper's test error, to within {TOLERANCE} points."
    return Claim(f"{name}-number", text, "Table 6", "equals", (net,), margin=TOLERANCE, number=f"t6.{name}.error")


def residual_better(plain: Net, residual: Net) -> Claim:
    """The two panels of Fig. 6 at one depth."""
    depth = plain.depth
    text = f"At {depth} layers the residual net has a lower test error than the plain net."
    return Claim(f"residual-beats-plain-{depth}", text, "Fig. 6", "residual beats plain", (plain, residual))


CLAIMS = (
    Claim(
        "plain-degrades",
        "The training error of a plain net rises from 20 to 56 layers.",
        "Fig. 1",
        "worse with depth",
        (PLAIN[0], PLAIN[3]),
        "train_error",
    ),
    Claim(
        "plain-degrades-test",
        "The test error of a plain net rises from 20 to 56 layers.",
        "Fig. 1",
        "worse with depth",
        (PLAIN[0], PLAIN[3]),
    ),
    Claim(
        "plain-order",
        "The training error of plain nets rises with every step from 20 to 32, 44 and 56 layers.",
        "Fig. 6, left",
        "worse with depth",
        PLAIN[:4],
        "train_error",
    ),
    Claim(
        "plain-110",
        "The plain net of 110 layers has an error above 60 %.",
        "Fig. 6, caption",
        "exceeds",
        (PLAIN[4],),
        number="txt.plain-110.error",
    ),
    Claim(
        "residual-trains",
        "The training error of a residual net does not rise from 20 to 56 layers.",
        "Fig. 6, middle",
        "not worse with depth",
        (RESIDUAL[0], RESIDUAL[3]),
        "train_error",
        TOLERANCE,
    ),
    Claim(
        "residual-gains",
        "The test error of a residual net falls from 20 to 110 layers.",
        "Table 6",
        "better with depth",
        (RESIDUAL[0], RESIDUAL[4]),
    ),
    Claim(
        "residual-order",
        "The test error of residual nets falls with every step from 20 to 32, 44, 56 and 110 layers.",
        "Table 6; Fig. 6, middle",
        "better with depth",
        RESIDUAL,
    ),
    *(residual_better(plain, residual) for plain, residual in zip(PLAIN, RESIDUAL, strict=True)),
    Claim(
        "interaction-train",
        "From 20 to 56 layers the plain net's training error grows by more points than the residual net's.",
        "Fig. 6",
        "interaction",
        FROM_20_TO_56,
        "train_error",
    ),
    Claim(
        "interaction-test",
        "From 20 to 56 layers the plain net's test error grows by more points than the residual net's.",
        "Fig. 6",
        "interaction",
        FROM_20_TO_56,
    ),
    *map(same_number, RESIDUAL),
)

# At an eighth of the schedule: no claim with 110 layers, of which there is one seed, and none that equals the paper's
JUDGED_SHORT = (
    "plain-degrades",
    "plain-degrades-test",
    "plain-order",
    "residual-trains",
    *(f"residual-beats-plain-{depth}" for depth in DEPTHS[:4]),
    "interaction-train",
    "interaction-test",
)

SWEEP = Sweep(
    title="Plain against residual nets on CIFAR-10",
    question="Does error rise with depth in plain networks but not in residual networks?",
    claim=(
        "Section 4.2: the training error of plain nets rises from 20 to 56 layers (degradation), "
        "that of residual nets does not; residual nets gain accuracy from depth, down to 6.43 % at 110 layers."
    ),
    scales={
        "paper": Scale(
            tuple((net, paper_recipe(net)) for net in NETS),
            SEEDS,
            (BF16, TWO_GPUS, WARM_UP),
            judges=tuple(claim.id for claim in CLAIMS),
        ),
        "short": Scale(
            tuple((net, short_recipe(net)) for net in NETS),
            SEEDS,
            (AN_EIGHTH, BF16, TWO_GPUS, WARM_UP),
            about="an eighth of the paper's steps; not comparable with its errors",
            seeds_by_net={net: SHORT_SEEDS[net.depth] for net in NETS},
            judges=JUDGED_SHORT,
        ),
        "quick": Scale(
            tuple((net, QUICK) for d in (20, 56) for net in pair(d)),
            (0,),
            (FEW_STEPS, TUNED),
            about="200 steps, at a learning rate tuned on the very nets, seeds and test images shown here",
            judges=(),
        ),
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
    claims=CLAIMS,
    answers=("plain-degrades", "residual-trains", "interaction-train", "residual-gains"),
)
