"""Files of torch.save, read as tensors and plain values: a file from elsewhere runs no code and fills no memory."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from typing import Any

import torch
from torch.serialization import safe_globals

ZIP, PICKLE = b"PK\x03\x04", b"\x80"
GROWS = re.compile(rb"(?:builtins|__builtin__)\nbytearray\n")  # torch allows it: of a number it fills so much memory
COLOURS = re.compile(r"\x1b?\[[0-9;]*m")


class Unread:
    """What stands for a harmless value that this suite has no use for: made of anything, it does nothing."""

    def __new__(cls, *_: Any) -> Unread:
        """Without its arguments."""
        return super().__new__(cls)

    def __setstate__(self, _: Any) -> None:
        """Keeps nothing."""


ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray")
HARMLESS = (
    *(f"{module}.{name}" for module in ARRAYS for name in ("scalar", "_reconstruct")),
    *("numpy.dtype", "numpy.ndarray", "argparse.Namespace", "pathlib.PosixPath", "pathlib.WindowsPath"),
    "torch.torch_version.TorchVersion",
)


def unpickled(content: bytes) -> Any:
    """What torch.save wrote, with its tensors on the CPU. Raises ValueError with the reason in one line.

    numpy's scalars, argparse's namespaces and paths are passed over without being made, see Unread; anything else than
    tensors, containers, numbers and strings is refused. What of the file is damaged is found by its checksums.
    """
    if not content.startswith((ZIP, PICKLE)):
        raise ValueError(f"it is no file of torch.save: it begins with {content[:16]!r}" if content else "it is empty")
    try:
        pickles = _checked(content) if content.startswith(ZIP) else content
        if GROWS.search(pickles):
            raise ValueError("it holds a bytearray, which is not read")
        with warnings.catch_warnings(), safe_globals([(Unread, name) for name in HARMLESS]):
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except MemoryError:  # this machine's, not the file's
        raise
    except Exception as error:  # zip's, pickle's and torch's own, of many kinds
        raise ValueError(reason(error)) from None


def _checked(content: bytes) -> bytes:
    """The pickles of a zip file whose parts are as their checksums say. Raises ValueError and what zipfile raises."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = archive.infolist()
        if any(part.compress_type for part in parts) or sum(part.file_size for part in parts) > len(content):
            raise ValueError("it is packed, or says that it holds more than it is long")  # torch.save packs nothing
        for part in parts:
            part.CRC = part.CRC or None  # type: ignore[assignment]  # 0: torch was told to compute none
        if damaged := archive.testzip():
            raise ValueError(f"its part {damaged} is damaged")
        return b"".join(archive.read(part) for part in parts if part.filename.endswith(".pkl"))


def reason(error: Exception) -> str:
    """What an error of another library says, in one line without its colours and its advice."""
    text = COLOURS.sub("", str(error))
    if refused := re.search(
        r"(?:Unsupported global|unsupported GLOBAL|load unsupported GLOBAL):? (?:GLOBAL )?(\S+)", text
    ):
        return f"it holds a {refused[1]}, which is not read: save its tensors alone"
    said = text.partition("WeightsUnpickler error: ")[2] or text
    return (said.strip().splitlines() or [type(error).__name__])[0]
