"""The ROC of a verification is drawn for print, each net in its depth's look."""

from __future__ import annotations

import numpy as np
from matplotlib.text import Text

from bench.report.render.style import COLUMN, SMALL, look
from bench.tasks.verification.roc import Roc
from bench.tasks.verification.sections import roc


def test_a_line_a_net_on_a_logarithmic_axis_that_says_so() -> None:
    draw = np.random.default_rng(0)
    same = np.arange(200) % 2 == 0
    depths = {"plain-20": 20, "resnet-20-A": 20, "resnet-20-A-run.x": 20}
    found = [(net, Roc.of(draw.normal(1.2 * same), same)) for net in depths]

    figure = roc(found, depths, "not run yet: ResNet-32")

    (ax,) = figure.axes
    *lines, chance = ax.get_lines()
    assert [(line.get_color(), line.get_marker()) for line in lines] == [(look(20).colour, look(20).marker)] * 3
    assert [line.get_linestyle() for line in (*lines, chance)] == ["--", "-", "-.", ":"]
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "different pairs accepted, FAR in % (log scale)")
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    assert "not run yet: ResNet-32" in [text.get_text() for text in texts]
    assert min(float(text.get_fontsize()) for text in texts) >= SMALL
    assert figure.get_figwidth() == COLUMN
