"""bench.data.images: one line for whatever Pillow raises, one limit of pixels, and greys that keep their range."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

pytest.importorskip("simplejpeg", reason="needs simplejpeg")

from bench.data.decode import decode
from bench.data.images import PIXELS, opened, orientation, rgb
from bench.data.locate import DataError
from bench.tasks.detection.annotations import annotated
from bench.tasks.verification.images import decode as decode_face
from tests.fuzzing import FILES, mutated

RAMP = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 20
COLOURS = np.random.default_rng(0).integers(0, 256, (48, 64, 4), np.uint8)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG of so many pixels, none of which is there."""
    head = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    start = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + head + zlib.crc32(head).to_bytes(4, "big")
    return start + b"\0\0\0\0IDAT"


def broken_chunk() -> bytes:
    data = bytearray(saved(Image.fromarray(COLOURS[..., :3]), "PNG"))
    at = data.index(b"IDAT")
    data[at - 4 : at] = (5).to_bytes(4, "big")
    return bytes(data)


def long_text() -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("note", "x" * 3_000_000, zip=True)
    return saved(Image.new("RGB", (64, 48)), "PNG", pnginfo=text)


def large_jpeg() -> bytes:
    """Its frame says 40,000 x 40,000."""
    data = bytearray(saved(Image.new("RGB", (16, 16)), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = (40_000).to_bytes(2, "big") * 2
    return bytes(data)


# by Pillow: ValueError, SyntaxError, DecompressionBombError, …Warning, OSError, a program that is started (EPS)
REFUSED = {
    "text": (long_text(), "too large"),
    "chunk": (broken_chunk(), "broken PNG file"),
    "bomb": (png_header(20_000, 20_000), f"more than the {PIXELS:,} pixels"),
    "large": (png_header(20_000, 10_000), f"more than the {PIXELS:,} pixels"),
    "large jpeg": (large_jpeg(), f"more than the {PIXELS:,} pixels"),
    "eps": (saved(Image.new("RGB", (8, 8)), "EPS"), "none of JPEG, PNG"),
    "empty": (b"", "none of JPEG, PNG"),
    "floats": (saved(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"), "greys of mode F"),
    "32 bits": (saved(Image.fromarray(np.ones((8, 8), np.int32)), "TIFF"), "greys of mode I"),
}
READERS: dict[str, Callable[[bytes, Path], object]] = {
    "detection": lambda data, path: (path.write_bytes(data), annotated("a", path, (0, 0), [])[0].pixels()),
    "ImageNet": lambda data, path: decode(data, str(path)),
    "faces": lambda data, path: decode_face(str(path), data),
}


@pytest.mark.parametrize("task", READERS)
@pytest.mark.parametrize("kind", REFUSED)
def test_an_image_that_cannot_be_read_is_one_line_with_its_name_in_every_task(
    tmp_path: Path, kind: str, task: str
) -> None:
    data, words = REFUSED[kind]

    with pytest.raises(DataError) as error:
        READERS[task](data, tmp_path / "a.png")

    assert str(error.value).startswith(f"{tmp_path / 'a.png'} is damaged or no image (")
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert "0x" not in str(error.value)


@pytest.mark.parametrize("task", READERS)
def test_a_small_limit_is_kept_before_the_pixels_are_decoded(
    tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("bench.data.images", "bench.data.decode"):
        monkeypatch.setattr(f"{module}.PIXELS", 48 * 64 - 1)

    for form in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"):
        with pytest.raises(DataError, match=r"more than the 3,071 pixels"):
            READERS[task](saved(Image.fromarray(COLOURS[..., :3]), form), tmp_path / "a.png")


@pytest.mark.parametrize(
    "data",
    [
        saved(Image.fromarray(RAMP), "PNG"),
        saved(Image.fromarray(RAMP), "TIFF"),
        saved(Image.fromarray(RAMP), "PPM"),
        saved(Image.frombytes("I;16B", (64, 48), RAMP.astype(">u2").tobytes()), "TIFF"),
    ],
    ids=("png", "tiff", "pgm", "big endian"),
)
def test_greys_of_16_bits_are_scaled(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data)

    in_set, by_decode = annotated("a", path, (64, 48), [])[0].pixels(), decode(data)[0]

    wanted = np.round(RAMP / 257)
    for pixels in (in_set, by_decode):
        assert (pixels.numpy() == wanted).all()
    assert float(in_set.double().mean()) == pytest.approx(119.5, abs=0.1)


def test_the_range_of_16_bits_is_that_of_8() -> None:
    ends = np.array([[0, 128, 129, 257, 65_534, 65_535]], np.uint16)

    assert decode(saved(Image.fromarray(ends), "PNG"))[0][0].tolist() == [[0, 0, 1, 1, 255, 255]]


def palette(transparency: bytes | int | None) -> bytes:
    image = Image.fromarray(COLOURS[..., :3]).quantize(16)
    return saved(image, "PNG", **({} if transparency is None else {"transparency": transparency}))


@pytest.mark.parametrize(
    "data",
    [
        *(saved(Image.fromarray(COLOURS).convert(mode), "PNG") for mode in ("1", "L", "LA", "RGB", "RGBA")),
        *(palette(transparency) for transparency in (None, 3, bytes(range(16)))),
        saved(Image.fromarray(COLOURS[..., :3]), "PNG", transparency=(1, 2, 3)),
        saved(Image.fromarray(COLOURS[..., :3]).convert("CMYK"), "JPEG"),
        saved(Image.fromarray(COLOURS[..., :3]).convert("LAB"), "TIFF"),
        *(saved(Image.fromarray(COLOURS[..., :3]), form) for form in ("GIF", "BMP", "WEBP", "PPM", "TIFF", "JPEG")),
    ],
)
def test_the_other_modes_are_pillows_conversion_with_transparency_dropped(data: bytes) -> None:
    """What lies below a transparent pixel is its colour, as in torchvision's ImageFolder; no warning is given."""
    alpha_first: Image.Image = Image.open(io.BytesIO(data))
    if "transparency" in alpha_first.info:
        alpha_first = alpha_first.convert("RGBA")  # as Pillow's warning says

    with opened(data, "a") as image:
        ours = np.asarray(rgb(image))

    assert (ours == np.asarray(alpha_first.convert("RGB"))).all()
    assert ours.shape == (48, 64, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("turned", [1, 3, 6, 8])
def test_the_orientation_is_exifs_where_there_is_one(form: str, turned: int) -> None:
    exif = Image.Exif()
    exif[274] = turned

    with opened(saved(Image.new("RGB", (64, 48)), form, exif=exif), "a") as image:
        assert orientation(image) == turned
    with opened(saved(Image.new("RGB", (64, 48)), form), "a") as image:
        assert orientation(image) == 1


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01\x12"]
)
def test_a_damaged_exif_counts_as_none(exif: bytes) -> None:
    data = saved(Image.new("RGB", (64, 48)), "JPEG", exif=exif)

    with opened(data, "a") as image:
        assert orientation(image) == 1
    assert decode(data)[1] == ()


def test_pillow_opens_files_in_one_place_only() -> None:
    bench = Path(__file__).resolve().parents[2] / "bench"
    opening = [path for path in bench.rglob("*.py") if "Image.open(" in path.read_text()]

    assert [path.relative_to(bench).as_posix() for path in opening] == ["data/images.py"]


FORMS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")


def outcome(read: Callable[[bytes, Path], object], data: bytes, path: Path) -> str:
    """How the one line begins; "" where the image is read."""
    try:
        read(data, path)
    except DataError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017  # most of the files are read
        return str(error).partition(" (")[0]
    return ""


@pytest.mark.fuzz
@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_image_is_an_image_or_one_line(form: str, tmp_path: Path) -> None:
    exif = (
        {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"} if form == "JPEG" else {}
    )
    path = tmp_path / "a"
    for data in mutated(saved(Image.fromarray(COLOURS[..., :3]), form, **exif), -(-FILES // len(FORMS)), len(form)):
        for read in READERS.values():
            words = outcome(read, data, path)
            assert not words or words.startswith(f"{path} is ")
