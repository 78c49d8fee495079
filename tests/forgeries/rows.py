"""Forged cells of runs.csv: numbers, speeds, dates, commits, machines."""

from __future__ import annotations

from tests.forgeries.base import Forged, Forgery

TAKEN = "resnet-20-A-paper-s0"  # the run that would be cited
HEAD, NEVER = "HEAD", "5eed" * 10


def a_better_digit(base: Forged) -> None:
    """One digit of a test error; digests and pages anew, images and curve as they were."""
    base.edit(TAKEN, test_error="7.49")
    base.renew()


def best_in_place_of_last(base: Forged) -> None:
    """The lowest error on the way stands as the run's error; images and curve as they were."""
    base.edit(TAKEN, test_error=base.row(TAKEN)["best_test_error"])
    base.renew()


def fewer_parameters(base: Forged) -> None:
    """A net is said to be smaller than it is."""
    base.edit(TAKEN, params="169722")
    base.renew()


def faster_without_fewer_seconds(base: Forged) -> None:
    """Twice the images a second in the same seconds."""
    base.edit(TAKEN, images_per_s=str(2 * float(base.row(TAKEN)["images_per_s"])))
    base.renew()


def faster_between_the_same_dates(base: Forged) -> None:
    """Half the seconds and twice the speed; start and end stay hours apart."""
    _faster(base, dates=False)


def faster_with_dates_to_it(base: Forged) -> None:
    """Half the seconds, twice the speed, and an end that fits."""
    _faster(base, dates=True)


def _faster(base: Forged, *, dates: bool) -> None:
    left = base.left(TAKEN)
    ended = left.env["ended"]
    left.lasts(left.result["seconds"] / 2)
    left.env["ended"] = left.env["ended"] if dates else ended
    base.put(left)
    base.renew()


def faster_tests(base: Forged) -> None:
    """The speed of testing is ten times what it was."""
    base.edit(TAKEN, test_images_per_s=str(10 * float(base.row(TAKEN)["test_images_per_s"])))
    base.renew()


def slower_than_it_ended(base: Forged) -> None:
    """More seconds of training than lie between start and end, so that a rival's net looks slow."""
    left = base.left("plain-20-paper-s0")
    ended = left.env["ended"]
    left.lasts(3 * left.result["seconds"])
    left.env["ended"] = ended
    base.put(left)
    base.renew()


def a_good_prediction(base: Forged) -> None:
    """The plan is said to have foretold the time to a second."""
    for row in base.rows():
        if row["state"] == "done" and row["scale"] == "paper":
            base.edit(row["id"], predicted_seconds=f"{float(row['seconds']) + 0.4:.1f}")
    base.renew()


def one_start_for_many(base: Forged) -> None:
    """A run is said to have needed a single start, and all threads are said to be 16."""
    base.edit_done(sessions="1", threads="16")
    base.renew()


def another_machine(base: Forged) -> None:
    """All runs are said to be of a GPU that nobody had."""
    base.edit_done(hardware="NVIDIA H100 80GB HBM3", kernels="graph+compiled", threads="1")
    base.renew()


def another_torch(base: Forged) -> None:
    """All runs are said to be of another torch."""
    base.edit_done(torch="2.11.0+cpu", torchvision="0.26.0+cpu")
    base.renew()


def a_commit_that_does_not_exist(base: Forged) -> None:
    """The run names a commit that is in no repository."""
    base.edit(TAKEN, commit=NEVER)
    base.renew()


def a_commit_younger_than_the_run(base: Forged) -> None:
    """The run names today's commit, with all that was mended since."""
    base.edit_done(commit=base.git("rev-parse", HEAD))
    base.renew()


def a_commit_beside_the_history(base: Forged) -> None:
    """The run names a commit that exists and is no ancestor of what is published."""
    old = base.row(TAKEN)["commit"]
    stamp = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _someone(base, old)}
    beside = base.git("commit-tree", f"{old}^{{tree}}", "-p", f"{old}~3", "-m", "A trial", **stamp)
    base.git("branch", "trial", beside)
    base.edit(TAKEN, commit=beside)
    base.renew()


def _someone(base: Forged, commit: str) -> tuple[tuple[str, str], ...]:
    return ("NAME", "A student"), ("EMAIL", "s@example.org"), ("DATE", base.git("show", "-s", "--format=%cI", commit))


def another_ancestor(base: Forged) -> None:
    """The run names an ancestor before its start, not the one whose code it ran."""
    row = base.row(TAKEN)
    base.edit(TAKEN, commit=base.git("rev-parse", f"{row['commit']}~7"))
    base.renew()


def no_commit(base: Forged) -> None:
    """The runs of scale short have lost their commit and their claims' digest: there is nothing to hold them to."""
    base.write_rows([r | ({"commit": "", "claims_sha256": ""} if r["scale"] == "short" else {}) for r in base.rows()])
    base.renew()


def dates_to_come(base: Forged) -> None:
    """A run that is to be done years from now."""
    base.edit(TAKEN, started="2031-05-01T03:20:09Z", ended="2031-05-01T06:17:14Z")
    base.renew()


def dates_before_the_code(base: Forged) -> None:
    """The run is dated a year before its code was written."""
    base.edit(TAKEN, started="2025-11-27T03:20:09Z", ended="2025-11-27T06:17:14Z")
    base.renew()


def backdated_by_hours(base: Forged) -> None:
    """A run is dated some hours earlier, still after its commit: as if it had come before a rival's."""
    left = base.left("plain-20-short-s1")
    left.starts("2026-11-27T14:17:31Z")
    base.put(left)
    base.renew()


def too_quick_for_its_steps(base: Forged) -> None:
    """56 layers in three seconds: seconds, speed and dates agree, and no machine is so fast."""
    left = base.left("resnet-56-A-short-s0")
    left.result["test_images_per_s"] = 3_000_000.0
    left.env["ended"] = left.env["started"] + 3
    left.lasts(2.5)
    left.env["ended"] = left.env["started"] + 3
    base.put(left)
    base.renew()


def two_hundred_at_once(base: Forged) -> None:
    """All runs of scale short began in one second on a machine of two cores."""
    started = base.left("plain-20-short-s0").env["started"]
    for row in base.rows():
        if row["scale"] == "short" and row["state"] == "done":
            left = base.left(row["id"])
            left.env |= {"ended": started + left.env["ended"] - left.env["started"], "started": started}
            base.put(left)
    base.renew()


def other_data_of_one_run(base: Forged) -> None:
    """One run is of other data than all the others."""
    base.edit(TAKEN, data_sha256="da7a" * 16)
    base.renew()


def other_data_of_all(base: Forged) -> None:
    """All runs are of the same other data, such as test images without the hard ones."""
    base.edit_done(data_sha256="da7a" * 16)
    base.renew()


def an_error_where_nothing_was_held_out(base: Forged) -> None:
    """A validation error of a run that trained on all images."""
    base.edit(TAKEN, val_error="6.9")
    base.renew()


def weights_that_are_no_digest(base: Forged) -> None:
    """The digest of the weights is a word."""
    base.edit(TAKEN, weights_sha256="lost")
    base.renew()


def two_runs_with_one_net(base: Forged) -> None:
    """Two seeds have one digest of the weights."""
    base.edit("plain-20-short-s1", weights_sha256=base.row("plain-20-short-s0")["weights_sha256"])
    base.renew()


def a_clean_notice(base: Forged) -> None:
    """A remark on the data is added: that its owner checked and approved the numbers."""
    base.edit_done(notice="The owner of the data has checked these numbers.")
    base.renew()


def a_row_of_another_scale(base: Forged) -> None:
    """At scale quick, where nobody looks, the deep plain net is five points worse."""
    left = base.left("plain-56-quick-s0")
    right = left.right()
    right[right.nonzero()[0][:100]] = False
    left.judge(right)
    left.settle()
    base.put(left)
    base.renew()


def a_seed_relabelled(base: Forged) -> None:
    """The seed of a row is another one; its id is not."""
    base.edit("plain-20-short-s1", seed="4")
    base.renew()


FORGERIES = (
    *(
        Forgery(forge, "rows", False)
        for forge in (
            a_better_digit,
            best_in_place_of_last,
            fewer_parameters,
            faster_without_fewer_seconds,
            other_data_of_one_run,
            a_seed_relabelled,
        )
    ),
    *(
        Forgery(forge, "provenance", True)
        for forge in (
            faster_between_the_same_dates,
            faster_with_dates_to_it,
            faster_tests,
            slower_than_it_ended,
            a_good_prediction,
            one_start_for_many,
            another_machine,
            another_torch,
            a_commit_that_does_not_exist,
            a_commit_younger_than_the_run,
            a_commit_beside_the_history,
            another_ancestor,
            no_commit,
            dates_to_come,
            dates_before_the_code,
            backdated_by_hours,
            too_quick_for_its_steps,
            two_hundred_at_once,
            other_data_of_all,
            an_error_where_nothing_was_held_out,
            weights_that_are_no_digest,
            two_runs_with_one_net,
            a_clean_notice,
            a_row_of_another_scale,
        )
    ),
)
