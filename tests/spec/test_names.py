"""Names and ids of declarations: renamed fields, numbers as they are written, claims' ids and nets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.spec import Claim, Detection, Faces, Net, Recipe, Run, SpecError, run_from_json
from bench.spec.declare import RENAMED

PLAIN, RESIDUAL = Net("cifar", 20, "none"), Net("cifar", 20, "A")
NAMES = [(kind, *names) for kind in (Faces, Detection) for names in RENAMED[kind.__name__].items()]


@pytest.mark.parametrize(("kind", "new", "old"), NAMES)
def test_a_renamed_field_keeps_its_key_on_disk_and_is_named_where_the_old_name_is_used(
    kind: Any, new: str, old: str
) -> None:
    net, data = Net("cifar", 8, "A"), "bccd" if kind is Detection else "lfw-view1"
    part: dict[str, Any] = {kind.__name__.lower(): kind(recalibration_images=1) if kind is Detection else kind()}
    run = Run("quick", net, data, Recipe(**part), 0, "detect" if kind is Detection else "verify")
    stored = run.as_json()["recipe"][kind.__name__.lower()]

    assert stored[old] is not None
    assert new not in stored
    assert run_from_json(json.dumps(run.as_json())) == run
    with pytest.raises(SpecError, match=f"^{kind.__name__.lower()}: {old} is called {new} now$"):
        kind(**{old: stored[old]})


def test_whole_numbers_are_one_recipe_with_or_without_a_point_but_where_ids_have_always_told_them_apart() -> None:
    """Runs and claims of earlier versions keep their ids, however their files are written."""
    assert Recipe(lr=1) == Recipe(lr=1.0)
    assert type(Recipe(lr=1).lr) is float
    faces = Faces(loss="softmax", margin=0, scale=64, dropout=0)
    assert {type(value) for value in (faces.margin, faces.scale, faces.dropout)} == {int}
    assert type(Claim("one", "t", "s", "exceeds", (PLAIN,), margin=1, number="txt.plain-110.error").margin) is int


@pytest.mark.parametrize(
    ("nets", "kind", "words"),
    [
        ((PLAIN, PLAIN), "second beats first", "its nets must be different, got "),
        ((RESIDUAL, PLAIN), "residual beats plain", "compares plain with residual nets, got resnet-20-A, plain-20"),
        ((PLAIN,), "worse with depth", "needs 2 nets or more, got 1"),
    ],
)
def test_a_claim_about_other_nets_than_its_kind_is_refused(nets: tuple[Net, ...], kind: str, words: str) -> None:
    with pytest.raises(SpecError, match=f"^claim 'one': .*{words}"):
        Claim("one", "t", "s", kind, nets)


@pytest.mark.parametrize("name", ["", "a b", "../x", "resnet-8-A.test_error"])
def test_a_claims_id_fits_into_ids_of_numbers(name: str) -> None:
    with pytest.raises(SpecError, match="id must be of letters, digits"):
        Claim(name, "t", "s", "exceeds", (PLAIN,), number="txt.plain-110.error")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Recipe(*range(1, 21)), "there are more values than fields"),
        (lambda: Recipe(self=1), "unknown field 'self'"),  # type: ignore[call-arg]
        (lambda: run_from_json("{"), "no JSON: EOF while parsing"),
    ],
)
def test_what_cannot_be_read_at_all_is_refused_in_one_line(make: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words) as refused:
        make()

    assert "\n" not in str(refused.value)
