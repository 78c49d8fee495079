"""Forged history: who committed what, and when."""

from __future__ import annotations

from tests.forgeries.base import AUTHOR, Forged, Forgery
from tests.forgeries.images import better_by_half_a_point
from tests.forgeries.invented import invent, one_after_another

SWEEP = "sweeps/plain_vs_residual.py"
MARGIN = ("TOLERANCE = 0.5", "TOLERANCE = 1.5")
ANOTHER = ("Kaiming Who", "someone@example.org")


def in_anothers_name(base: Forged) -> None:
    """A forged number is committed in another's name, dated just after the run."""
    better_by_half_a_point(base)
    base.commit("Results of the night", "2026-11-27T06:30:00+00:00", ANOTHER)


def a_margin_dated_before_the_runs(base: Forged) -> None:
    """A wider margin is committed today and dated before the first run; the runs' digests say that they knew it."""
    base.replace(SWEEP, *MARGIN)
    base.commit("The margin of the claims", "2026-11-26T18:00:00+00:00")
    _know(base)
    base.renew(draw="paper")


def a_margin_in_the_runs_own_commit(base: Forged) -> None:
    """The commit that the runs name is made anew with the wider margin, merged, and named by the runs."""
    old = base.row("resnet-20-A-paper-s0")["commit"]
    head = base.git("rev-parse", "HEAD")
    base.git("checkout", "--quiet", "--detach", old)
    text = (base.root / SWEEP).read_text(encoding="utf-8")
    (base.root / SWEEP).write_text(text.replace(*MARGIN), encoding="utf-8")
    base.commit("The margin of the claims", base.git("show", "-s", "--format=%cI", old))
    new = base.git("rev-parse", "HEAD")
    base.git("checkout", "--quiet", "--force", "-B", "main", head)
    base.git("merge", "--quiet", "--no-ff", "-s", "ours", "-m", "Merge the margin", new, **_names())
    base.replace(SWEEP, *MARGIN)
    base.write_rows(
        [row | ({"commit": new} if row["scale"] == "paper" and row["commit"] else {}) for row in base.rows()]
    )
    _know(base, "paper")
    base.renew(draw="paper")


def _know(base: Forged, scale: str = "") -> None:
    """The runs of the scale, or all, are said to have begun under today's claims."""
    digests = {each: base.sweep.claims_digest(each) for each in base.sweep.scales if scale in ("", each)}
    for row in base.rows():
        if row["state"] == "done" and row["scale"] in digests:
            base.edit(row["id"], claims_sha256=digests[row["scale"]])


def _names(when: str = "2026-11-28T10:30:00+00:00") -> dict[str, str]:
    parts = {"NAME": AUTHOR[0], "EMAIL": AUTHOR[1], "DATE": when}
    return {f"GIT_{who}_{part}": value for who in ("AUTHOR", "COMMITTER") for part, value in parts.items()}


def a_replaced_commit(base: Forged) -> None:
    """`git replace` puts a commit with the wider margin in place of the one that the runs name."""
    old = base.row("resnet-20-A-paper-s0")["commit"]
    base.replace(SWEEP, *MARGIN)
    _know(base)
    base.renew(draw="paper")
    base.commit("Results")
    when = base.git("show", "-s", "--format=%cI", old)
    new = base.git("commit-tree", "HEAD^{tree}", "-p", f"{old}~1", "-m", "As it was", **_names(when))
    base.git("replace", old, new)


def a_history_of_one_commit(base: Forged) -> None:
    """All history is folded into one commit dated before the runs, so that nothing can be held to it."""
    base.replace(SWEEP, *MARGIN)
    _know(base)
    base.renew(draw="paper")
    base.commit("Results")
    one = base.git("commit-tree", "HEAD^{tree}", "-m", "All", **_names("2026-11-24T05:00:00+00:00"))
    base.git("reset", "--quiet", "--hard", one)
    base.edit_done(commit=one)
    base.renew(draw="paper")


def results_before_their_claims(base: Forged) -> None:
    """The order of two commits is turned: claims that were written to the results come first."""
    base.replace(SWEEP, "residual-order", "residual-in-order")
    _know(base)
    base.renew(draw="paper")
    base.git("add", SWEEP)
    base.git("commit", "--quiet", "-m", "Claims", **_names("2026-11-26T10:00:00+00:00"))
    base.commit("Results", "2026-11-28T10:31:00+00:00")


def seeds_in_a_branch(base: Forged) -> None:
    """Seeds are invented and committed in a branch dated when they would have ended, then merged."""
    head = base.git("rev-parse", "HEAD")
    base.git("checkout", "--quiet", "-b", "campaign")
    model = base.left("resnet-20-A-paper-s0")
    lefts = [invent(model, base.planned(f"resnet-20-A-paper-s{seed}"), base.rng) for seed in (1, 2)]
    base.put(*one_after_another(base, lefts, "2026-11-27T06:20:10Z"))
    base.renew()
    base.commit("Two more seeds", "2026-11-27T12:00:00+00:00", ANOTHER)
    base.git("checkout", "--quiet", "--detach", head)
    base.git("merge", "--quiet", "--no-ff", "-m", "Merge the campaign", "campaign", **_names())


FORGERIES = tuple(
    Forgery(forge, "history", True)
    for forge in (
        in_anothers_name,
        a_margin_dated_before_the_runs,
        a_margin_in_the_runs_own_commit,
        a_replaced_commit,
        a_history_of_one_commit,
        results_before_their_claims,
        seeds_in_a_branch,
    )
)
