"""Does degradation show on other data than CIFAR-10? Plain and residual nets of 20 and 56 layers on CIFAR-100 and SVHN.

    python -m bench.sweep other_data --scale paper     # CIFAR-100, the paper's schedule
    python -m bench.sweep other_data --scale short     # SVHN, an eighth of it
    python -m bench.sweep other_data --scale quick     # a fifth of CIFAR-100, as a folder of classes

The paper has no numbers on either. What is asked is its claim of Fig. 1 and 6, with the margins written down before the
runs. A mirrored digit is none, so that on SVHN crops alone are drawn. Scale quick needs cifar100_part/ in the
data folder, with train/<class>/ and test/<class>/; any folder of classes is taken by its name there.
"""

from dataclasses import replace

from bench.spec import Claim, Net, Recipe, Scale, Sweep, shortened

DEPTHS = (20, 56)
PLAIN = tuple(Net("cifar", depth, "none") for depth in DEPTHS)
RESIDUAL = tuple(Net("cifar", depth, "A") for depth in DEPTHS)
NETS = tuple(net for pair in zip(PLAIN, RESIDUAL, strict=True) for net in pair)
PAPER = Recipe(precision="bf16")
SHORT = replace(shortened(PAPER, 8_000, curve_every=200, test_every=1_000), augment="crop", test_images=26_032)
# that of plain_vs_residual's quick look, where it was tuned on CIFAR-10; the seeds are none that it was tuned on
QUICK = shortened(
    Recipe(), 200, lr=0.02, drops=(150, 180), batch=32, bn_group=32, test_images=2_000, curve_every=20, test_every=100
)

# Points of training error, which must rise by more in plain nets and by less in residual ones: what plain_vs_residual
# counts as the same number on CIFAR-10
MARGIN = 0.5

CLAIMS = (
    Claim(
        "plain-degrades",
        f"The training error of a plain net rises from 20 to 56 layers by more than {MARGIN} points.",
        "cf. Fig. 1",
        "worse with depth",
        PLAIN,
        "train_error",
        MARGIN,
    ),
    Claim(
        "residual-trains",
        f"The training error of a residual net does not rise from 20 to 56 layers by {MARGIN} points or more.",
        "cf. Fig. 6, middle",
        "not worse with depth",
        RESIDUAL,
        "train_error",
        MARGIN,
    ),
    Claim(
        "residual-beats-plain-56",
        "At 56 layers the residual net has a lower test error than the plain net.",
        "cf. Fig. 6",
        "residual beats plain",
        (PLAIN[1], RESIDUAL[1]),
    ),
)
ALL = tuple(claim.id for claim in CLAIMS)

SWEEP = Sweep(
    title="Plain against residual nets on CIFAR-100 and SVHN",
    question="Does degradation, a training error that rises with depth in plain nets alone, show on other data?",
    claim=(
        "Declared before the runs, after Section 4.2 on CIFAR-10: on CIFAR-100 and on SVHN, too, the training error of "
        "plain nets rises from 20 to 56 layers, that of residual nets does not, and at 56 layers the residual net has "
        "the lower test error."
    ),
    scales={
        "paper": Scale(
            tuple((net, PAPER) for net in NETS),
            (0, 1, 2, 3, 4),
            about="the paper's schedule for CIFAR-10, on CIFAR-100",
            data="cifar100",
            judges=ALL,
        ),
        "short": Scale(
            tuple((net, SHORT) for net in NETS),
            (0, 1, 2, 3, 4),
            (
                "8,000 steps with drops after 4,000 and 6,000: an eighth of the paper's, 14 epochs of SVHN's 73,257 "
                "training images, without its extra ones.",
                "Crops alone are drawn: a mirrored digit is none.",
            ),
            about="SVHN, an eighth of the paper's steps",
            data="svhn",
            judges=ALL,
        ),
        "quick": Scale(
            tuple((net, QUICK) for net in NETS),
            (10, 11, 12),
            (
                "200 steps of 32 images, 6,400 images in all, at the rate of 0.02 that was tuned for such runs on "
                "CIFAR-10, tested on 2,000 of 5,000 images.",
                "The data are every fifth training image and every second test image of CIFAR-100.",
            ),
            about="200 steps on a fifth of CIFAR-100, which describe and test nothing",
            data="folder:cifar100_part",
            judges=(),
        ),
    },
    deviations=(
        "The recipe is the paper's for CIFAR-10; nothing in it was chosen for these data.",
        "At scales paper and short activations and gradients round to bf16 (torch's autocast).",
        "What the sweep `plain_vs_residual` says of initialisation, batch norm, weight decay, momentum, pixels and the "
        "training error holds here as well.",
    ),
    claims=CLAIMS,
    data="cifar100",
)
