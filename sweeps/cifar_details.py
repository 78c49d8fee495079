"""Do bf16, and batch norm over the whole batch, change a number? CIFAR-10 (what Section 4.2 leaves to the machine).

    python -m bench.sweep cifar_details

The paper trained on two GPUs, 128 images a step, and names no precision; the suite takes bf16 and batch norm over 64
images at a time. Whoever repeats it on one GPU has batch norm over 128, and often fp32. This sweep asks whether either
changes an error, each net beside itself by the suite's recipe, seed by seed. Written down before the runs: by less than
0.5 points of test error. Scale quick is in fp32, with bf16 beside it.

Scale short has the steps of `plain_vs_residual` there and three seeds, judges nothing, and is to be run after that
sweep's planned seeds. At scales paper and short the nets by their own recipe have the ids that they have in
`plain_vs_residual`: copies of those runs' folders in runs/cifar_details are taken as done.
"""

from dataclasses import replace

from bench.spec import Claim, Net, Recipe, Scale, Sweep, shortened

PAPER = Recipe(precision="bf16")
SHORT = shortened(PAPER, 8_000, curve_every=200, test_every=1_000)
QUICK = shortened(Recipe(), 100, test_images=2_000, curve_every=10, test_every=50)
NETS = tuple(Net("cifar", depth, shortcut) for depth in (20, 56) for shortcut in ("none", "A"))
OTHERWISE = {
    "fp32": "{net} has the same test error in fp32 as in bf16, to within 0.5 points.",
    "bn_group=128": "{net} has the same test error with batch norm over 128 images as over 64, to within 0.5 points.",
}


def cells(recipe: Recipe, *nets: Net) -> tuple[tuple[Net, Recipe], ...]:
    """Each net by the recipe, in the other precision, and with batch norm over the whole batch."""
    other = "fp32" if recipe.precision == "bf16" else "bf16"
    recipes = (recipe, replace(recipe, precision=other), replace(recipe, bn_group=recipe.batch))
    return tuple((net, each) for net in nets for each in recipes)


def unchanged(net: Net, variant: str) -> Claim:
    """The claim that the net's test error by the variant is what it is by its own recipe."""
    name = f"{'plain' if net.plain else 'ResNet'}-{net.depth}"
    text = OTHERWISE[variant].format(net=name)
    return Claim(f"{name.lower()}-{variant}", text, "–", "unchanged", (net,), margin=0.5, variant=variant)


CLAIMS = tuple(unchanged(net, variant) for variant in OTHERWISE for net in NETS)

SWEEP = Sweep(
    title="bf16, and batch norm over the whole batch, on CIFAR-10",
    question="Do bf16, or batch norm over the whole batch of 128, change the test error?",
    claim=(
        "Section 4.2 trains with batches of 128 on two GPUs and names neither the precision nor how many images batch "
        "norm takes together. Declared before the runs: fp32 instead of bf16, and groups of 128 instead of 64, each "
        "change a test error by less than 0.5 points."
    ),
    scales={
        "paper": Scale(cells(PAPER, *NETS), (0, 1, 2, 3, 4), judges=tuple(claim.id for claim in CLAIMS)),
        "short": Scale(
            cells(SHORT, *NETS[:2]),
            (0, 1, 2),
            ("8,000 steps with drops after 4,000 and 6,000: an eighth of the paper's, 20 epochs.",),
            about="an eighth of the paper's steps, 20 epochs; errors are not comparable with the paper's",
            judges=(),
        ),
        "quick": Scale(
            cells(QUICK, NETS[1]),
            (0, 1, 2),
            ("100 steps with drops after 50 and 75, in fp32 unless bf16 is named, and the first 2,000 test images.",),
            about="100 steps, after which ResNet-20 has hardly begun to learn",
        ),
    },
    deviations=(
        "In bf16 activations, their gradients and the gradients of the weights round to bf16 (torch's autocast); "
        "weights, batch norm's statistics, the loss and the optimiser's steps are fp32.",
        "What the sweep `plain_vs_residual` says of initialisation, batch norm, weight decay, momentum, pixels and the "
        "training error holds here as well.",
    ),
    claims=CLAIMS,
)
