"""Training views and their stream: what Pillow makes of the whole image, every image once, exact on resume."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as tf
from PIL import Image

pytest.importorskip("simplejpeg", reason="needs simplejpeg")

from bench.data.decode import decode
from bench.data.locate import DataError
from bench.tasks.classification.imagenet.files import ImageSet, load
from bench.tasks.classification.imagenet.stream import ImageBatches
from bench.tasks.classification.imagenet.transforms import (
    InceptionCrop,
    Normalise,
    ScaleCrop,
    View,
    inception_view,
    keyed,
    measure,
    paper_view,
    resized,
    resized_part,
)
from tests.tasks.classification.imagenet import little
from tests.tasks.classification.imagenet.little import jpeg

SIZES = ((500, 375), (375, 500), (301, 299), (640, 90), (100, 70), (48, 48))


@pytest.fixture
def small(tmp_path: Path) -> ImageSet:
    return load(little.folders(tmp_path))


def both(size: tuple[int, int], seed: int = 3) -> tuple[torch.Tensor, Image.Image]:
    data = jpeg(seed, size, quality=95)
    return decode(data)[0], Image.open(io.BytesIO(data)).convert("RGB")


def assert_near(ours: torch.Tensor, image: Image.Image) -> None:
    """At most two grey levels apart anywhere and a tenth of one on average."""
    difference = (ours.int() - torch.from_numpy(np.array(image)).permute(2, 0, 1).int()).abs()
    assert difference.max() <= 2
    assert difference.float().mean() < 0.1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shorter", [64, 97, 256])
def test_resized_is_what_pillow_makes(size: tuple[int, int], shorter: int) -> None:
    ours, theirs = both(size)

    assert_near(resized(ours, shorter), tf.resize(theirs, shorter))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("corner", [(0.0, 0.0), (1.0, 1.0), (0.4, 0.7)])
def test_a_resized_part_is_the_whole_resized_and_cut(size: tuple[int, int], corner: tuple[float, float]) -> None:
    ours, theirs = both(size)
    for shorter in (56, 83, 200):
        whole = tf.resize(theirs, shorter)
        top, left = (round(share * (n - 56)) for share, n in zip(corner, whole.size[::-1], strict=True))

        part = resized_part(ours, whole.size[::-1], top, left, 56)

        assert_near(part, tf.crop(whole, top, left, 56, 56))


class Told:
    """Gives the draws it was told, in place of a generator."""

    def __init__(self, *draws: float) -> None:
        self.draws = list(draws)

    def next(self, *_: object, **__: object) -> float:
        return self.draws.pop(0)

    integers = uniform = next


def test_scale_and_crop_is_section_3_4s() -> None:
    ours, theirs = both((500, 375))
    told: Any = Told(300, 40, 120, 1)  # shorter side, top, left, mirrored

    view = ScaleCrop(224, (256, 480))(ours, told)

    assert_near(view, tf.hflip(tf.crop(tf.resize(theirs, 300), 40, 120, 224, 224)))


def test_the_inception_crop_is_torchvisions() -> None:
    ours, theirs = both((500, 375))
    told: Any = Told(0.3, 0.0, 10, 55, 0)  # area, log of aspect, top, left, mirrored

    view = InceptionCrop(224)(ours, told)

    side = round((0.3 * 500 * 375) ** 0.5)
    assert_near(view, tf.resized_crop(theirs, 10, 55, side, side, [224, 224]))


def test_the_inception_crop_of_a_strip_is_its_middle() -> None:
    ours, theirs = both((640, 90))
    crop = InceptionCrop(56)
    told: Any = Told(*(0.95, 0.0) * 10, 0)  # ten squares too large

    assert_near(crop(ours, told), tf.resized_crop(theirs, 0, 260, 90, 120, [56, 56]))


@pytest.mark.parametrize("crop", [ScaleCrop(56, (64, 80)), InceptionCrop(56)])
def test_views_differ_with_the_place_and_not_with_the_turn(crop: Callable[..., torch.Tensor]) -> None:
    image, _ = both((100, 70))

    views = [crop(image, keyed(7, place)) for place in range(40)]

    assert all(view.shape == (3, 56, 56) and view.dtype == torch.uint8 for view in views)
    assert len({view.numpy().tobytes() for view in views}) == 40
    assert all(torch.equal(crop(image, keyed(7, place)), views[place]) for place in (31, 4))
    assert not torch.equal(crop(image, keyed(8, 0)), views[0])


def test_colours_are_those_of_the_views_and_their_mirrors(small: ImageSet) -> None:
    crop = ScaleCrop(32, (32, 40))
    mean_image, axes = measure(small.train, crop, sample=100, seed=5)

    order = np.random.default_rng(5).permutation(12)
    views = [crop(decode(small.train.read(i))[0], keyed(5, k)) for k, i in enumerate(order.tolist())]
    x = torch.stack([v for view in views for v in (view, view.flip(2))]).double() / 255
    assert torch.allclose(mean_image, x.mean(0).float(), atol=1e-6)
    covariance = torch.cov(x.transpose(0, 1).flatten(1), correction=0).float()
    assert torch.allclose(axes @ axes.T, covariance, atol=1e-6)
    assert torch.equal(measure(small.train, crop, sample=100, seed=5)[0], mean_image)
    assert not torch.equal(measure(small.train, crop, sample=4, seed=6)[0], mean_image)


@pytest.mark.parametrize("image", [True, False])
def test_normalising_is_minus_the_mean_over_the_deviation(image: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (9, 3, 20, 20), generator=generator, dtype=torch.uint8)
    mean = torch.rand((3, 20, 20) if image else (3, 1, 1), generator=generator)
    std, shift = torch.tensor((0.2, 0.3, 0.5)).view(3, 1, 1), torch.randn((9, 3), generator=generator)
    normalise = Normalise(mean, std)

    plain = (x.float() / 255 - mean) / std
    assert torch.allclose(normalise(x), plain, atol=1e-5)
    assert normalise(x).is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(normalise(x, shift), (x.float() / 255 + shift[:, :, None, None] - mean) / std, atol=1e-5)
    other = x[:, :, :10]
    assert torch.allclose(normalise(other), (other.float() / 255 - mean.mean((1, 2), keepdim=True)) / std, atol=1e-5)


def test_the_papers_view_shifts_colours_along_their_axes(small: ImageSet) -> None:
    view = paper_view(small.train, ScaleCrop(32, (32, 40)))
    assert view.colours is not None
    image = decode(small.train.read(0))[0]

    shifts = torch.stack([view.draw(image, keyed(0, place))[1] for place in range(2_000)])

    expected = 0.01 * view.colours @ view.colours.T
    assert torch.allclose(torch.cov(shifts.T), expected, atol=0.1 * float(expected.max()))
    x, _ = ImageBatches(small.train, view, 12, seed=0).draw()
    bare = View(view.crop, view.normalise)
    y, _ = ImageBatches(small.train, bare, 12, seed=0).draw()
    assert ((x - y).flatten(2).std(2) < 1e-5).all()  # one shift a channel of each image
    assert (x - y).abs().max() > 1e-3


def stream(small: ImageSet, workers: int = 0, seed: int = 1, **options: Any) -> ImageBatches:
    return ImageBatches(small.train, inception_view(24), 5, seed, workers, **options)


def test_every_image_comes_once_an_epoch_and_batches_run_over_its_end(small: ImageSet) -> None:
    batches = stream(small)
    numbers = [number for first in range(0, 60, 5) for number in batches._stream.numbers(first)]
    epochs = [numbers[start : start + 12] for start in range(0, 60, 12)]
    labels = torch.cat([batches.draw()[1] for _ in range(12)])

    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 5
    assert labels.tolist() == small.train.labels[numbers].tolist()
    assert labels.dtype == torch.int64


def test_inputs_are_floats_channels_last(small: ImageSet) -> None:
    x, y = stream(small).draw()

    assert (x.shape, x.dtype, y.shape) == ((5, 3, 24, 24), torch.float32, (5,))
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_workers_change_nothing_and_end(small: ImageSet) -> None:
    import multiprocessing

    alone = stream(small)
    expected = [alone.draw() for _ in range(6)]
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for workers in (1, 2):
        batches = stream(small, workers)
        for x, y in expected:
            ours = batches.draw()
            assert torch.equal(ours[0], x)
            assert torch.equal(ours[1], y)
        assert batches.state_dict() == alone.state_dict()
        assert len(multiprocessing.active_children()) == workers
        batches.close()
        assert not multiprocessing.active_children()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stream_goes_on_inside_an_epoch_to_the_bit(small: ImageSet, workers: int) -> None:
    whole = stream(small)
    drawn = [whole.draw() for _ in range(7)]
    first = stream(small, workers)
    for _ in range(4):
        first.draw()
    state = first.state_dict()
    first.draw()

    second = stream(small, workers)
    second.draw()
    second.load_state_dict(state)

    for x, y in drawn[4:]:
        ours = second.draw()
        assert torch.equal(ours[0], x)
        assert torch.equal(ours[1], y)
    first.close()
    second.close()


def test_the_seed_matters(small: ImageSet) -> None:
    assert not torch.equal(stream(small, seed=1).draw()[0], stream(small, seed=2).draw()[0])


def test_only_a_processs_own_images_are_made_but_all_labels(small: ImageSet) -> None:
    x, y = stream(small).draw()
    own, labels = stream(small, own=slice(2, 4)).draw()

    assert torch.equal(own[2:4], x[2:4])
    assert torch.equal(labels, y)
    blank = stream(small).view.normalise(torch.zeros(1, 3, 24, 24, dtype=torch.uint8))
    assert torch.equal(own[[0, 1, 4]], blank.expand(3, -1, -1, -1))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_decoded_is_named_in_one_line(tmp_path: Path, workers: int) -> None:
    root = little.folders(tmp_path)
    bad = root / "train" / little.WNIDS[1] / f"{little.WNIDS[1]}_2.JPEG"
    bad.write_bytes(b"no image")
    batches = ImageBatches(load(root).train, inception_view(24), 12, 0, workers)

    with pytest.raises(DataError, match=r"^n01443537/n01443537_2.JPEG is damaged or no image .*$"):
        batches.draw()


@pytest.mark.parametrize("workers", [0, 1])
def test_odd_images_are_counted_by_the_stream(tmp_path: Path, workers: int) -> None:
    root = little.folders(tmp_path)
    for wnid, data in zip(little.WNIDS, (jpeg(1, mode="L"), jpeg(1)[:-200], jpeg(1)), strict=True):
        (root / "train" / wnid / f"{wnid}_0.JPEG").write_bytes(data)
    batches = ImageBatches(load(root).train, inception_view(24), 12, 0, workers)
    batches.draw()
    batches.draw()

    assert batches.odd.summary(batches.images.name) == "1 grey, 1 truncated (n01443537/n01443537_0.JPEG)"
    batches.close()


def test_the_speed_cases_draw_real_batches_from_made_images(tmp_path: Path) -> None:
    from bench.speed import imagenet

    files = imagenet.made(tmp_path / "made", count=4)
    root = imagenet.laid_out(files, tmp_path / "set")

    assert [Image.open(file).size for file in files] == [(500, 375)] * 4
    assert len(load(root).train) == 4
