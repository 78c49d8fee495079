"""Lines as wide as the terminal that shows them; where nothing but a file or a pipe reads them, as they are."""

from __future__ import annotations

import shutil
import sys
import textwrap

WIDEST = 100


def width() -> int:
    """Characters of a line that can be read."""
    return min(WIDEST, shutil.get_terminal_size().columns - 1)


def fill(text: str, columns: int) -> str:
    """A paragraph in lines of so many characters; no word, path or name is broken."""
    return textwrap.fill(text, columns, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def say(text: object) -> None:
    """Prints `text`; on a terminal a line is broken between words, but not one of a table, which is indented."""
    lines = str(text).split("\n")
    if sys.stdout.isatty():
        lines = [line if line.startswith(" ") else fill(line, width()) for line in lines]
    print("\n".join(lines), flush=True)
