"""All forgeries, class by class."""

from __future__ import annotations

from tests.forgeries import (
    beyond,
    claims,
    curves,
    history,
    images,
    pages,
    rows,
    runs,
    tasks,
    weights,
    witnesses,
)

MODULES = (rows, runs, images, curves, tasks, claims, history, pages, witnesses, weights, beyond)
ALL = tuple(forgery for module in MODULES for forgery in module.FORGERIES)
