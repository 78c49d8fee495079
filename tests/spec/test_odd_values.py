"""Whatever a field is given, a declaration is made, or refused in one line that a terminal can show."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from bench.spec import Claim, Detection, Ensemble, Faces, Net, Recipe, Resources, Run, Scale, SpecError, Sweep, Views
from tests.fuzzing import FILES, ODD_VALUES

NET, PLAIN, RECIPE = Net("cifar", 20, "A"), Net("cifar", 20, "none"), Recipe()
CLAIM = Claim("c", "t", "s", "residual beats plain", (PLAIN, NET))
USUAL: dict[Any, dict[str, Any]] = {
    Sweep: {"title": "T", "question": "Q?", "claim": "C.", "scales": {"quick": Scale(((NET, RECIPE),), (0,))}},
    Scale: {"cells": ((NET, RECIPE),), "seeds": (0,)},
    Claim: {"id": "c", "text": "t", "source": "s", "kind": "residual beats plain", "nets": (PLAIN, NET)},
    Ensemble: {"id": "e", "text": "t", "nets": (PLAIN, NET)},
    Net: {"family": "cifar", "depth": 20, "shortcut": "A"},
    Run: {"scale": "quick", "net": NET, "data": "cifar10", "recipe": RECIPE, "seed": 0},
    Recipe: {}, Views: {}, Faces: {}, Detection: {}, Resources: {},
}  # fmt: skip
ODD: tuple[Any, ...] = (
    *ODD_VALUES,
    *(NET, Net, RECIPE, CLAIM, (NET, RECIPE), ((NET, RECIPE),), [(NET, RECIPE)], {NET: RECIPE}, {"quick": NET}),
    *((0,), (0, 0), (-1, 10**30), ("a\nb",), "0, 1", "(1, 2", "1" * 5_000, "((" * 500, b"x", 1j, object(), len),
    *(range(10**9), frozenset((1,)), {"a", 3}, ..., lambda: 0),
)


def odd(rng: random.Random) -> Any:
    return rng.choice((*ODD, itertools.count(), (i for i in range(3))))


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", USUAL, ids=lambda kind: kind.__name__)
def test_odd_values_make_a_declaration_or_one_line(kind: Any) -> None:
    rng, names = random.Random(0), list(kind.__pydantic_fields__)
    refusals = []
    for k in range(max(FILES, len(ODD))):
        changed = {name: odd(rng) for name in rng.sample(names, min(len(names), 1 + k % 3))}
        try:
            made = kind(**(USUAL[kind] | changed))
        except SpecError as error:
            refusals.append(str(error))
        else:
            assert kind in (Scale, Sweep) or isinstance(hash(made), int)

    assert refusals
    assert not [said for said in refusals if "\n" in said or "\x1b" in said or len(said) > 2_000]
