"""Forged claims, margins, deviations, and the numbers that claims are compared with."""

from __future__ import annotations

from tests.forgeries.base import Forged, Forgery

FILE = "sweeps/plain_vs_residual.py"


def _declare(base: Forged, old: str, new: str, *, digests: bool = False) -> None:
    """Another text in the sweep file; digests: and in the rows the digest of what it now declares."""
    base.replace(FILE, old, new)
    if digests:
        _renew_digests(base)
    base.renew(draw="paper")


def _renew_digests(base: Forged) -> None:
    sweep = base.sweep
    changes = [
        row | ({"claims_sha256": sweep.claims_digest(row["scale"])} if row["state"] == "done" else {})
        for row in base.rows()
    ]
    base.write_rows(changes)


def a_wider_margin(base: Forged) -> None:
    """The margin of all "equals" claims is 2 points where it was 0.5, after the results."""
    _declare(base, "TOLERANCE = 0.5", "TOLERANCE = 2.0")


def a_wider_margin_with_its_digest(base: Forged) -> None:
    """The same, and the runs are said to have begun under it."""
    _declare(base, "TOLERANCE = 0.5", "TOLERANCE = 2.0", digests=True)


def a_narrower_margin_on_the_way(base: Forged) -> None:
    """The margin is chosen just above what was found, with a reason; the runs are said to have begun under it."""
    base.replace(FILE, "TOLERANCE = 0.5", "TOLERANCE = 0.62  # a standard deviation of four of the paper's seeds")
    _renew_digests(base)
    base.renew(draw="paper")


def a_claim_left_out(base: Forged) -> None:
    """The claim that fails, on the order of the residual nets, is not one of the sweep's any more."""
    text = (base.root / FILE).read_text(encoding="utf-8")
    place = text.index('        "residual-order"')
    start, end = text.rindex("    Claim(", 0, place), text.index("    ),\n", place) + len("    ),\n")
    _declare(base, text[start:end], "")


def a_claim_turned_around(base: Forged) -> None:
    """A claim says the opposite of what it said, as the results do."""
    _declare(base, '"The test error of a residual net falls from 20 to 110 layers.",\n        "Table 6",\n        '
                   '"better with depth"', '"The test error of a residual net rises from 20 to 110 layers.",\n        '
                   '"Table 6",\n        "worse with depth"', digests=True)  # fmt: skip


def judged_by_what_was_found(base: Forged) -> None:
    """At scale short only the claims are judged that came out well."""
    text = (base.root / FILE).read_text(encoding="utf-8")
    start = text.index("JUDGED_SHORT = (")
    end = text.index("\n)\n", start) + 3
    _declare(base, text[start:end], 'JUDGED_SHORT = ("plain-degrades", "residual-trains")\n', digests=True)


def as_many_seeds_as_there_are(base: Forged) -> None:
    """The plan is two seeds at the paper's schedule, as if no more had ever been meant."""
    base.replace(FILE, "SEEDS = (0, 1, 2, 3, 4)", "SEEDS = (0, 1)")
    base.drop(*(row["id"] for row in base.rows() if row["scale"] == "paper" and int(row["seed"]) > 1))
    _renew_digests(base)
    base.renew(draw="paper")


def the_seeds_that_fit(base: Forged) -> None:
    """The plan of scale short names the seeds that came out well, and those alone."""
    base.replace(FILE, "20: (0, 1, 2, 3, 4), 32", "20: (0, 3), 32")
    base.drop("plain-20-short-s1", "plain-20-short-s2", "resnet-20-A-short-s1")
    _renew_digests(base)
    base.renew()


def a_deviation_concealed(base: Forged) -> None:
    """The page does not say any more that runs were made in bf16."""
    _declare(base, "(BF16, TWO_GPUS, WARM_UP),\n            judges", "(TWO_GPUS, WARM_UP),\n            judges")


def a_deviation_of_all_concealed(base: Forged) -> None:
    """The deviation that the training error is measured otherwise is left out."""
    text = (base.root / FILE).read_text(encoding="utf-8")
    start = text.index('        "The training error is that of augmented batches')
    _declare(base, text[start : text.index("\n", start) + 1], "", digests=True)


def a_scale_that_promises_more(base: Forged) -> None:
    """An eighth of the steps is called the paper's schedule."""
    _declare(base, "an eighth of the paper's steps; not comparable with its errors", "the paper's schedule")


def tuning_concealed(base: Forged) -> None:
    """That the learning rate was chosen on these very test images is said no more."""
    base.replace(FILE, "(FEW_STEPS, TUNED),", "(FEW_STEPS,),")
    base.replace(
        FILE, "200 steps, at a learning rate tuned on the very nets, seeds and test images shown here", "200 steps"
    )
    base.renew()


def another_question(base: Forged) -> None:
    """The question is the one that the results answer."""
    _declare(base, "Does error rise with depth in plain networks but not in residual networks?",
             "Does a residual net of 20 layers beat a plain one?")  # fmt: skip


def a_planted_sweep_file(base: Forged) -> None:
    """A copy of the sweep file lies beside the numbers, where it counts before the suite's, with a wider margin."""
    text = (base.root / FILE).read_text(encoding="utf-8")
    (base.results / "sweep.py").write_text(text.replace("TOLERANCE = 0.5", "TOLERANCE = 1.5"), encoding="utf-8")
    base.renew(draw="paper")


def declared_before_they_were(base: Forged) -> None:
    """Runs from before the claims were declared have the digest of today's."""
    today = base.sweep.claims_digest("paper")
    base.write_rows([r | ({"claims_sha256": today} if r["commit"].startswith("c720") else {}) for r in base.rows()])
    base.renew()


def no_claims_known(base: Forged) -> None:
    """The digests of the claims are gone from all rows: any claims may have been declared."""
    base.edit_done(claims_sha256="")
    base.renew()


def the_papers_number(base: Forged) -> None:
    """The paper is said to have printed what was found."""
    text = (base.root / "bench/paper.yaml").read_text(encoding="utf-8")
    line = next(each for each in text.splitlines() if "id: t6.resnet-20.error" in each)
    base.replace("bench/paper.yaml", line, line.replace("value: 8.75", "value: 8.50"))
    base.renew(draw="paper")


def the_papers_spread(base: Forged) -> None:
    """The paper is said to have found three times the spread over its seeds."""
    base.replace("bench/paper.yaml", "std: 0.16", "std: 0.48")
    base.renew(draw="paper")


def other_peoples_numbers(base: Forged) -> None:
    """Other people's numbers are a point worse than their pages say."""
    base.replace("bench/reproductions.yaml", "resnet-20-A: 8.27", "resnet-20-A: 9.27")
    base.replace("bench/reproductions.yaml", "resnet-20-A: 8.29", "resnet-20-A: 9.29")
    base.renew(draw="paper")


DIGESTS = (
    a_wider_margin_with_its_digest,
    a_narrower_margin_on_the_way,
    a_claim_turned_around,
    judged_by_what_was_found,
    as_many_seeds_as_there_are,
    the_seeds_that_fit,
    a_deviation_of_all_concealed,
    declared_before_they_were,
    no_claims_known,
)
FORGERIES = (
    *(Forgery(forge, "claims", True) for forge in (a_wider_margin, a_claim_left_out, another_question, *DIGESTS)),
    Forgery(a_planted_sweep_file, "claims", True),
    *(
        Forgery(forge, "deviations", True)
        for forge in (a_deviation_concealed, a_scale_that_promises_more, tuning_concealed)
    ),
    *(
        Forgery(forge, "the paper's numbers", True)
        for forge in (the_papers_number, the_papers_spread, other_peoples_numbers)
    ),
)
