"""Batch norm and ReLU before each convolution instead of behind it: CIFAR-10 (He et al. 2016, arXiv:1603.05027).

    python -m bench.sweep preactivation

At scale paper the original ResNet-110 has the ids that it has in `plain_vs_residual`: copies of those runs are taken.
"""

from bench.spec import Claim, Net, Recipe, Resources, Scale, Sweep, shortened

ORIGINAL = (Net("cifar", 110, "A"), Net("bottleneck", 164, "B"), Net("bottleneck", 1001, "B"))
PREACTIVATION = tuple(Net("preactivation", net.depth, net.shortcut) for net in ORIGINAL)
SMALL = (Net("cifar", 20, "A"), Net("preactivation", 20, "A"))
PAPER = Recipe(warmup_steps=400, precision="bf16")
QUICK = shortened(Recipe(), 200, lr=0.02, batch=32, bn_group=32, test_images=2_000, curve_every=20, test_every=100)
TABLE_3 = "1603.05027, Table 3"


def better(original: Net, other: Net) -> Claim:
    """A row of that paper's Table 3."""
    text = f"At {other.depth} layers pre-activation has a lower test error than the original unit."
    return Claim(f"better-{other.depth}", text, TABLE_3, "second beats first", (original, other))


DEEPER = "With pre-activation the test error falls from 110 to 164 and to 1001 layers."
CLAIMS = (*map(better, ORIGINAL, PREACTIVATION), Claim("deeper", DEEPER, TABLE_3, "better with depth", PREACTIVATION))

SWEEP = Sweep(
    title="Pre-activation against the original unit on CIFAR-10",
    question="Does pre-activation lower the test error of residual networks of 110, 164 and 1001 layers?",
    claim=(
        "He et al. 2016, Table 3: pre-activation lowers the test error (median of five runs) from 6.61 to 6.37 % at "
        "110 layers, from 5.93 to 5.46 % at 164 and from 7.61 to 4.92 % at 1001."
    ),
    scales={
        "paper": Scale(
            tuple((net, PAPER) for pair in zip(ORIGINAL, PREACTIVATION, strict=True) for net in pair),
            (0, 1, 2, 3, 4),
            resources=Resources(memory_gib=24.0),
            judges=tuple(claim.id for claim in CLAIMS),
        ),
        "quick": Scale(tuple((net, QUICK) for net in SMALL), (0,), ("200 steps of 32 images, 20 layers.",), judges=()),
    },
    deviations=(
        "At scale paper activations and gradients round to bf16; that paper names no precision.",
        "Means over five seeds are compared; that paper prints medians of five runs.",
        "110 layers have option A with either unit.",
        "He initialisation uses the fan-in, the authors' code the fan-out.",
        "What `plain_vs_residual` says of batch norm, weight decay, momentum and pixels holds here as well.",
    ),
    claims=CLAIMS,
)
