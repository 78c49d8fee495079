"""Claims as a sweep declares them: what cannot be meant is refused, and the digest is of all that decides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.spec import Claim, Recipe, Scale, SpecError, Sweep
from tests.report.claimed import BEATS, CELLS, DEGRADES, EQUALS, IN_BF16, ORDER, PLAIN, RESIDUAL


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "nicer"}, "kind 'nicer' is not one of"),
        ({"metric": "colour"}, "metric 'colour' is not one of: test_error, train_error"),
        ({"nets": (PLAIN[20],)}, "'worse with depth' needs 2 nets or more, got 1"),
        ({"margin": -1}, "margin must be 0 or more, got -1"),
        ({"number": "t6.resnet-20.error"}, "'worse with depth' names no number of the paper"),
        (
            {"kind": "equals", "nets": (PLAIN[20],)},
            "a margin above 0, such as margin=0.5; 'equals' needs the id of a number",
        ),
        (
            {"kind": "unchanged", "nets": (PLAIN[20],), "margin": 1},
            'needs a variant, such as variant="bf16',
        ),
        ({"kind": "unchanged", "nets": (PLAIN[20],), "variant": "bf16"}, "no seeds prove two numbers equal"),
        ({"variant": "bf16"}, "'worse with depth' has no variant"),
    ],
)
def test_a_claim_that_cannot_be_meant_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        replace(DEGRADES, **changes)


def test_a_sweep_refuses_two_claims_of_one_name_and_claims_about_nets_that_it_does_not_run() -> None:
    scales = {"quick": Scale(((PLAIN[20], Recipe()), (PLAIN[56], Recipe())), (0,))}

    with pytest.raises(SpecError, match="two claims have the id degrades; claims .* are about nets .*: resnet-56-A"):
        Sweep("T", "Q?", "C.", scales, claims=(DEGRADES, DEGRADES, BEATS))
    with pytest.raises(SpecError, match=r"are about nets .*: plain-20\+bf16"):
        Sweep("T", "Q?", "C.", scales, claims=(IN_BF16,))


@pytest.mark.parametrize(
    ("scale", "changes", "message"),
    [
        (
            "paper",
            {"judges": ("degrades", "nicer")},
            "claims that are not there: nicer; there are: degrades, beats",
        ),
        (
            "paper",
            {"judges": ("degrades", "beats")},
            "paper judges 'beats' and does not plan two seeds or more of each of its nets",
        ),
        ("quick", {"judges": ("degrades",)}, "scale quick judges no claim: its recipe is made for minutes"),
    ],
)
def test_a_scale_cannot_judge_what_it_cannot_know(scale: str, changes: dict[str, Any], message: str) -> None:
    own = Scale(((PLAIN[20], Recipe()), (PLAIN[56], Recipe())), (0, 1))
    whole = Scale((*own.cells, (RESIDUAL[56], Recipe())), (0, 1))
    scales = {"short": whole, scale: replace(own, **changes)}

    with pytest.raises(SpecError, match=message):
        Sweep("T", "Q?", "C.", scales, claims=(DEGRADES, BEATS))


def test_scale_paper_judges_every_claim_whose_nets_it_runs_and_the_others_what_they_say() -> None:
    some = Scale(((PLAIN[20], Recipe()), (PLAIN[56], Recipe())), (0, 1))
    whole = Scale((*some.cells, (RESIDUAL[56], Recipe())), (0, 1))

    def judged(scale: str, at: Scale) -> list[str]:
        sweep = Sweep("T", "Q?", "C.", {"quick": whole, scale: at}, claims=(DEGRADES, BEATS))
        return [claim.id for claim in sweep.judged_at(scale)]

    assert judged("paper", whole) == ["degrades", "beats"]
    assert judged("paper", some) == ["degrades"]
    assert judged("paper", replace(whole, judges=("beats",))) == ["beats"]
    assert judged("paper", replace(whole, judges=())) == judged("short", whole) == judged("quick", whole) == []
    assert judged("short", replace(whole, judges=("beats", "degrades"))) == ["degrades", "beats"]


DECLARED = Sweep(
    "Made up",
    "Is it?",
    "It is.",
    {"paper": Scale(CELLS, (0, 1, 2), seeds_by_net={RESIDUAL[110]: (0, 1)}, judges=("degrades", "same", "bf16"))},
    claims=(DEGRADES, EQUALS, IN_BF16, BEATS),
)


def test_the_digest_of_a_declaration_never_changes_by_accident() -> None:
    """A change of this golden value is a change of what was declared before the runs of every sweep."""
    assert DECLARED.declaration("paper")["claims"][2] == {
        "id": "same", "metric": "test_error", "number": "t6.resnet-110.error", "paired": False,
        "comparisons": [{"weights": {"resnet-110-A": 1}, "low": -0.5, "high": 0.5}],
        "seeds": {"resnet-110-A": [0, 1]},
    }  # fmt: skip
    assert DECLARED.claims_digest("paper") == "2841ebe83a30897e1b126b3cc3dba3862675dfc278182745e4167c089899e37e"


def changed(claim: Claim, **changes: Any) -> tuple[Claim, ...]:
    return tuple(replace(one, **changes) if one == claim else one for one in DECLARED.claims)


def rescaled(**changes: Any) -> dict[str, Scale]:
    return {"paper": replace(DECLARED.scales["paper"], **changes)}


@pytest.mark.parametrize(
    "changes",
    [
        {"claims": changed(DEGRADES, text="In other words.", source="Fig. 6")},
        {"title": "T", "question": "Q?", "claim": "C.", "deviations": ("None.",)},
        {"scales": rescaled(about="the whole", deviations=("None.",))},
        {"scales": rescaled(judges=("bf16", "same", "degrades"))},
        {"claims": DECLARED.claims[::-1]},
        {"claims": changed(BEATS, margin=1.0)},
        {"claims": DECLARED.claims[:3]},
        {"claims": (*DECLARED.claims, ORDER)},
        {"scales": rescaled(seeds_by_net={RESIDUAL[110]: (0, 1), RESIDUAL[56]: (7, 8)})},
    ],
    ids=["text", "title", "about", "order of judges", "order", "unjudged", "one less", "one more", "foreign net"],
)
def test_wording_order_and_what_is_not_judged_are_not_in_the_digest(changes: dict[str, Any]) -> None:
    assert replace(DECLARED, **changes).claims_digest("paper") == DECLARED.claims_digest("paper")


@pytest.mark.parametrize(
    "changes",
    [
        {"claims": changed(DEGRADES, margin=0.1)},
        {"claims": changed(EQUALS, margin=0.6)},
        {"claims": changed(DEGRADES, nets=(PLAIN[20], PLAIN[44]))},
        {"claims": changed(DEGRADES, nets=(PLAIN[56], PLAIN[20]))},
        {"claims": changed(DEGRADES, kind="better with depth")},
        {"claims": changed(DEGRADES, metric="train_error")},
        {"claims": changed(EQUALS, number="t6.resnet-56.error")},
        {"scales": rescaled(seeds=(0, 1, 2, 3))},
        {"scales": rescaled(seeds=(3, 4, 5))},
        {"scales": rescaled(seeds_by_net={})},
        {"scales": rescaled(judges=("degrades", "same"))},
        {"scales": rescaled(judges=None)},
    ],
    ids=["margin", "equality", "net", "order", "kind", "metric", "number", "n", "seeds", "net's", "less", "all"],
)
def test_all_that_can_change_a_verdict_is_in_the_digest(changes: dict[str, Any]) -> None:
    assert replace(DECLARED, **changes).claims_digest("paper") != DECLARED.claims_digest("paper")


def test_the_digest_is_of_one_scale() -> None:
    both = replace(DECLARED, scales={**DECLARED.scales, "short": DECLARED.scales["paper"]})

    assert both.claims_digest("short") != both.claims_digest("paper") == DECLARED.claims_digest("paper")
