"""Batches of faces: each once an epoch, mirrored at random, on to the bit from a state."""

from __future__ import annotations

import torch

from bench.tasks.verification.people import FaceBatches, People, Prepare, mirror

SIDE = 8


def numbered(count: int = 20) -> People:
    x = torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return People(x, torch.arange(count), tuple(map(str, range(count))))


def test_every_image_comes_once_an_epoch_whatever_the_batch() -> None:
    batches = FaceBatches(numbered(), Prepare(), 8, torch.Generator().manual_seed(0))

    labels = torch.cat([batches.draw()[1] for _ in range(5)])

    assert labels[:20].sort().values.tolist() == labels[20:].sort().values.tolist() == list(range(20))
    assert labels[:20].tolist() != labels[20:].tolist()


def test_the_stream_goes_on_to_the_bit_from_its_state() -> None:
    batches = FaceBatches(numbered(), Prepare(), 8, torch.Generator().manual_seed(5))
    for _ in range(4):
        batches.draw()
    state = batches.state_dict()
    expected = [batches.draw() for _ in range(6)]
    other = FaceBatches(numbered(), Prepare(), 8, torch.Generator().manual_seed(9))

    other.load_state_dict(state)

    for x, y in expected:
        x2, y2 = other.draw()
        assert torch.equal(x, x2)
        assert torch.equal(y, y2)


def test_each_image_or_its_mirror_image_comes_out_in_minus_one_to_one() -> None:
    people = numbered(200)
    x, y = FaceBatches(people, Prepare(), 200, torch.Generator().manual_seed(0)).draw()
    assert isinstance(people.x, torch.Tensor)
    plain = people.x[y].double() / 127.5 - 1

    as_is = (x - plain).abs().amax((1, 2, 3)) < 1e-6
    mirrored = (x - plain.flip(3)).abs().amax((1, 2, 3)) < 1e-6

    assert (as_is ^ mirrored).all()
    assert 70 < int(mirrored.sum()) < 130
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_mirroring_needs_and_heeds_its_generator() -> None:
    x = torch.randn(32, 3, 4, 4)
    first, again, other = (mirror(x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
