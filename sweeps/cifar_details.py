"""Do bf16, and batch norm over the whole batch, change a number? CIFAR-10 (what Section 4.2 leaves to the machine).

    python -m bench.sweep cifar_details

The paper trained on two GPUs, 128 images a step, and names no precision; the suite takes fp32 and batch norm over 64
images at a time. Whoever repeats it on one GPU has batch norm over 128, and often bf16. This sweep asks whether either
changes an error, each net beside itself by the suite's recipe. Written down before the runs: by less than 0.5 points of
test error.

At scales paper and short the nets by their own recipe have the ids that they have in `plain_vs_residual`: copies of
those runs' folders in runs/cifar_details are taken as done.
"""

from dataclasses import replace

from bench.spec import Claim, Net, Recipe, Scale, Sweep, shortened

PAPER = Recipe()
SHORT = shortened(PAPER, 2_000, curve_every=50, test_every=500)
QUICK = shortened(PAPER, 100, test_images=2_000, curve_every=10, test_every=50)
NETS = tuple(Net("cifar", depth, shortcut) for depth in (20, 56) for shortcut in ("none", "A"))
OTHERWISE = {
    "bf16": "In bf16 {net} has its test error in fp32, to within 0.5 points.",
    "bn_group=128": "With batch norm over 128 images {net} has its test error with 64, to within 0.5 points.",
}


def cells(recipe: Recipe, *nets: Net) -> tuple[tuple[Net, Recipe], ...]:
    """Each net by the recipe, in bf16, and with batch norm over the whole batch."""
    recipes = (recipe, replace(recipe, precision="bf16"), replace(recipe, bn_group=recipe.batch))
    return tuple((net, each) for net in nets for each in recipes)


def unchanged(net: Net, variant: str) -> Claim:
    """The claim that the net's test error by the variant is what it is by its own recipe."""
    name = f"{'plain' if net.plain else 'ResNet'}-{net.depth}"
    text = OTHERWISE[variant].format(net=name)
    return Claim(f"{name.lower()}-{variant}", text, "–", "unchanged", (net,), margin=0.5, variant=variant)


SWEEP = Sweep(
    title="bf16, and batch norm over the whole batch, on CIFAR-10",
    question="Does a net trained in bf16, or with batch norm over 128 images instead of 64, have another error?",
    claim=(
        "Section 4.2 trains with 128 images a step on two GPUs; in what precision, and over how many images batch norm "
        "goes, it does not say. Written down before the runs: bf16 instead of fp32, and groups of 128 instead of 64, "
        "each move a test error by less than 0.5 points."
    ),
    scales={
        "paper": Scale(cells(PAPER, *NETS), (0, 1, 2, 3, 4)),
        "short": Scale(
            cells(SHORT, *NETS[:2]),
            (0, 1, 2),
            ("2,000 steps with drops after 1,000 and 1,500: a 32nd of the paper's, five passes over the images.",),
            about="five passes over the images, for machines without a GPU; not to be held against the paper's numbers",
        ),
        "quick": Scale(
            cells(QUICK, NETS[1]),
            (0, 1, 2),
            ("100 steps with drops after 50 and 75, and the first 2,000 test images: ResNet-20 has hardly begun.",),
        ),
    },
    deviations=(
        "In bf16 convolutions and the classifier compute in bf16; weights, batch norm's statistics, the loss and the "
        "optimizer's steps are fp32 (torch's autocast).",
        "What the sweep `plain_vs_residual` says of initialisation, batch norm, weight decay, momentum, pixels and the "
        "training error holds here as well.",
    ),
    claims=tuple(unchanged(net, variant) for variant in OTHERWISE for net in NETS),
)
