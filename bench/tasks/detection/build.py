"""A run's Faster R-CNN before its first step: its net as a backbone, with the weights it starts from (Appendix A).

With two mistakes of detection trainings that raise no error by themselves: batch norm on few images, and the learning
rate of another batch size.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from bench.nets.backbone import Backbone, fix_batch_norm
from bench.nets.weights import WeightsError
from bench.spec import Detection, Run, counted
from bench.tasks.detection.annotations import DetectionSet
from bench.tasks.detection.faster_rcnn import c4, fpn
from bench.tasks.job import Job
from bench.tasks.weights import pixels_of, weights_file

FORMS = {"c4": c4, "fpn": fpn}
FEWEST_IMAGES = 16  # of a batch-norm group; detectors have one or two on a device
# the usual learning rates for an image of the batch: the paper's and Faster R-CNN's 0.001 for 16 down to one image
# (Appendix A and [32]); the field's 0.02 for 16 (Goyal et al. 2017)
RATE_PER_IMAGE = {"c4": (0.001 / 16, 0.001), "fpn": (0.02 / 16, 0.02 / 16)}
SLACK = 4.0  # the rate for 16 images on two of them is off by 8


def detector(run: Run, job: Job, training: DetectionSet) -> nn.Module:
    """From the run's seed. Raises WeightsError for weights that are not there, or are another net's."""
    torch.manual_seed(run.seed)
    spec, pixels = detection_of(run), pixels_of(run.net, job)
    backbone: Backbone = run.net.row.resolve("backbone")(run.net, weights_file(run.net, job))
    scale = GeneralizedRCNNTransform(spec.min_size, spec.max_size, list(pixels.mean), list(pixels.std))
    some = [image.pixels().float() / 255 for image in training.trainable()[: spec.recalibration_images]]
    fix_batch_norm(backbone, (scale([image])[0].tensors for image in some) if some else None)
    try:
        net: nn.Module = FORMS[spec.form](backbone, len(training.classes), spec, pixels)
        refuse_small_groups(net, run.recipe.bn_group)
    except ValueError as error:
        raise WeightsError(str(error)) from None
    return net


def detection_of(run: Run) -> Detection:
    """The part of a detector's recipe that is about detection."""
    assert run.recipe.detection is not None
    return run.recipe.detection


def refuse_small_groups(net: nn.Module, images: int) -> None:
    """Raises ValueError where `net` would train batch norm on groups of so few images: its statistics are noise."""
    trained = [name for name, layer in net.named_modules() if isinstance(layer, _BatchNorm)]
    if trained and images < FEWEST_IMAGES:
        raise ValueError(
            f"{len(trained)} batch norms ({trained[0]} …) would be trained on {counted(images, 'image')}; they need "
            f"{FEWEST_IMAGES}: take a net whose batch norm can be fixed (Appendix A)"
        )


def rate_warning(form: str, lr: float, images: int) -> str:
    """What to say of a learning rate `lr` for `images` images a step of the form "c4" or "fpn"; "" if it is usual."""
    low, high = (each * images for each in RATE_PER_IMAGE[form])
    if low / SLACK <= lr <= high * SLACK:
        return ""
    usual = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return (
        f"a learning rate of {lr:g} for {counted(images, 'image')} a step is far "
        f"{'above' if lr > high else 'below'} the usual {usual} (linear in the images): scale the learning rate "
        "with the batch size, and the steps against it"
    )
