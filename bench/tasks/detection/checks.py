"""Two mistakes of detection trainings that raise no error by themselves: batch norm on two images, and the rate."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

FEWEST_IMAGES = 16  # of a batch-norm group; detectors have one or two on a device
# the usual learning rates for an image of the batch: the paper's and Faster R-CNN's 0.001 for 16 down to one image
# (Appendix A and [32]); the field's 0.02 for 16 (Goyal et al. 2017)
RATE_PER_IMAGE = {"c4": (0.001 / 16, 0.001), "fpn": (0.02 / 16, 0.02 / 16)}
SLACK = 4.0  # the rate for 16 images on two of them is off by 8


def refuse_small_groups(net: nn.Module, images: int) -> None:
    """Raises ValueError where `net` would train batch norm on groups of so few images: its statistics are noise."""
    trained = [name for name, layer in net.named_modules() if isinstance(layer, _BatchNorm)]
    if trained and images < FEWEST_IMAGES:
        raise ValueError(
            f"{len(trained)} batch norms ({trained[0]} …) would be trained on {images} images; they need "
            f"{FEWEST_IMAGES}. Fix them, as the paper does (Appendix A): fix_bn=True"
        )


def rate_warning(form: str, lr: float, images: int) -> str:
    """What to say of a learning rate `lr` for `images` images a step of the form "c4" or "fpn"; "" if it is usual."""
    if form not in RATE_PER_IMAGE:
        raise ValueError(f"form {form!r} is not one of: {', '.join(RATE_PER_IMAGE)}")
    if lr <= 0 or images < 1:
        raise ValueError(f"the rate must be positive and images 1 or more, got {lr} and {images}")
    low, high = (each * images for each in RATE_PER_IMAGE[form])
    if low / SLACK <= lr <= high * SLACK:
        return ""
    usual = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return (
        f"a rate of {lr:g} for {images} images a step is far {'above' if lr > high else 'below'} the usual {usual} "
        "(linear in the images): scale the rate with the batch, and the steps against it"
    )
