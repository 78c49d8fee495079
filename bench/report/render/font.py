"""The font of figures: matplotlib's own file, wherever the system has another of its name."""

from __future__ import annotations

from dataclasses import replace

from matplotlib import get_data_path
from matplotlib.font_manager import fontManager, get_font, ttfFontProperty

NAME = "resnet bench"  # no file has this name, so that none is taken in its place


def own_font() -> str:
    """Makes the font known; its name.

    By the name DejaVu Sans, matplotlib's cache of fonts tells whether its own file or the system's is taken: letters
    then have other numbers, and PDFs other fonts.
    """
    file = f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf"
    if not any(entry.name == NAME for entry in fontManager.ttflist):
        fontManager.ttflist.append(replace(ttfFontProperty(get_font(file)), name=NAME))
    return NAME
