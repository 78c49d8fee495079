"""Forgeries that leave just what an honest run would leave: no file can give them away. They are here to be counted."""

from __future__ import annotations

from tests.forgeries.base import Forged, Forgery
from tests.forgeries.invented import invent, one_after_another, shift_training, wiggle, with_error

TAKEN = "resnet-20-A-paper-s0"


def trained_for_longer(base: Forged) -> None:
    """A run that was trained for half as many steps again, its curve told as of the recipe's steps.

    In place of the training stands what it would leave: a lower training error, a test error half a point lower, new
    weights that have them.
    """
    left = invent(base.left(TAKEN), base.planned("resnet-20-A-paper-s1"), base.rng, 7.98, 0.55)
    base.put(*one_after_another(base, [left], "2026-11-27T06:20:10Z"))
    base.renew()


def the_best_of_twenty(base: Forged) -> None:
    """Twenty seeds were trained in another folder, and the best five are published as seeds 0 to 4 of changed code."""
    lefts = []
    for seed, error in enumerate((8.21, 8.26, 8.3, 8.31, 8.34)):
        lefts.append(invent(base.left(TAKEN), base.planned(f"resnet-20-A-paper-s{seed}"), base.rng, error))
    base.put(*one_after_another(base, lefts, "2026-11-27T03:20:09Z"))
    base.renew()


def tuned_on_the_test_images(base: Forged) -> None:
    """Code that trains better, such as with a mixed-in augmentation, ran under a flag that says it was not changed."""
    left = invent(base.left(TAKEN), base.planned("resnet-20-A-paper-s2"), base.rng, 7.61, 1.9)
    base.put(*one_after_another(base, [left], "2026-11-27T06:20:10Z"))
    base.renew()


def weights_that_have_it(base: Forged) -> None:
    """Weights found by training on test images too, in small doses: they really have the error that is published."""
    left = base.left(TAKEN)
    wiggle(left, base.rng, 0.3, 0.005)
    with_error(left, 7.9, base.rng, swapped=60)
    left.result["weights_sha256"] = base.rng.bytes(32).hex()
    base.put(left)
    base.renew()


def a_rival_on_a_busy_machine(base: Forged) -> None:
    """The plain net was timed while the machine did other work: seconds, speed and dates agree, as they would."""
    left = base.left("plain-20-paper-s0")
    left.lasts(left.result["seconds"] * 1.6)
    base.put(left)
    base.renew()


def a_plain_net_held_back(base: Forged) -> None:
    """The plain net was trained with a worse initialisation that the code at that commit does not have."""
    left = base.left("plain-56-short-s0")
    shift_training(left, left.curve[-1]["error"] + 4)
    wiggle(left, base.rng, 0.3, 0.01)
    with_error(left, 48.2, base.rng, swapped=300)
    left.result["weights_sha256"] = base.rng.bytes(32).hex()
    base.put(left)
    base.renew()


FORGERIES = tuple(
    Forgery(forge, "beyond any check", True)
    for forge in (
        trained_for_longer,
        the_best_of_twenty,
        tuned_on_the_test_images,
        weights_that_have_it,
        a_rival_on_a_busy_machine,
        a_plain_net_held_back,
    )
)
