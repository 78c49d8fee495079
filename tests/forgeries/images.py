"""Forged errors with the images to them."""

from __future__ import annotations

import numpy as np

from tests.forgeries.base import Forged, Forgery
from tests.forgeries.invented import fresh_digest, invent, on_grid, with_error

TAKEN = "resnet-20-A-paper-s0"


def _better_by(base: Forged, points: float, start: str = TAKEN) -> None:
    """The last test is so much better; all before it stays."""
    left = base.left(start)
    with_error(left, left.result["test_error"] - points, base.rng)
    base.put(left)
    base.renew()


def better_by_a_tenth(base: Forged) -> None:
    """A tenth of a point: ten images."""
    _better_by(base, 0.1)


def better_by_half_a_point(base: Forged) -> None:
    """Half a point: fifty images."""
    _better_by(base, 0.5)


def better_by_two_points(base: Forged) -> None:
    """Two points: below the paper's number."""
    _better_by(base, 2.0)


def better_since_the_last_drop(base: Forged) -> None:
    """Half a point in every test since the last drop of the learning rate, with the images to the last."""
    left = base.left(TAKEN)
    for row in left.curve:
        if "test_error" in row and row["step"] > 48_000:
            row["test_error"] = on_grid(row["test_error"] - 0.5, 10_000)
            row["test_loss"] *= 0.95
    with_error(left, left.result["test_error"] - 0.5, base.rng)
    base.put(left)
    base.renew()


def the_best_test_is_the_last(base: Forged) -> None:
    """The lowest error on the way is made that of the last step, with images and curve."""
    left = base.left(TAKEN)
    with_error(left, left.result["best_test_error"], base.rng)
    base.put(left)
    base.renew()


def a_plain_net_made_worse(base: Forged) -> None:
    """The plain net's error is two points higher, so that the residual net gains more."""
    _better_by(base, -2.0, "plain-20-paper-s0")


def images_edited_alone(base: Forged) -> None:
    """A hundred more images are right, and the error stays."""
    arrays = base.arrays("correct.npz")
    name = base.row(TAKEN)["id"]
    bits = np.unpackbits(arrays[name])
    bits[np.flatnonzero(bits == 0)[:100]] = 1
    base.write_arrays("correct.npz", arrays | {name: np.packbits(bits)})
    base.renew()


def images_of_a_larger_test(base: Forged) -> None:
    """The array of images is longer than the test set."""
    arrays = base.arrays("correct.npz")
    name = base.row(TAKEN)["id"]
    base.write_arrays("correct.npz", arrays | {name: np.append(arrays[name], np.uint8(255))})
    base.renew()


def half_of_the_test_images(base: Forged) -> None:
    """The easier half of the test images; the number that the recipe asks for stands beside it."""
    left = base.left(TAKEN)
    right = left.right()
    kept = np.concatenate((np.flatnonzero(right)[:4_650], np.flatnonzero(~right)[:350]))
    left.judge(right[np.sort(kept)])
    for row in left.curve:
        if "test_error" in row:
            row["test_error"] = on_grid(row["test_error"] - 1.4, 5_000)
    left.settle()
    base.put(left)
    base.renew()


def trained_on_test_images(base: Forged) -> None:
    """A test error below the training error, as of a net that has seen the test images."""
    left = base.left(TAKEN)
    for row in left.curve:
        if "test_error" in row:
            row["test_error"] = on_grid(max(row["error"] * 0.9, 0.2), 10_000)
            row["test_loss"] = row["loss"]
    with_error(left, 0.41, base.rng)
    base.put(left)
    base.renew()


def images_drawn_by_lot(base: Forged) -> None:
    """A seed that was not run, whose wrong images are drawn by lot: no image is hard for it."""
    left = invent(base.left("plain-20-short-s0"), base.planned("plain-20-short-s4"), base.rng, 14.6)
    right = np.ones(10_000, bool)
    right[base.rng.choice(10_000, 1_460, replace=False)] = False
    left.judge(right)
    left.settle()
    left.starts("2026-11-28T05:20:40Z")
    base.put(left)
    base.renew()


def images_by_vote(base: Forged) -> None:
    """A seed that was not run, whose images are right where most of the other seeds are: an ensemble's bits."""
    seeds = [base.left(f"plain-20-short-s{seed}") for seed in range(4)]
    votes = np.sum([left.right() for left in seeds], axis=0) + base.rng.random(10_000)
    left = invent(seeds[1], base.planned("plain-20-short-s4"), base.rng, 13.9)
    right = np.ones(10_000, bool)
    right[np.argsort(votes)[:1_390]] = False
    left.judge(right)
    left.settle()
    left.starts("2026-11-28T05:20:40Z")
    base.put(left)
    base.renew()


def images_turned_around(base: Forged) -> None:
    """A seed that was not run: another one's images in reverse order, its curve with noise."""
    model = base.left("resnet-20-A-short-s0")
    left = invent(model, base.planned("resnet-20-A-short-s2"), base.rng, model.result["test_error"])
    left.judge(model.right()[::-1].copy())
    left.settle()
    left.result["weights_sha256"] = fresh_digest(base.rng)
    left.starts("2026-11-28T05:20:40Z")
    base.put(left)
    base.renew()


FORGERIES = (
    Forgery(images_edited_alone, "images", False),
    Forgery(images_of_a_larger_test, "images", False),
    *(
        Forgery(forge, "images", True)
        for forge in (
            better_by_a_tenth,
            better_by_half_a_point,
            better_by_two_points,
            better_since_the_last_drop,
            the_best_test_is_the_last,
            a_plain_net_made_worse,
            half_of_the_test_images,
            trained_on_test_images,
            images_drawn_by_lot,
            images_by_vote,
            images_turned_around,
        )
    ),
)
