"""What a person sees of a command in a terminal of 80 by 24, as an SVG that moves: for a README.

    python -m tests.terminal reports/first_run.svg -- python -m bench.sweep plain_vs_residual --scale quick

The command runs in an empty folder, which the picture calls /home/newcomer/study; where BENCH_DATA is set, its data are
in /home/newcomer/data. Waits are shortened, and the last screen stays for a while. Where animations are off there is
the last screen alone, as with --still.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pyte

ROOT = Path(__file__).resolve().parents[1]
COLUMNS, LINES = 80, 24
HOME = "/home/newcomer"  # as long as the path that it stands for, so that no line breaks elsewhere
UNSET = ("COLUMNS", "LINES", "NO_COLOR", "COLORTERM", "XDG_CACHE_HOME", "BENCH_DATA")  # of who draws, not of who runs
LIMIT = 60_000  # bytes of the file
FRAMES = (48, 36, 24, 12, 6)  # as many as the limit lets
WAIT, SHOWN, STAYS = 1.0, 14.0, 6.0  # seconds: the longest wait, all the rest at most, the last screen
MOVES = re.compile(r"[\d.,:%\s━╸╺█▏▎▍▌▋▊▉]+")  # what moves while a run trains
MOVING = 0.04  # of its time is what such a screen is shown for

WIDTH, HEIGHT, BASE, SIZE = 8.4, 18, 13, 14  # of a cell in pixels, its base line, the letters
PAD, BAR = 14, 34
PAPER, FRAME, INK, QUIET = "#17181a", "#3a3b3e", "#dededa", "#8f9097"
COLOURS = {
    "black": QUIET, "red": "#ff7b86", "green": "#4dbd6f", "brown": "#d9a13b", "blue": "#6cb2f2",
    "magenta": "#d98bd0", "cyan": "#4fc3c9", "white": "#dededa",
    "brightblack": QUIET, "brightred": "#ff98a0", "brightgreen": "#6fd68e", "brightbrown": "#ecbb60",
    "brightblue": "#8bc4f7", "brightmagenta": "#e8a6e0", "brightcyan": "#78d8dd", "brightwhite": "#ffffff",
}  # fmt: skip
STYLE = """
text {{ white-space: pre; font: {size}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace }}
.b {{ font-weight: 700 }} .i {{ font-style: italic }} .u {{ text-decoration: underline }}
.film {{ transform: translateY({last}px); }}
@media (prefers-reduced-motion: no-preference) {{
.film {{ animation: film {seconds:.1f}s step-end infinite; }}
@keyframes film {{ {steps} }}
}}
"""

Row = tuple[Any, ...]  # its cells
Shot = tuple[Row, ...]  # a screen's rows


class Screen(pyte.Screen):
    """pyte's, which also knows faint letters: they are grey."""

    def select_graphic_rendition(self, *attrs: int) -> None:
        faint = tuple(90 if place == 0 and attr == 2 else attr for place, attr in enumerate(attrs))
        super().select_graphic_rendition(*faint)

    @property
    def shot(self) -> Shot:
        return tuple(tuple(self.buffer[y][x] for x in range(self.columns)) for y in range(self.lines))


@dataclass(frozen=True)
class Frame:
    """A screen and the second at which it comes."""

    at: float
    shot: Shot


def record(command: Sequence[str]) -> list[tuple[float, bytes]]:
    """What the command writes to a terminal, each piece with its second. Raises SystemExit if it fails."""
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (LINES, COLUMNS))
    env = {name: value for name, value in os.environ.items() if name not in UNSET}
    pieces = [(0.0, f"\x1b[1;32m$\x1b[0m {shlex.join(command)}\r\n".encode())]
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="s") as home:  # as long as HOME
        (study := Path(home, "study")).mkdir()
        env |= {"HOME": home, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
        if data := os.environ.get("BENCH_DATA"):
            Path(home, "data").symlink_to(Path(data).resolve())
            env["BENCH_DATA"] = f"{home}/data"
        start = time.monotonic()
        with subprocess.Popen(command, cwd=study, env=env, stdin=slave, stdout=slave, stderr=slave) as process:
            os.close(slave)
            while piece := _read(master):
                pieces.append((time.monotonic() - start, piece))
        os.close(master)
    if process.returncode:
        text = b"".join(piece for _, piece in pieces[-20:]).decode(errors="replace")
        raise SystemExit(f"{text}\n{shlex.join(command)} ended with {process.returncode}: there is no picture")
    return [(at, piece.replace(home.encode(), HOME.encode())) for at, piece in _whole(pieces, home.encode())]


def _read(master: int) -> bytes:
    """The next piece; empty where nobody writes any more, which Linux says by an error."""
    try:
        return os.read(master, 65536)
    except OSError:
        return b""


def _whole(pieces: Sequence[tuple[float, bytes]], word: bytes) -> list[tuple[float, bytes]]:
    """The pieces, those joined that cut the word in two."""
    joined: list[tuple[float, bytes]] = []
    for at, piece in pieces:
        before = joined[-1][1] if joined else b""
        ends = any(before.endswith(word[:n]) for n in range(1, len(word)))
        if ends:
            joined[-1] = (joined[-1][0], before + piece)
        else:
            joined.append((at, piece))
    return joined


def screens(pieces: Sequence[tuple[float, bytes]]) -> list[Frame]:
    """The screen after each piece, on a clock that shortens waits, and more where only numbers and bars move."""
    screen = Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    found: list[Frame] = []
    at, shape, pace = 0.0, "", 1.0
    for (before, _), (when, piece) in pairwise([(0.0, b""), *pieces]):
        at += pace * min(when - before, WAIT)
        stream.feed(piece)
        found.append(Frame(at, screen.shot))
        before_it, shape = shape, MOVES.sub("", words(screen.shot))
        pace = 1.0 if shape != before_it else MOVING
    return found


def chosen(found: Sequence[Frame], most: int) -> list[Frame]:
    """At most so many screens at even moments, the last among them, which together take no longer than SHOWN."""
    total = found[-1].at or 1.0
    moments = [int(frame.at / total * (most - 1)) for frame in found]
    due = [frame for frame, now, then in zip(found, moments, [*moments[1:], most], strict=True) if then > now]
    changed = [frame for place, frame in enumerate(due) if place == 0 or frame.shot != due[place - 1].shot]
    return [replace(frame, at=frame.at * min(1.0, SHOWN / total)) for frame in changed]


def words(shot: Shot) -> str:
    """A screen's text."""
    return "\n".join("".join(cell.data for cell in row).rstrip() for row in shot).rstrip()


def leaks(found: Sequence[Frame]) -> list[str]:
    """What of this machine is on a screen, also across the end of a line: its name, its folders."""
    folders = {str(ROOT), str(Path.home()), tempfile.gettempdir(), os.environ.get("BENCH_DATA", "")} - {""}
    host = rf"(?<!\w){re.escape(socket.gethostname())}(?!\w)"
    names = [host, *(r" *".join(map(re.escape, folder)) for folder in folders)]
    texts = dict.fromkeys("".join(cell.data for row in frame.shot for cell in row) for frame in found)
    hits = (re.search(rf"\S*({name})\S*", text) for name in names for text in texts)
    return sorted({hit[0] for hit in hits if hit})


def svg(found: Sequence[Frame], title: str) -> str:
    """The picture: each row once, each screen a list of rows, one below the other on a film."""
    rows = {
        row: f"r{number}"
        for number, row in enumerate(dict.fromkeys(row for f in found for row in f.shot if _text(row)))
    }
    screens = [
        f'<g transform="translate(0 {place * LINES * HEIGHT})">'
        + "".join(f'<use href="#{rows[row]}" y="{y * HEIGHT}"/>' for y, row in enumerate(frame.shot) if row in rows)
        + "</g>"
        for place, frame in enumerate(found)
    ]
    seconds = found[-1].at + STAYS
    steps = " ".join(
        f"{100 * frame.at / seconds if place else 0:.2f}% {{ transform: translateY({-place * LINES * HEIGHT}px) }}"
        for place, frame in enumerate(found)
    )
    width, height = COLUMNS * WIDTH, LINES * HEIGHT
    whole = f"{width + 2 * PAD:.0f} {height + BAR + PAD:.0f}"
    dots = "".join(f'<circle cx="{PAD + 6 + 18 * n}" cy="{BAR / 2 + 1}" r="5" fill="{FRAME}"/>' for n in range(3))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole.split()[0]}" height="{whole.split()[1]}" '
        f'viewBox="0 0 {whole}" role="img" aria-label={quoteattr(title)}>',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(words(found[-1].shot))}</desc>",
        "<style>",
        STYLE.format(size=SIZE, last=-(len(found) - 1) * height, seconds=seconds, steps=steps).strip(),
        "</style>",
        f'<rect x="0.5" y="0.5" width="{float(whole.split()[0]) - 1}" height="{float(whole.split()[1]) - 1}" rx="8" '
        f'fill="{PAPER}" stroke="{FRAME}"/>',
        dots,
        f'<svg x="{PAD}" y="{BAR}" width="{width}" height="{height}" fill="{INK}">',
        "<defs>",
        *(f'<g id="{name}">{_drawn(row)}</g>' for row, name in rows.items()),
        "</defs>",
        '<g class="film">',
        *screens,
        "</g></svg></svg>",
    ]
    return "\n".join(parts) + "\n"


def _text(row: Row) -> bool:
    return any(cell.data.strip() or cell.bg != "default" or cell.reverse for cell in row)


def _drawn(row: Row) -> str:
    """A row's runs of one style: what is behind the letters, then they, each run as wide as its cells."""
    out = []
    for style, run in groupby(enumerate(row), key=lambda at: at[1]._replace(data="")):
        cells = list(run)
        text = "".join(cell.data for _, cell in cells)
        ink, ground = (_colour(name, default) for name, default in ((style.fg, INK), (style.bg, PAPER)))
        ink, ground = (ground, ink) if style.reverse else (ink, ground)
        if ground != PAPER:
            x, width = cells[0][0] * WIDTH, len(cells) * WIDTH
            out.append(f'<rect x="{x:.5g}" width="{width:.5g}" height="{HEIGHT}" fill="{ground}"/>')
        if letters := text.strip():
            x = (cells[0][0] + len(text) - len(text.lstrip())) * WIDTH
            marks = "".join(
                mark for mark, on in zip("biu", (style.bold, style.italics, style.underscore), strict=True) if on
            )
            look = (f' class="{" ".join(marks)}"' if marks else "") + (f' fill="{ink}"' if ink != INK else "")
            size = f'x="{x:.5g}" y="{BASE}" textLength="{len(letters) * WIDTH:.5g}" lengthAdjust="spacingAndGlyphs"'
            out.append(f"<text {size}{look}>{escape(letters)}</text>")
    return "".join(out)


def _colour(name: str, default: str) -> str:
    """Of the palette, or one of the 256, which pyte writes as hexadecimal digits."""
    return default if name == "default" else COLOURS.get(name, f"#{name}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, help="the SVG to write")
    parser.add_argument("--still", action="store_true", help="the last screen alone")
    parser.add_argument("command", nargs="+", help="what to run, after --")
    given = parser.parse_args(arguments)
    seen = screens(record(given.command))
    for most in (1,) if given.still else FRAMES:
        found = chosen(seen, most)
        text = svg(found, f"A terminal of {COLUMNS} by {LINES}: {shlex.join(given.command)}")
        if len(text.encode()) <= LIMIT:
            break
    if names := leaks(found):
        raise SystemExit(f"the picture would show {', '.join(names)} of this machine; nothing was written")
    given.file.write_text(text, encoding="utf-8")
    print(f"{given.file}: {len(found)} screens, {len(text.encode()):,} bytes; the last one:\n{words(found[-1].shot)}")


if __name__ == "__main__":
    main(sys.argv[1:])
