"""Images as they are found: every kind decoded as Pillow does, what is odd counted, what is no image named."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("simplejpeg", reason="needs simplejpeg")

from bench.data.decode import Oddities, decode
from bench.data.locate import DataError
from bench.tasks.classification.imagenet.files import load
from tests.tasks.classification.imagenet.little import jpeg


def pillow(data: bytes) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(io.BytesIO(data)).convert("RGB"))).permute(2, 0, 1)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return jpeg(1, exif=exif)


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        (jpeg(1), ()),
        (jpeg(1, progressive=True), ()),
        (jpeg(1, mode="L"), ("grey",)),
        (jpeg(1, mode="CMYK"), ("cmyk",)),
        (turned(), ("exif",)),
        (jpeg(1, form="PNG"), ("not jpeg",)),
        (jpeg(1, mode="L", form="PNG"), ("not jpeg", "grey")),
    ],
    ids=("colour", "progressive", "grey", "cmyk", "turned", "png", "grey png"),
)
def test_images_of_every_kind_are_decoded_as_pillow_does(data: bytes, kinds: tuple[str, ...]) -> None:
    image, odd = decode(data)

    assert odd == kinds
    assert image.dtype == torch.uint8
    assert image.shape == (3, 48, 60)
    assert (image.int() - pillow(data).int()).abs().max() <= 2  # two versions of libjpeg; 0 where there is one


def test_a_truncated_image_is_used_as_far_as_it_goes() -> None:
    data = jpeg(1, (200, 200), quality=95)

    image, odd = decode(data[: len(data) // 2])

    assert odd == ("truncated",)
    assert image.shape == (3, 200, 200)
    assert torch.equal(image[:, :64], pillow(data)[:, :64])
    assert not torch.equal(image[:, 150:], pillow(data)[:, 150:])


@pytest.mark.parametrize("data", [b"", b"no image", jpeg(1)[:30], jpeg(1, form="PNG")[:200]])
def test_what_is_no_image_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(DataError, match=r"^n1/a.JPEG is damaged or no image .*$"):
        decode(data, "n1/a.JPEG")


def test_odd_images_are_counted_once_and_the_rare_ones_named() -> None:
    met = Oddities()
    for number, kinds in ((0, ("grey",)), (2, ("truncated", "grey")), (2, ("truncated", "grey")), (1, ())):
        met.add(number, kinds)
    again = Oddities()
    again.load_state_dict(met.state_dict())

    assert met.summary("abc".__getitem__) == again.summary("abc".__getitem__) == "2 grey, 1 truncated (c)"


@pytest.mark.data
def test_tiny_imagenet_100_is_read_and_decoded_to_the_bits_of_pillow(bench_data: Path) -> None:
    root = bench_data / "tiny_imagenet_100"
    if not root.is_dir():
        pytest.skip(f"no tiny_imagenet_100 in {bench_data}")
    found = load(root)

    assert (len(found.classes), len(found.train), len(found.val)) == (100, 10_000, 2_000)
    met = Oddities()
    for i in range(0, 10_000, 50):
        image, odd = decode(found.train.read(i), found.train.name(i))
        met.add(i, odd)
        assert (image.int() - pillow(found.train.read(i)).int()).abs().max() <= 2
    assert 0 < len(met.met["grey"]) < 20
