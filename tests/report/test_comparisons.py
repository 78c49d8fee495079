"""Nets beside each other, image by image, and beside what others have measured of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.report.numbers import Number
from bench.report.pairs import paired_table, trained_table
from bench.tasks.classification.sections import depth_pairs, depth_table, reproductions_table
from tests.report.claimed import evidence, runs, with_params, without


def test_nets_are_compared_where_their_images_are_stored_and_two_trained_ones_apart_from_their_recipes() -> None:
    bare = without(without(runs(images=16), "plain-20-0", "failed"), "plain-56-1", "pending")
    stored = {str(name): bytes([0b11110000, 0b11001100]) for name in bare.runs["id"]}
    better = {name: bytes([0b11111111, 0b11001100]) for name in stored if name.startswith("resnet")}
    bits = {name: np.frombuffer(value, np.uint8) for name, value in (stored | better).items()}

    of = evidence(replace(bare, correct=bits))
    recipes, trained = paired_table(of), trained_table(of.pairs)

    assert not evidence(bare).pairs
    assert recipes is not None
    assert trained is not None
    assert list(map(str, recipes.rows[0]))[:3] == ["20", "2, 3", "−0.95"]
    assert "McNemar" not in f"{recipes.header} {recipes.note}"
    assert trained.rows[0] == ("plain-20", "ResNet-20", "16", "0", "4", "0.062")
    assert "says nothing of their recipes" in trained.note


def test_the_shallowest_and_the_deepest_net_of_a_kind_are_compared_image_by_image() -> None:
    errors = {name: [25.0, 25.0] for name in ("plain-20", "plain-32", "resnet-20-A")} | {"plain-56": [31.25, 31.25]}
    bare = with_params(runs(images=16, errors=errors))
    bits = {str(name): np.frombuffer(bytes([0b11110000, 0b11001100]), np.uint8) for name in bare.runs["id"]}
    bits["plain-56-0"] = bits["plain-56-1"] = np.frombuffer(bytes([0b11100000, 0b11001100]), np.uint8)

    of = evidence(replace(bare, correct=bits))
    pairs = depth_pairs(of)

    found = depth_table(of, pairs)

    assert found is not None
    ((nets, seeds, difference, *_),) = found.rows
    assert (nets, seeds) == ("plain-20, plain-56", "2, 2")
    assert (pairs[0].first.only_first, pairs[0].first.only_second, round(pairs[0].first.p_mid, 9)) == (1, 0, 0.5)
    assert isinstance(difference, Number)
    assert (difference.id, difference.value) == ("made_up.paper.pair-plain-20-plain-56.test_error", 6.25)
    assert (difference.n, len(difference.runs), str(difference)) == (2, 4, "+6.25")


def test_other_peoples_numbers_stand_beside_ours_at_the_papers_schedule_alone() -> None:
    nets = {"plain-20": [9.3], "resnet-20-A": [8.5], "resnet-56-A": []}
    here, quick = (reproductions_table(evidence(with_params(runs(scale, errors=nets)))) for scale in ("paper", "quick"))

    assert quick is None
    assert here is not None
    assert dict(zip(here.header, next(row for row in here.rows if row[0] == "ResNet-20"), strict=True)) == {
        "net": "ResNet-20", "paper": "8.75", "here (n)": "8.50 (1)", "akamaster, PyTorch": "8.27",
        "gcr, Torch": "8.29", "fish145, Caffe": "8.06", "a-martyn, PyTorch": "8.00",
    }  # fmt: skip
    assert (
        "akamaster, PyTorch (github.com/akamaster/pytorch_resnet_cifar10): best epoch on the test images" in here.note
    )
