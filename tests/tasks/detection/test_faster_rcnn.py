"""Detectors: both forms train on every family of nets, batch norm stays fixed, traps are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from bench.nets import resnet, timm_nets, vgg
from bench.nets.backbone import Backbone, Stage, fix_batch_norm
from bench.nets.weights import IMAGENET
from bench.spec import Detection, Net
from bench.tasks.detection.faster_rcnn import RegionTop, c4
from tests.builders import timm_net
from tests.tasks.detection.detectors import fixed, of_cifar, scene, small_c4, small_fpn, trained


def measured(depth: int) -> Backbone:
    """Untrained, but with statistics."""
    backbone = resnet.backbone(Net("imagenet", depth, "B"))
    fix_batch_norm(backbone, [torch.rand(4, 3, 64, 64)])
    return backbone


def of_timm(name: str, folder: Path) -> Backbone:
    torch.save(timm.create_model(name).state_dict(), folder / "weights.pth")
    backbone = timm_nets.backbone(timm_net(name), folder / "weights.pth")
    fix_batch_norm(backbone)
    return backbone


LOSSES = {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
QUICK: dict[str, Callable[[Path], Backbone]] = {
    "cifar-8": lambda _: of_cifar(),
    "resnet-18": lambda _: fixed(Net("imagenet", 18, "B")),
}
LONG: dict[str, Callable[[Path], Backbone]] = {
    **{f"resnet-{d}": (lambda _, d=d: measured(d)) for d in (34, 50, 101)},  # type: ignore[misc]
    **{f"timm-{d}": (lambda folder, d=d: of_timm(f"resnet{d}", folder)) for d in (18, 34, 50, 101)},  # type: ignore[misc]
    "vgg-16": lambda _: vgg.backbone(Net("vgg", 16, "none")),
}
NETS = [*QUICK, *(pytest.param(name, marks=pytest.mark.long) for name in LONG)]


@pytest.mark.parametrize("form", [small_c4, small_fpn])
@pytest.mark.parametrize("net", NETS)
def test_both_forms_take_a_training_step_and_detect(net: str, form: Callable[[Backbone], Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = form((QUICK | LONG)[net](tmp_path))

    [losses] = trained(model, lr=1e-7)

    assert losses.keys() == LOSSES
    assert all(0 <= loss < 1e6 for loss in losses.values()), (
        "finite: a random net of 101 layers begins in the ten thousands"
    )
    trainable = [p for p in model.parameters() if p.requires_grad]
    assert sum(p.grad is not None and bool(p.grad.isfinite().all()) for p in trainable) >= len(trainable) - 4
    images, _ = scene()
    found = model.eval()(images)
    for image, one in zip(images, found, strict=True):
        d = len(one["scores"])
        assert one["boxes"].shape == (d, 4)
        assert one["labels"].shape == (d,)
        assert ((one["labels"] >= 1) & (one["labels"] <= 3)).all()
        assert (one["boxes"] >= 0).all()
        assert (one["boxes"] <= torch.tensor(image.shape[1:]).flip(0).repeat(2) + 1e-3).all()


@pytest.mark.parametrize("form", [small_c4, small_fpn])
def test_batch_norm_does_not_change_by_a_bit_in_training_and_everything_else_does(form: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    model = form(of_cifar("B")).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    norms = [name for name, layer in model.named_modules() if isinstance(layer, FrozenBatchNorm2d)]

    trained(model, steps=3, lr=1e-2)

    after = model.state_dict()
    fixed = [name for name in after if name.rpartition(".")[0] in norms]
    assert len(norms) == 9
    assert len(fixed) == 4 * 9
    assert all(torch.equal(before[name], after[name]) for name in fixed)
    convolutions = [n for n in after if "stages" in n and n.endswith("weight") and n not in fixed]
    assert convolutions
    assert all(not torch.equal(before[name], after[name]) for name in convolutions)


def test_batch_norm_that_is_not_fixed_would_change() -> None:
    """The check above can fail."""
    model = small_c4(resnet.backbone(Net("cifar", 8, "B"))).train()
    [name, *_] = [n for n in model.state_dict() if n.endswith("running_mean")]
    before = model.state_dict()[name].clone()

    trained(model)

    assert not torch.equal(before, model.state_dict()[name])


def test_the_loss_of_a_detector_on_a_cifar_net_falls() -> None:
    torch.manual_seed(0)

    losses = [sum(each.values()) for each in trained(small_fpn(of_cifar()), steps=25, lr=0.01)]

    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_the_papers_form_pools_before_conv5_and_classifies_300_proposals() -> None:
    with torch.device("meta"):
        model = c4(resnet.backbone(Net("imagenet", 101, "B")), 20, Detection(), IMAGENET)

    convolutions = sum(isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1) for m in model.backbone.modules())
    blocks = 3 + 4 + 23
    assert convolutions == 1 + blocks
    assert model.backbone.out_channels == 1024
    assert model.roi_heads.box_roi_pool.pool.output_size == 14
    assert model.roi_heads.box_roi_pool.pool.spatial_scale == 1 / 16
    assert model.roi_heads.box_predictor.cls_score.weight.shape == (21, 2048)
    assert model.rpn._post_nms_top_n == {"training": 2000, "testing": 300}
    assert (model.transform.min_size, model.transform.max_size) == ((600,), 1000)


def test_vgg_shares_conv1_to_conv5_at_stride_16_and_keeps_conv1_and_conv2() -> None:
    with torch.device("meta"):
        backbone = vgg.backbone(Net("vgg", 16, "none"))
        model = c4(backbone, 20, Detection(), IMAGENET)

    shared = [m for m in model.backbone.modules() if isinstance(m, nn.Conv2d)]
    assert len(shared) == 13
    assert backbone.reductions[-1] == 16
    assert [p.requires_grad for p in (m.weight for m in shared)] == [False] * 4 + [True] * 9
    assert model.roi_heads.box_predictor.cls_score.weight.shape == (21, 4096)


def test_a_backbone_of_too_few_stages_is_refused() -> None:
    one = Backbone([Stage(nn.Conv2d(3, 8, 3, stride=16), 8, 16)])

    with pytest.raises(ValueError, match="a backbone of one stage leaves nothing to work on each region"):
        small_c4(one)
    with pytest.raises(ValueError, match=r"strides \(16,\): a pyramid needs two stages at stride 4 or more"):
        small_fpn(one)


def test_global_context_is_the_whole_image_through_the_same_layers() -> None:
    def corner(_: Tensor, boxes: list[Tensor]) -> Tensor:
        return torch.cat([each[:, 2:] for each in boxes])

    top = RegionTop(corner, nn.Identity(), context=True)  # type: ignore[arg-type]  # in place of a pooling layer
    boxes = [torch.tensor([[0.0, 0, 4, 5], [1, 1, 6, 7]]), torch.tensor([[0.0, 0, 8, 9]])]

    vectors = top({"0": torch.zeros(2, 1, 3, 3)}, boxes, [(30, 40), (50, 60)])

    assert vectors.tolist() == [[4, 5, 40, 30], [6, 7, 40, 30], [8, 9, 60, 50]]


def test_global_context_trains_and_doubles_the_predictors_input() -> None:
    torch.manual_seed(0)
    model = small_c4(of_cifar(), context=True)

    [losses] = trained(model)

    assert losses.keys() == LOSSES
    assert model.roi_heads.box_predictor.cls_score.in_features == 128
    assert len(model.eval()(scene()[0])) == 2
