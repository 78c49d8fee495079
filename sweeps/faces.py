"""Face recognition by the paper's nets: verification on LFW, plain against residual, scratch against transfer.

The paper says nothing of faces; that residual nets carry today's face recognition is the field's.
"""

from __future__ import annotations

from bench.spec import Faces, Net, Recipe, Resources, Scale, Sweep

# the quick ResNet-20 of plain_vs_residual, trained on CIFAR-10
CIFAR_RUN = "run:plain_vs_residual/resnet-20-A-quick-s0-811fdd6d"

QUICK = Recipe(
    steps=400,
    lr=0.1,
    drops=(240, 340),
    warmup_steps=20,
    weight_decay=5e-4,
    batch=64,
    bn_group=64,
    curve_every=20,
    test_every=200,
    faces=Faces(side=32, embedding_size=128, loss="softmax", margin=0.0, scale=16.0),
)
SHORT = Recipe(
    steps=8_000,
    lr=0.1,
    drops=(4_800, 6_800),
    warmup_steps=400,
    weight_decay=5e-4,
    batch=128,
    bn_group=128,
    faces=Faces(side=112, embedding_size=512, loss="arcface", margin=0.5, scale=32.0),
)

NETS = tuple(Net("cifar", depth, shortcut) for depth in (20, 32) for shortcut in ("none", "A"))
TRANSFERRED = Net("cifar", 20, "A", weights=CIFAR_RUN)
LARGE = tuple(Net("imagenet", depth, shortcut) for depth in (18, 34) for shortcut in ("none", "A"))

SWEEP = Sweep(
    title="Face verification",
    question="Do the paper's networks verify unseen faces, better with shortcuts, and better pre-trained on CIFAR-10?",
    claim=(
        "The paper makes none. That residual nets are better is what Section 4 leads one to expect; at the depths of "
        "scale `quick`, where plain nets still train, no great difference."
    ),
    scales={
        "short": Scale(
            tuple((net, SHORT) for net in LARGE), (0, 1, 2), about="8,000 steps on LFW's View 1, 112x112, ArcFace"
        ),
        "quick": Scale(
            tuple((net, QUICK) for net in (*NETS, TRANSFERRED)),
            (0,),
            about="400 steps at 32x32 on the 111 people of LFW's View 1 who have ten training images or more",
            resources=Resources(cpus=2, gpus=0, memory_gib=2.0),
        ),
    },
    deviations=(
        "View 1 of LFW has one fold: its 1,000 test pairs are dealt out into ten in turn.",
        "Images are LFW's deep-funneled ones, cut to the square in which eyes and mouth lie where the field's "
        "five-point alignment puts them; people with ten images or more are trained on.",
        "The training error counts the margin, where the loss has one.",
    ),
    resources=Resources(cpus=4, gpus=1, memory_gib=8.0),
    task="verify",
    data="lfw-view1",
)
