"""CIFAR-10 in memory: reading, mean, crop and flip, and a stream that misses no image."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bench.data.cifar_files import cifar, verify
from bench.data.locate import DataError, data_folder, notice
from bench.spec.datasets import is_official
from bench.tasks.classification.cifar import Batches, Images, Prefetched, Prepare, crop, draw_crops, load, make_images
from bench.tasks.classification.synthetic import stand_in
from tests.tasks.classification.builders import small


def write_binary(folder: Path, notice: str = "") -> Path:
    """The data set's own binary layout with made-up pixels, every file of its official size."""
    out = folder / "cifar-10-batches-bin"
    out.mkdir()
    for k, name in enumerate([*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]):
        records = np.random.default_rng(k).integers(0, 256, (10_000, 3073), dtype=np.uint8)
        records[:, 0] %= 10
        records.tofile(out / name)
    if notice:
        (out / "NOTICE.json").write_text(json.dumps({"notice": notice}))
    return out


def test_the_binary_layout_is_read_whole_and_in_order(tmp_path: Path) -> None:
    out = write_binary(tmp_path, notice="made up")
    raw = np.fromfile(out / "data_batch_2.bin", np.uint8).reshape(-1, 3073)

    found = cifar(tmp_path, "cifar10")
    assert found == out
    images = load(out)

    assert images.train_x.shape == (50_000, 3, 32, 32)
    assert images.test_x.shape == (10_000, 3, 32, 32)
    assert np.array_equal(images.train_x[10_000:20_000].numpy().reshape(-1, 3072), raw[:, 1:])
    assert np.array_equal(images.train_y[10_000:20_000].numpy(), raw[:, 0])
    assert images.notice == "made up"


def change_a_pixel(folder: Path, name: str = "test_batch.bin") -> None:
    """The last pixel of the file one brighter."""
    raw = np.fromfile(folder / name, np.uint8)
    raw[-1] += np.uint8(1)
    raw.tofile(folder / name)


def test_one_changed_pixel_is_another_digest_and_made_up_data_are_not_the_official_ones(tmp_path: Path) -> None:
    out = write_binary(tmp_path)
    before = load(out).digest
    change_a_pixel(out)

    assert len({before, load(out).digest}) == 2
    assert not is_official("cifar10", before)


def test_a_truncated_batch_is_refused_with_its_name_and_sizes(tmp_path: Path) -> None:
    out = write_binary(tmp_path)
    with (out / "data_batch_3.bin").open("r+b") as file:
        file.truncate(1_000_000)

    with pytest.raises(DataError, match=r"data_batch_3.bin has 1,000,000 bytes, not 30,730,000"):
        cifar(tmp_path, "cifar10")


def test_a_missing_batch_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()

    with pytest.raises(DataError, match="data_batch_1 is missing"):
        cifar(tmp_path, "cifar10")


def test_python_batches_that_are_not_the_official_ones_are_refused_by_md5(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(b"not CIFAR-10")

    with pytest.raises(DataError, match=r"data_batch_1, .* truncated or changed \(MD5\)"):
        verify(folder)
    with pytest.raises(DataError, match="MD5"):
        load(folder)


def test_a_notice_that_cannot_be_read_is_refused_and_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "NOTICE.json").write_text('{"notice": "half')

    with pytest.raises(DataError, match="NOTICE.json cannot be read"):
        notice(tmp_path)
    assert notice(tmp_path.parent) == ""


def test_a_named_folder_that_does_not_exist_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"--data .*: no such folder"):
        data_folder(tmp_path / "nowhere")
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"BENCH_DATA .*: no such folder"):
        data_folder(None)


def test_the_per_pixel_mean_of_the_training_set_is_subtracted() -> None:
    images = small()
    prepare = Prepare.of(images.train_x)

    inputs = prepare(images.train_x)

    reference = images.train_x.double().mean(0) / 255
    assert torch.allclose(prepare.mean.double(), reference, atol=1e-7)
    assert torch.allclose(inputs.mean(0), torch.zeros(3, 32, 32), atol=1e-6)
    assert inputs.is_contiguous(memory_format=torch.channels_last)


def test_augmentation_is_a_crop_of_the_zero_padded_image_or_its_mirror() -> None:
    """Every output is found among all 2 x 9 x 9 windows cut one by one."""
    x = torch.randn(40, 3, 32, 32)
    padded = F.pad(x, (4, 4, 4, 4))

    out = crop(x, draw_crops(len(x), torch.Generator().manual_seed(5)))

    seen = set()
    for i in range(len(x)):
        windows = {
            (top, left, mirror): w.flip(2) if mirror else w
            for top in range(9)
            for left in range(9)
            for mirror in (False, True)
            for w in [padded[i, :, top : top + 32, left : left + 32]]
        }
        (key,) = [key for key, window in windows.items() if torch.equal(window, out[i])]
        seen.add(key)
    assert len(seen) > 30
    assert {mirror for _, _, mirror in seen} == {False, True}


def stream(seed: int = 3) -> Batches:
    """Seven images in batches of three: an epoch ends within a batch."""
    images = small()
    few = replace(images, train_x=images.train_x[:7], train_y=images.train_y[:7])
    return Batches(few, Prepare.of(few.train_x), 3, torch.Generator().manual_seed(seed))


def test_a_batch_is_made_of_what_was_chosen_for_it() -> None:
    drawn, made = stream(), stream()
    for _ in range(4):
        x, y = drawn.draw()
        ours, labels = made.make(made.choose())
        assert torch.equal(ours, x)
        assert torch.equal(labels, y)
        assert ours.stride() == x.stride()


def test_choices_made_ahead_are_those_made_one_by_one_across_blocks_and_epochs() -> None:
    ahead, batches = Prefetched(stream()), stream()
    assert ahead.batch == 3
    for step in range(2 * Prefetched.BLOCK + 3):
        (choice,) = ahead.draw()
        assert torch.equal(choice, batches.choose()), step


def same_state(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    assert ours.keys() == theirs.keys()
    return all(torch.equal(torch.as_tensor(ours[name]), torch.as_tensor(theirs[name])) for name in ours)


@pytest.mark.parametrize("drawn", [0, 1, 199, 200, 201])
def test_choices_made_ahead_are_saved_as_if_they_were_not(drawn: int) -> None:
    """A stream goes on from the other's state, whichever made it, and saving moves nothing."""
    ahead, batches = Prefetched(stream()), stream()
    for _ in range(drawn):
        ahead.draw()
        batches.choose()

    state = ahead.state_dict()
    assert same_state(state, batches.state_dict())
    assert same_state(ahead.state_dict(), state)
    resumed, plain = Prefetched(stream(4)), stream(5)
    resumed.draw()  # of a block to be forgotten
    resumed.load_state_dict(state)
    plain.load_state_dict(state)
    assert same_state(resumed.state_dict(), state)
    for _ in range(Prefetched.BLOCK + 2):
        expected = batches.choose()
        assert all(torch.equal(one, expected) for one in (*ahead.draw(), *resumed.draw(), plain.choose()))
    assert same_state(resumed.state_dict(), batches.state_dict())


def test_the_generator_suffices_and_matters() -> None:
    x = torch.randn(16, 3, 32, 32)
    first, again, other = (crop(x, draw_crops(16, torch.Generator().manual_seed(seed))) for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_every_image_comes_once_an_epoch_whatever_the_batch() -> None:
    images = small(50)
    marked = Images(images.train_x, torch.arange(50), images.test_x, images.test_y, "")
    batches = Batches(marked, Prepare.of(marked.train_x), 8, torch.Generator().manual_seed(0))

    labels = torch.cat([batches.draw()[1] for _ in range(25)])

    for epoch in labels.split(50):
        assert sorted(epoch.tolist()) == list(range(50))
    assert not torch.equal(labels[:50], labels[50:100])


@pytest.mark.parametrize("drawn", [0, 1, 6, 7, 13])
def test_a_stream_goes_on_where_its_state_was_taken(drawn: int) -> None:
    images = small(50)

    def stream(seed: int) -> Batches:
        return Batches(images, Prepare.of(images.train_x), 8, torch.Generator().manual_seed(seed))

    one, other = stream(0), stream(99)
    for _ in range(drawn):
        one.draw()
    other.load_state_dict(one.state_dict())

    for _ in range(10):
        (x, y), (x2, y2) = one.draw(), other.draw()
        assert torch.equal(x, x2)
        assert torch.equal(y, y2)


def test_held_out_images_are_in_neither_more_nor_less_than_one_part() -> None:
    images = small(50)
    marked = Images(images.train_x, torch.arange(50), images.test_x, images.test_y, "")

    kept, _, held = marked.holding_out(10, torch.Generator().manual_seed(0))

    assert sorted([*kept.train_y.tolist(), *held.tolist()]) == list(range(50))
    assert len(held) == 10


def test_the_stand_in_is_made_of_its_seed_and_has_ten_balanced_classes() -> None:
    one, again, other = stand_in(200, 100, 0), stand_in(200, 100, 0), stand_in(200, 100, 1)

    assert one.digest == again.digest != other.digest
    assert torch.bincount(torch.cat([one.train_y, one.test_y])).tolist() == [30] * 10
    assert "Not CIFAR-10" in one.notice


@pytest.mark.data
def test_the_real_cifar10_has_its_known_mean(bench_data: Path) -> None:
    found = cifar(bench_data, "cifar10")
    assert found is not None
    images = load(found)

    channel = images.train_x.double().mean((0, 2, 3)) / 255
    assert channel.tolist() == pytest.approx([0.491400, 0.482158, 0.446531], abs=2e-6)
    assert torch.bincount(images.train_y).tolist() == [5_000] * 10
    assert torch.bincount(images.test_y).tolist() == [1_000] * 10


@pytest.mark.data
def test_the_real_cifar10_is_the_official_one_until_a_pixel_changes(bench_data: Path, tmp_path: Path) -> None:
    found = cifar(bench_data, "cifar10")
    assert found is not None
    assert is_official("cifar10", load(found).digest)
    if found.name != "cifar-10-batches-bin":
        pytest.skip("the python batches are MD5-checked: a changed pixel is refused there")
    copy = tmp_path / found.name
    copy.mkdir()
    for path in found.glob("*.bin"):
        shutil.copyfile(path, copy / path.name)

    change_a_pixel(copy)

    assert is_official("cifar10", load(copy).digest) is False


@pytest.mark.parametrize("label", [256, 300, 1_229])
def test_the_digest_tells_classes_apart_that_are_equal_in_their_lowest_byte(label: int) -> None:
    x, y, other = torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.tensor([0, label]), torch.tensor([0, label % 256])

    assert make_images(x, y, x, y).digest != make_images(x, other, x, other).digest
