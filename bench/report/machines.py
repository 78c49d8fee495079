"""Which finished runs have times that may be averaged: those on one machine, without others beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd

STEADY = 1.25  # times: where one run of a net is faster than another by more, something else used the machine, too


def on_one_machine(runs: pd.DataFrame) -> pd.DataFrame:
    """Of each net the runs on the hardware that has most of them, the fastest of equals: whose times have a mean."""
    by = runs.groupby(["net", "hardware"])["images_per_s"].agg(["size", "median"]).reset_index()
    most = by.sort_values(["size", "median"]).drop_duplicates("net", keep="last")
    return runs.merge(most[["net", "hardware"]], on=["net", "hardware"])


def beside_another(runs: pd.DataFrame) -> pd.Series[bool]:
    """Of finished runs, which went on while another of them did on hardware of that name: maybe on one machine."""
    found = np.zeros(len(runs), bool)
    for _, part in runs.reset_index(drop=True).sort_values("started").groupby("hardware"):
        began, over = (part[name].to_numpy(object) for name in ("started", "ended"))
        latest = np.maximum.accumulate(over)  # the end of all that began before
        found[part.index[1:]] |= latest[:-1] > began[1:]
        found[part.index[:-1]] |= began[1:] < over[:-1]
    return pd.Series(found, runs.index, dtype=bool)
