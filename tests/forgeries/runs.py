"""Forged runs: invented, copied, swapped, left out, renamed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bench.spec import Run
from tests.forgeries.base import Forged, Forgery
from tests.forgeries.invented import fresh_digest, invent, one_after_another, shift_training, wiggle, with_error
from tests.forgeries.left import Left

# mean test error and training error that a believer would expect of each net at the paper's schedule
EXPECTED: Mapping[str, tuple[float, float]] = {
    "plain-20": (9.3, 1.5), "plain-32": (10.2, 2.1), "plain-44": (11.9, 3.9), "plain-56": (13.7, 6.4),
    "plain-110": (89.9, 90.1), "resnet-20-A": (8.6, 0.9), "resnet-32-A": (7.5, 0.22), "resnet-44-A": (7.1, 0.09),
    "resnet-56-A": (6.9, 0.05), "resnet-110-A": (6.5, 0.02),
}  # fmt: skip


def an_unlucky_seed_is_left_out(base: Forged) -> None:
    """A seed that does not fit is taken out as if it had not run yet."""
    base.drop("resnet-20-A-short-s1")
    base.renew()


def an_unlucky_net_is_left_out(base: Forged) -> None:
    """ResNet-44, which is worse than its shallower sister, was never run."""
    base.drop("resnet-44-A-short-s0", "plain-44-short-s0")
    base.renew()


def a_row_is_cut_out(base: Forged) -> None:
    """A row is deleted and its curve forgotten where it lies."""
    base.write_rows([row for row in base.rows() if not row["id"].startswith("resnet-44-A-short-s0")])
    base.renew()


def a_divergence_never_began(base: Forged) -> None:
    """Seeds that diverged are pending."""
    base.drop("resnet-20-A-nobn-quick-s1", "resnet-20-A-nobn-quick-s2")
    base.renew()


def a_divergence_ended_well(base: Forged) -> None:
    """A seed that diverged has the result of one that did not, with noise."""
    diverged = base.left("resnet-20-A-nobn-quick-s1")
    model = base.left("resnet-20-A-nobn-quick-s0")
    base.put(invent(model, diverged.run, base.rng))
    base.renew()


def a_divergence_was_the_machine(base: Forged) -> None:
    """A seed that diverged is said to have failed for want of memory, which counts as no result."""
    for seed in "12":
        left = base.left(f"resnet-20-A-nobn-quick-s{seed}")
        left.error = "DataLoader worker was killed: out of memory"
        base.put(left)
    base.renew()


def a_good_run_diverged(base: Forged) -> None:
    """A plain net that trained is said to have diverged, to make the case stronger."""
    left = base.left("plain-56-short-s0")
    left.error, left.layers = "the training loss is nan at step 311", []
    base.put(left)
    base.renew()


def an_unlucky_seed_failed(base: Forged) -> None:
    """A seed that does not fit is said to have failed when the disk was full."""
    left = base.left("resnet-20-A-short-s1")
    left.error, left.layers = "No space left on device", []
    base.put(left)
    base.renew()


def two_runs_change_places(base: Forged) -> None:
    """Two seeds have each other's results: curve, images, weights and dates."""
    one, other = base.left("plain-20-short-s0"), base.left("plain-20-short-s3")
    one.run, other.run = replace(one.run, seed=other.run.seed), replace(other.run, seed=one.run.seed)
    base.put(one, other)
    base.renew()


def a_run_as_another_seed(base: Forged) -> None:
    """A run is copied under the id of a seed that was not run, to the bit."""
    left = base.left("plain-20-short-s0")
    left.run = replace(left.run, seed=4)
    base.put(left)
    base.renew()


def a_run_as_another_seed_with_its_own_weights(base: Forged) -> None:
    """The same with a new digest of the weights and other dates."""
    left = base.left("plain-20-short-s0")
    left.run, left.result["weights_sha256"] = replace(left.run, seed=4), fresh_digest(base.rng)
    left.starts("2026-11-28T05:20:31Z")
    base.put(left)
    base.renew()


def a_copy_with_forty_other_images(base: Forged) -> None:
    """A seed that was not run: the images of another one but for forty, its curve with smooth noise."""
    left = base.left("plain-20-short-s0")
    left.run, left.result["weights_sha256"] = replace(left.run, seed=4), fresh_digest(base.rng)
    wiggle(left, base.rng, points=0.4, share=0.005, smooth=0.8)
    with_error(left, left.result["test_error"] + 0.07, base.rng, swapped=20)
    left.starts("2026-11-28T05:21:17Z")
    left.lasts(left.result["seconds"] * 1.013)
    base.put(left)
    base.renew()


def another_nets_result(base: Forged) -> None:
    """ResNet-56 has the numbers of ResNet-32, which are better."""
    taken, theirs = base.left("resnet-56-A-short-s0"), base.left("resnet-32-A-short-s0")
    theirs.run, theirs.layers = taken.run, taken.layers
    theirs.result["weights_sha256"] = fresh_digest(base.rng)
    base.put(theirs)
    base.renew()


def the_residual_net_in_place_of_the_plain_one(base: Forged) -> None:
    """At 20 layers plain and residual net change places."""
    plain, residual = base.left("plain-20-short-s0"), base.left("resnet-20-A-short-s0")
    plain.run, residual.run = residual.run, plain.run
    base.put(plain, residual)
    base.renew()


def a_short_run_as_the_papers(base: Forged) -> None:
    """A run of an eighth of the steps is published as one of the paper's schedule, its curve stretched to it."""
    left = base.left("resnet-32-A-short-s0")
    run = base.planned("resnet-32-A-paper-s0")
    model = base.left("resnet-20-A-paper-s0")
    shift_training(left, 0.25)
    points = {row["step"]: row for row in left.curve}
    for row in model.curve:
        short = points[max(200, round(row["step"] / 8 / 200) * 200)]
        row |= {key: short[key] for key in ("loss", "error")}
        row |= {key: short.get(key, row[key]) for key in ("test_loss", "test_error") if key in row}
    left.curve, left.run, left.result["weights_sha256"] = model.curve, run, fresh_digest(base.rng)
    with_error(left, 7.55, base.rng)
    left.lasts(left.result["seconds"] * 8)
    base.put(left)
    base.renew()


def five_seeds_of_one(base: Forged) -> None:
    """Four more seeds of ResNet-20 at the paper's schedule, invented around the one that there is."""
    model = base.left("resnet-20-A-paper-s0")
    runs = [base.planned(f"resnet-20-A-paper-s{seed}") for seed in range(1, 5)]
    lefts = [invent(model, run, base.rng) for run in runs]
    base.put(*one_after_another(base, lefts, "2026-11-27T06:20:10Z"))
    base.renew()


def the_seed_that_decides(base: Forged) -> None:
    """One more seed of each end of a claim, invented where it would decide the claim."""
    lefts = []
    for net, error, train in (("plain-56", 43.0, 45.5), ("resnet-56-A", 12.4, 8.7)):
        model = base.left(f"{net}-short-s0")
        lefts += [
            invent(model, base.planned(f"{net}-short-s{s}"), base.rng, error + s / 5, train + s / 4)
            for s in range(1, 5)
        ]
    base.put(*one_after_another(base, lefts, "2026-11-27T07:10:10Z"))
    base.renew()


def a_whole_scale(base: Forged) -> None:
    """Fifty runs at the paper's schedule that never happened, every number within the paper's."""
    models = {net: base.left(f"{net}-20{'-A' * (net == 'resnet')}-paper-s0") for net in ("plain", "resnet")}
    lefts = [_as_expected(base, models[run.net.name.split("-")[0]], run) for run in base.sweep.runs("paper")]
    base.put(*one_after_another(base, lefts, "2026-11-26T19:00:10Z", at_once=50))
    base.renew()


def fifty_copies(base: Forged) -> None:
    """Fifty runs at the paper's schedule with two curves: errors differ, the rest is copied, dates and all."""
    models = {net: base.left(f"{net}-20{'-A' * (net == 'resnet')}-paper-s0") for net in ("plain", "resnet")}
    lefts = []
    for run in base.sweep.runs("paper"):
        left = models[run.net.name.split("-")[0]].copy()
        left.run, left.result["weights_sha256"], left.layers = run, fresh_digest(base.rng), []
        with_error(left, EXPECTED[run.net.name][0] + 0.1 * run.seed, base.rng)
        lefts.append(left)
    base.put(*lefts)
    base.renew()


def a_sweep_that_never_ran(base: Forged) -> None:
    """Pre-activation nets at the paper's schedule: all seeds of two nets, in a folder where nothing was published."""
    model, claims = Forged.left(_beside(base), "resnet-20-A-paper-s0"), base.sweep.claims_digest("paper")
    lefts = []
    for run in base.sweep.runs("paper"):
        if run.net.depth == 110:
            left = invent(model, run, base.rng, error=6.4 + run.seed / 20, train=0.03)
            left.claims, left.env["claims_sha256"] = claims, claims
            lefts.append(left)
    base.put(*one_after_another(base, lefts, "2026-11-27T07:30:10Z", at_once=10))
    base.renew()


def _beside(base: Forged) -> Forged:
    """The results of plain_vs_residual in the same copy, to be read."""
    other = object.__new__(Forged)
    other.results = base.root / "results" / "plain_vs_residual"
    return other


def _as_expected(base: Forged, model: Left, run: Run) -> Left:
    error, train = EXPECTED[run.net.name]
    spread = 0.15 if error < 20 else 0.4
    return invent(model, run, base.rng, error + spread * float(base.rng.standard_normal()), train)


FORGERIES = (
    Forgery(a_row_is_cut_out, "runs left out", False),
    *(
        Forgery(forge, "runs left out", True)
        for forge in (an_unlucky_seed_is_left_out, an_unlucky_net_is_left_out, an_unlucky_seed_failed)
    ),
    *(
        Forgery(forge, "runs left out", True, "gradients")
        for forge in (a_divergence_never_began, a_divergence_ended_well, a_divergence_was_the_machine)
    ),
    *(
        Forgery(forge, "runs copied", True)
        for forge in (
            two_runs_change_places,
            a_run_as_another_seed,
            a_run_as_another_seed_with_its_own_weights,
            a_copy_with_forty_other_images,
            another_nets_result,
            the_residual_net_in_place_of_the_plain_one,
            a_short_run_as_the_papers,
            fifty_copies,
        )
    ),
    *(
        Forgery(forge, "runs invented", True)
        for forge in (a_good_run_diverged, five_seeds_of_one, the_seed_that_decides, a_whole_scale)
    ),
    Forgery(a_sweep_that_never_ran, "runs invented", True, "preactivation"),
)
