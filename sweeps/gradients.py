"""Do gradients vanish or explode in plain nets, with batch norm and without? And Fig. 7: CIFAR-10 (Sections 4.1, 4.2).

    python -m bench.sweep gradients

Paper: "these plain networks are trained with BN, which ensures forward propagated signals to have non-zero variances.
We also verify that the backward propagated gradients exhibit healthy norms with BN. So neither forward nor backward
signals vanish" (Section 4.1). It prints no number of it. Fig. 7: residual nets have generally smaller responses than
plain ones, and the deeper a residual net, the smaller; curves only.

What is measured: on its way back over a whole net, from the last layer's responses to the first's, by how much the
norm of the gradient grows or shrinks. Written down before the runs: "healthy" is a change by less than a factor of 10,
"vanishing" and "exploding" are what lies beyond. Expected without BN: about 1 in plain nets, which He initialisation
is made for; explosion in residual ones, whose shortcuts add up what each block brings.

Nets without BN take the same recipe, though nobody would train them so: to see what BN is there for, nothing else may
differ. Some diverge in their first steps, which is a finding: such a run counts as failed, the command ends with exit
code 1, and what was seen of the run until then is in the report.
"""

from bench.spec import HEALTHY, Net, Recipe, Resources, Scale, Sweep, shortened


def nets(*depths: int) -> tuple[Net, ...]:
    """The plain and the residual net (option A) of each depth, with BN and without."""
    kinds = [(shortcut, norm) for norm in ("bn", "none") for shortcut in ("none", "A")]
    return tuple(Net("cifar", depth, shortcut, norm=norm) for depth in depths for shortcut, norm in kinds)


# One recipe for all: no warm-up at 110 layers, which would be a second difference
PAPER = Recipe(test_every=4_000)
SHORT = shortened(PAPER, 8_000, curve_every=100, test_every=1_000)
QUICK = shortened(PAPER, 30, drops=(), batch=32, bn_group=32, test_images=200, curve_every=5, test_every=15)

NO_WARM_UP = (
    "The 110-layer nets have no warm-up, so that all nets have one recipe; the paper's ResNet-110 has 400 steps."
)

SWEEP = Sweep(
    title="Gradients and layer responses of plain and residual nets on CIFAR-10",
    question="Do back-propagated gradients vanish or explode in plain networks, and does batch norm prevent it?",
    claim=(
        "Section 4.1: in plain nets with batch norm neither forward nor backward signals vanish; the gradients have "
        f"“healthy norms”. Declared before the runs: healthy is a change by less than a factor of {HEALTHY:g} "
        "from the last layer to the first. Section 4.2, Fig. 7: residual nets have generally smaller responses than "
        "plain ones, and deeper residual nets smaller ones than shallower."
    ),
    scales={
        "paper": Scale(tuple((net, PAPER) for net in nets(20, 32, 56, 110)), (0, 1, 2), (NO_WARM_UP,)),
        "short": Scale(
            tuple((net, SHORT) for net in nets(20, 32, 56, 110)),
            (0, 1, 2),
            ("8,000 steps with drops after 4,000 and 6,000: an eighth of the paper's.", NO_WARM_UP),
        ),
        "quick": Scale(
            tuple((net, QUICK) for net in nets(20, 56, 110)),
            (0,),
            (
                "30 steps of 32 images at a learning rate of 0.1, and the first 200 test images: enough for gradients "
                "at initialisation and for the divergence of nets without BN, but not for the responses after the "
                "paper's 64,000 steps.",
                NO_WARM_UP,
            ),
            about="30 steps: gradients at initialisation, not the responses of trained networks",
        ),
    },
    deviations=(
        "Nets without batch norm are not in the paper. Each convolution has a bias in its place, as VGG's have.",
        "The paper does not say which norms it looked at. Here it is the Euclidean norm of the gradient of the mean "
        "cross-entropy with respect to all responses of a layer (after BN, before ReLU and addition), on one fixed "
        "batch of training images in training mode; He initialisation keeps this norm from layer to layer in a plain "
        "net without BN.",
        "Fig. 7 does not say on which images, in which mode of BN and over what the deviation is taken. Here it is "
        "over test images, positions and channels of a layer together, in evaluation mode.",
        "What the sweep `plain_vs_residual` says of initialisation, batch norm, weight decay, momentum and pixels "
        "holds here as well.",
    ),
    resources=Resources(cpus=1),  # two runs side by side do more on two cores than one after another
    task="diagnose",
)
