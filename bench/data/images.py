"""Images from elsewhere: the one place where Pillow opens them, for every task.

What Pillow raises at a damaged image depends on its bytes: here it is one DataError that names the image. Only
common formats are tried, none of which starts another program, and an image's header says whether it would fill the
memory before its pixels are decoded.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.Image import Transpose

from bench.data.locate import DataError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "PPM", "TIFF")
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
PIXELS = 178_956_970  # half a GiB of RGB; Pillow stops there, too
UPRIGHT = 1
TURNS = {  # what makes an image of each other EXIF orientation upright
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


@contextmanager
def opened(source: Path | bytes, name: str) -> Iterator[Image.Image]:
    """The image of a file or of its bytes, decoded where the block asks for its pixels.

    Raises DataError calling it `name` for whatever goes wrong with it, in the block as well; Pillow's warnings, of many
    pixels or damaged EXIF data, are passed over.
    """
    file = source if isinstance(source, Path) else io.BytesIO(source)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # this alone: filters are every thread's
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > PIXELS:
                    raise Image.DecompressionBombError
                yield image
    except (DataError, MemoryError):
        raise
    except Exception as error:  # a damaged image raises whatever its bytes happen to say
        raise DataError(f"{name} is damaged or no image ({_reason(error)}): get it again, or take it out") from None


def _reason(error: Exception) -> str:
    """In one line: Pillow names the object in memory, or not its limit."""
    if isinstance(error, UnidentifiedImageError):
        return f"none of {', '.join(FORMATS)}"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than the {PIXELS:,} pixels that are read"
    return " ".join(str(error).split()) or type(error).__name__


def rgb(image: Image.Image) -> Image.Image:
    """The image in RGB, as Pillow's `convert` makes it: the field trains on that (torchvision's ImageFolder).

    Grey is repeated three times, CMYK converted without profiles, a palette looked up; transparency is dropped and the
    colours below it stay. Where `convert` would cut 16-bit greys off at 255, they are scaled by 1/257 instead. Raises
    ValueError for greys of 32 bits or floats: no rule says which of them is white.
    """
    wide = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if wide:
        grey = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((grey + 128) // 257).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"greys of mode {image.mode}, whose white is not known: save them with 8 or 16 bits")
    return image.convert("RGB")


def orientation(image: Image.Image) -> int:
    """EXIF's: how the image is to be turned, UPRIGHT where it has none, a damaged one, or Pillow turns it (TIFF)."""
    if "exif" not in image.info:
        return UPRIGHT
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, UPRIGHT))
    except Exception:  # as above
        return UPRIGHT


def upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says."""
    turn = TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)
