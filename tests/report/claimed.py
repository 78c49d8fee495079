"""Claims about nets of 20 to 110 layers, the errors of their seeds, and a set of runs that has them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from bench.report.claims import Judged, judge
from bench.report.evidence import Evidence, weigh
from bench.report.frame import Set
from bench.report.verdicts import claims
from bench.spec import Claim, Net, Recipe, Scale, Sweep

PLAIN = {d: Net("cifar", d, "none") for d in (20, 32, 44, 56)}
RESIDUAL = {d: Net("cifar", d, "A") for d in (20, 56, 110)}
DEGRADES = Claim("degrades", "Deeper is worse.", "Fig. 1", "worse with depth", (PLAIN[20], PLAIN[56]))
ORDER = replace(DEGRADES, id="order", nets=tuple(PLAIN.values()))
BEATS = Claim("beats", "Residual is better.", "Fig. 6", "residual beats plain", (PLAIN[56], RESIDUAL[56]))
EQUALS = Claim(
    "same", "The same number.", "Table 6", "equals", (RESIDUAL[110],), margin=0.5, number="t6.resnet-110.error"
)
IN_BF16 = Claim("bf16", "The same in bf16.", "", "unchanged", (PLAIN[20],), margin=0.5, variant="bf16")


def by_seed(**by_net: Sequence[float]) -> dict[tuple[str, str], dict[int, float]]:
    """`plain_20=[9.4, 9.5]`, or `resnet_20_A__bf16=` for a variant: the test errors of seeds 0, 1, ..."""
    names = {net: net.replace("__", "+").replace("_", "-") for net in by_net}
    return {(names[net], "test_error"): dict(enumerate(values)) for net, values in by_net.items()}


def no_floor(*_: object) -> float:
    return 0.0


def judged(claims: Sequence[Claim], planned: int = 3, **by_net: Sequence[float]) -> tuple[Judged, ...]:
    """The claims, all of them judged, with as many seeds planned for each net."""
    plan = {name: range(planned) for claim in claims for name in claim.names}
    return judge(claims, claims, by_seed(**by_net), plan, no_floor)


def one(claim: Claim, **by_net: Sequence[float]) -> Judged:
    """The claim judged alone, at the seeds there are."""
    return judged((claim,), max(map(len, by_net.values())), **by_net)[0]


LOW, HIGH = [9.4, 9.5, 9.6], [13.0, 13.5, 13.2]
ERRORS = {"plain-20": LOW, "plain-56": HIGH, "resnet-20-A": [8.5, 8.6, 8.7], "resnet-56-A": [7.0, 7.1, 7.2]}


def runs(
    scale: str = "paper", data: str = "cifar10", errors: Mapping[str, Sequence[float]] = ERRORS, images: int = 10_000
) -> Set:
    """Three seeds of four nets, all of them done."""
    rows = [
        {
            "id": f"{net}-{i}", "net": net, "depth": int(re.split("[-+]", net)[1]), "seed": i, "state": "done",
            "test_error": error, "train_error": error / 4, "train_loss": 0.1, "test_images": images,
            "variant": net.partition("+")[2], "curve_every": 200, "batch": 128, "error_message": "",
            "claims_sha256": "", "data_sha256": "",
        }
        for net, values in errors.items()
        for i, error in enumerate(values)
    ]  # fmt: skip
    return Set(scale, data, pd.DataFrame(rows), pd.DataFrame())


def without(whole: Set, name: str, state: str, message: str = "") -> Set:
    """The set with one run that has no number."""
    frame = whole.runs.set_index("id", drop=False)
    frame.loc[name, ["state", "test_error", "train_error", "error_message"]] = [state, None, None, message]
    return replace(whole, runs=frame.reset_index(drop=True))


CELLS = (*((net, Recipe()) for net in (*PLAIN.values(), *RESIDUAL.values())), (PLAIN[20], Recipe(precision="bf16")))


def made_up(*claims: Claim, seeds: tuple[int, ...] = (0, 1, 2)) -> Sweep:
    """At scale paper all of the claims are judged, at scale short the first of them."""
    scale = Scale(CELLS, seeds)
    short = replace(scale, judges=tuple(claim.id for claim in claims[:1]))
    return Sweep("Made up", "Is it?", "It is.", {"paper": scale, "short": short, "quick": scale}, claims=claims)


def evidence(one: Set, *claims: Claim) -> Evidence:
    return weigh("made_up", made_up(*claims), [one])[0]


def claims_of(of: Evidence) -> list[str]:
    return claims(of).markdown(of.results.label)


def with_params(results: Set) -> Set:
    """The columns that a table of nets needs besides."""
    residual = results.runs["net"].str.startswith("resnet")
    more: dict[str, Any] = {
        "params": 1,
        "multiply_adds": 1,
        "norm": "bn",
        "shortcut": residual.map({True: "A", False: "none"}),
    }
    return replace(results, runs=results.runs.assign(**more))
