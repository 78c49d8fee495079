"""Detectors that would not train as asked: refused, or said."""

from __future__ import annotations

import pytest
from torch import nn

from bench.tasks.detection.build import rate_warning, refuse_small_groups


def test_batch_norm_on_few_images_is_refused_and_an_odd_rate_is_said() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    refuse_small_groups(net, 16)
    refuse_small_groups(net[:1], 1)
    with pytest.raises(ValueError, match=r"1 batch norms \(1 …\) would be trained on 2 images"):
        refuse_small_groups(net, 2)
    for form, lr, images in (("c4", 0.001, 1), ("c4", 0.001, 8), ("c4", 0.001, 16), ("fpn", 0.02, 16)):
        assert rate_warning(form, lr, images) == ""
    assert "far above the usual 0.0025" in rate_warning("fpn", 0.02, 2)
    assert "far below" in rate_warning("c4", 1e-5, 16)
