"""Forged curves and rows of layers."""

from __future__ import annotations

import numpy as np

from bench.report.stored import read_table
from bench.store import curve_text, sha256
from tests.forgeries.base import Forged, Forgery
from tests.forgeries.invented import noise, on_grid, shift_training
from tests.forgeries.left import Left

TAKEN = "resnet-20-A-paper-s0"
SEEN = 25_600  # images of a training window: 200 steps of 128


def _publish(base: Forged, left: Left) -> None:
    left.settle()
    base.put(left)
    base.renew()


def a_curve_edited_alone(base: Forged) -> None:
    """A loss in curves.parquet is another one."""
    path = base.results / "curves.parquet"
    table = read_table(path)
    table["loss"] = table["loss"].where(table.index != 40, table["loss"] * 0.5)
    table.to_parquet(path, index=False)
    base.renew()


def a_curve_of_another_file(base: Forged) -> None:
    """The digest of the curve is that of a file of a few lines that no run wrote; the curve stays."""
    base.edit(TAKEN, curve_sha256=sha256(curve_text([{"step": 200, "loss": 1.0}]).encode()))
    base.renew()


def a_scaled_curve(base: Forged) -> None:
    """All losses and training errors are a tenth lower."""
    left = base.left(TAKEN)
    for row in left.curve:
        row |= {"loss": 0.9 * row["loss"], "error": 0.9 * row["error"]}
    _publish(base, left)


def a_scaled_curve_of_whole_images(base: Forged) -> None:
    """The same with errors that whole numbers of images give."""
    left = base.left(TAKEN)
    for row in left.curve:
        row |= {"loss": 0.9 * row["loss"], "error": on_grid(0.9 * row["error"], SEEN)}
    _publish(base, left)


def a_plain_net_that_trains_worse(base: Forged) -> None:
    """The training error of the deep plain net is three points higher from the first step on."""
    left = base.left("plain-56-short-s0")
    shift_training(left, left.curve[-1]["error"] + 3)
    for row in left.curve:
        row["error"] = on_grid(row["error"], SEEN)
    _publish(base, left)


def a_curve_by_formula(base: Forged) -> None:
    """A curve of exponentials between the drops, without noise."""
    left = base.left(TAKEN)
    for row in left.curve:
        base_error = {0.1: 10.0, 0.01: 2.4, 0.001: 0.9}[round(row["rate"], 6)]
        row["error"] = on_grid(base_error + 60 * float(np.exp(-row["step"] / 2_500)), SEEN)
        row["loss"] = 0.033 * row["error"] + 0.01
    _publish(base, left)


def a_curve_by_formula_with_noise(base: Forged) -> None:
    """The same with noise as of windows of so many images, smooth as curves are."""
    left = base.left(TAKEN)
    wobble = noise(len(left.curve), base.rng, 0.3)
    for row, by in zip(left.curve, wobble, strict=True):
        level = {0.1: 10.0, 0.01: 2.4, 0.001: 0.9}[round(row["rate"], 6)] + 60 * float(np.exp(-row["step"] / 2_500))
        row["error"] = on_grid(level + float(by) * (level * (100 - level) / SEEN) ** 0.5, SEEN)
        row["loss"] = (0.033 * row["error"] + 0.01) * (1 + 0.01 * float(by))
    _publish(base, left)


def a_crash_smoothed_out(base: Forged) -> None:
    """A training that went back to chance half-way does so no more: the rows in between are drawn through."""
    left = base.left("resnet-44-A-short-s0")
    rows = left.curve[10:25]
    for k, row in enumerate(rows[1:-1], 1):
        share = k / (len(rows) - 1)
        for key in ("loss", "error"):
            row[key] = (1 - share) * rows[0][key] + share * rows[-1][key]
        row["error"] = on_grid(row["error"], SEEN)
    _publish(base, left)


def rows_left_out(base: Forged) -> None:
    """Every other row before the last drop is left out, those that look bad."""
    left = base.left(TAKEN)
    left.curve = [row for k, row in enumerate(left.curve) if k % 2 or row["step"] > 48_000 or "test_error" in row]
    _publish(base, left)


def rows_moved(base: Forged) -> None:
    """All rows are a hundred steps early, as of a run that learned faster; the last stays."""
    left = base.left(TAKEN)
    for row in left.curve[:-1]:
        row["step"] -= 100
    _publish(base, left)


def another_schedule(base: Forged) -> None:
    """The rates of a run whose drops came later than the recipe says."""
    left = base.left(TAKEN)
    for row in left.curve:
        row["rate"] = 0.1 if row["step"] <= 40_000 else 0.01 if row["step"] <= 60_000 else 0.001
    _publish(base, left)


def tested_more_often(base: Forged) -> None:
    """Tests at the rows where they look best, between those of the recipe."""
    left = base.left(TAKEN)
    for row in left.curve[250::7]:
        row.setdefault("test_loss", 0.3)
        row.setdefault("test_error", on_grid(8.2 + float(base.rng.random()), 10_000))
    _publish(base, left)


def tests_better_on_the_way(base: Forged) -> None:
    """All tests but the last are better, so that it looks like bad luck."""
    left = base.left(TAKEN)
    for row in left.curve[:-1]:
        if "test_error" in row:
            row["test_error"] = on_grid(row["test_error"] * 0.93, 10_000)
    _publish(base, left)


def a_loss_that_does_not_fit_its_error(base: Forged) -> None:
    """Training loss and error of the last windows are of different nets."""
    left, other = base.left(TAKEN), base.left("plain-20-paper-s0")
    for row, theirs in zip(left.curve[-60:], other.curve[-60:], strict=True):
        row["loss"] = theirs["loss"] * 0.2
    _publish(base, left)


def weaker_responses(base: Forged) -> None:
    """The residual net's layers respond half as strongly as they did, as Fig. 7 wants it."""
    left = base.left(TAKEN)
    for row in left.layers:
        row["response_std"] *= 0.5
    _publish(base, left)


def responses_of_another_run(base: Forged) -> None:
    """One run has the layers of another one of the same net."""
    left = base.left("resnet-20-A-short-s0")
    left.layers = base.left("resnet-20-A-short-s1").layers
    _publish(base, left)


def layers_of_a_deeper_net(base: Forged) -> None:
    """A net of 20 layers has the responses of one of 56."""
    left = base.left("resnet-20-A-short-s0")
    left.layers = base.left("resnet-56-A-short-s0").layers
    _publish(base, left)


def gradients_that_vanish(base: Forged) -> None:
    """The gradients of the plain nets vanish with depth, against Section 4.1 of the paper."""
    for row in base.rows():
        if row["id"].startswith(("plain-56-quick", "plain-110-quick")):
            left = base.left(row["id"])
            for line in left.layers:
                fade = 0.93 ** (left.run.net.depth - line["layer"])
                line |= {k: line[k] * fade for k in ("grad_norm", "response_grad_norm") if k in line}
            base.put(left)
    base.renew()


def layers_edited_alone(base: Forged) -> None:
    """A response in layers.parquet is another one."""
    path = base.results / "layers.parquet"
    table = read_table(path)
    table.loc[3, "response_std"] = 0.01
    table.to_parquet(path, index=False)
    base.renew()


FORGERIES = (
    *(
        Forgery(forge, "curves", False)
        for forge in (a_curve_edited_alone, a_curve_of_another_file, layers_edited_alone)
    ),
    *(
        Forgery(forge, "curves", True)
        for forge in (
            a_scaled_curve,
            a_scaled_curve_of_whole_images,
            a_plain_net_that_trains_worse,
            a_curve_by_formula,
            a_curve_by_formula_with_noise,
            a_crash_smoothed_out,
            rows_left_out,
            rows_moved,
            another_schedule,
            tested_more_often,
            tests_better_on_the_way,
            a_loss_that_does_not_fit_its_error,
        )
    ),
    *(Forgery(forge, "layers", True) for forge in (weaker_responses, responses_of_another_run, layers_of_a_deeper_net)),
    Forgery(gradients_that_vanish, "layers", True, "gradients"),
)
