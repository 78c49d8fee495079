"""What an SVG file of a figure draws: each mark with its place, outline, styles and clips. It reads nothing else.

Allowed is what matplotlib writes for the figures of reports, element by element and attribute by attribute: whatever
else could draw, run or load something (a script, an image, a rule of CSS, an entity) is refused, not skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NoReturn
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from bench.store import StoreError

LARGEST = 20_000_000  # bytes
ATTRIBUTES = {  # by element
    "svg": {"xmlns", "xmlns:xlink", "width", "height", "viewBox", "version"},
    "metadata": set[str](),
    "rdf:RDF": {"xmlns:dc", "xmlns:cc", "xmlns:rdf"},
    "cc:Work": set[str](),
    "dc:type": {"rdf:resource"},
    "dc:description": set[str](),
    "dc:format": set[str](),
    "defs": set[str](),
    "style": {"type"},
    "g": {"id", "style", "transform", "clip-path"},
    "path": {"id", "style", "transform", "clip-path", "d"},
    "use": {"xlink:href", "style", "transform", "x", "y"},
    "clipPath": {"id"},
    "rect": {"x", "y", "width", "height"},
}
NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
TOKEN = re.compile(rf"\s*(?:([MLQCz])|({NUMBER}))(?=\s|$)")
TRANSFORM = re.compile(rf"\s*(translate|rotate|scale)\(({NUMBER})(?:[ ,]+({NUMBER}))?\)")
REFERENCE = re.compile(r"url\(#([\w.-]+)\)|#([\w.-]+)")

Points = NDArray[np.float64]


@dataclass(slots=True)
class Element:
    """An element of the file. text: of itself alone."""

    name: str
    attributes: Mapping[str, str]
    children: list[Element] = field(default_factory=list)
    text: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """One outline that is drawn.

    place: the ids of the groups around it. points: as they are in the picture, in points of print. own: the outline
    before it was placed. styles: those of itself and around it; clips: corners of the rectangles that cut it.
    """

    place: tuple[str, ...]
    commands: str
    points: Points
    own: bytes
    styles: tuple[str, ...]
    clips: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """All that a file draws, in its order by place. texts: what matplotlib's comments say is written, by place."""

    page: Mapping[str, str]
    rules: str
    marks: Mapping[tuple[str, ...], tuple[Mark, ...]]
    texts: Mapping[tuple[str, ...], str]


def read_svg(content: bytes) -> Drawn:
    """What the file draws. Raises StoreError with what it has that no figure has."""
    root = _parsed(content)
    elements = [root, *_below(root)]
    ids = [one.attributes["id"] for one in elements if "id" in one.attributes]
    if len(set(ids)) < len(ids):
        raise StoreError(f"two elements have the id {next(name for name in ids if ids.count(name) > 1)!r}")
    found = _Reader({one.attributes["id"]: one for one in elements if "id" in one.attributes})
    marks = list(found.marks(root))
    placed = {place: tuple(those) for place, those in groupby(marks, lambda mark: mark.place)}
    if sum(map(len, placed.values())) < len(marks):
        raise StoreError("what one group draws is drawn in two parts")
    rules = "\n".join(one.text for one in elements if one.name == "style")
    return Drawn(root.attributes, rules, placed, found.texts)


def _parsed(content: bytes) -> Element:
    """The elements of a file that declares nothing and holds allowed ones alone."""
    if len(content) > LARGEST:
        raise StoreError(f"it has {len(content):,} bytes; {LARGEST:,} are allowed")
    document = Element("", {})
    stack = [document]

    def begin(name: str, attributes: dict[str, str]) -> None:
        unknown = sorted(attributes.keys() - ATTRIBUTES.get(name, set()))
        if name not in ATTRIBUTES or (name == "svg") != (len(stack) == 1):
            raise StoreError(f"it has an element <{name}>, which no figure has")
        if unknown:
            raise StoreError(f"an element <{name}> has {unknown[0]}={attributes[unknown[0]][:40]!r}, which none has")
        one = Element(name, attributes)
        stack[-1].children.append(one)
        stack.append(one)

    def text(written: str) -> None:
        stack[-1].text += written

    def comment(written: str) -> None:
        stack[-1].comment += written.strip()

    def doctype(*declared: Any) -> None:
        if declared[-1]:
            raise StoreError("it declares entities or attributes of its own")

    def instruction(target: str, _: str) -> NoReturn:
        raise StoreError(f"it has a processing instruction <?{target}>")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = begin, lambda _: stack.pop()
    parser.CharacterDataHandler, parser.CommentHandler = text, comment
    parser.StartDoctypeDeclHandler, parser.ProcessingInstructionHandler = doctype, instruction
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise StoreError(f"it is no XML: {error}") from None
    return document.children[0]


def _below(element: Element) -> Iterator[Element]:
    for child in element.children:
        yield child
        yield from _below(child)


@dataclass(frozen=True, slots=True)
class _Around:
    """What is around an element: groups, the matrix of all transforms, styles and clips."""

    place: tuple[str, ...] = ()
    matrix: Any = field(default_factory=lambda: np.eye(3))
    styles: tuple[str, ...] = ()
    clips: tuple[tuple[float, ...], ...] = ()


class _Reader:
    """Follows the references of a file's elements to what they draw."""

    def __init__(self, named: Mapping[str, Element]) -> None:
        self.named, self.texts = named, dict[tuple[str, ...], str]()

    def marks(self, element: Element, around: _Around | None = None) -> Iterator[Mark]:
        """All marks of an element, in the order in which they are drawn."""
        here = self._within(around or _Around(), element)
        if element.comment:
            self.texts[here.place] = element.comment
        if element.name == "path":
            yield self._mark(element, here)
        elif element.name == "use":
            moved = here.matrix @ _moved(*(_number(element.attributes.get(axis, "0")) for axis in "xy"))
            shape = self._referred(element.attributes.get("xlink:href", ""), "path")
            within = _Around(here.place, moved, here.styles, here.clips)
            yield self._mark(shape, self._within(within, shape, named=False))
        elif element.name in ("svg", "g"):
            for child in element.children:
                yield from self.marks(child, here)
        elif element.name == "rect":
            raise StoreError("it has a <rect> that is not for clipping")

    def _within(self, around: _Around, element: Element, *, named: bool = True) -> _Around:
        has = element.attributes
        place, styles, clips = around.place, around.styles, around.clips
        if "id" in has and named and element.name == "g":
            place = (*place, has["id"])
        if style := has.get("style", "").strip():
            styles = (*styles, "; ".join(sorted(part.strip() for part in style.split(";"))))
        if "clip-path" in has:
            rects = self._referred(has["clip-path"], "clipPath").children
            if [one.name for one in rects] != ["rect"]:
                raise StoreError("it clips by something else than a rectangle")
            x, y, width, height = (_number(rects[0].attributes.get(k, "")) for k in ("x", "y", "width", "height"))
            clips = (*clips, (x, y, x + width, y + height))
        return _Around(place, around.matrix @ _matrix(has.get("transform", "")), styles, clips)

    def _referred(self, reference: str, name: str) -> Element:
        match = REFERENCE.fullmatch(reference)
        found = self.named.get(match[1] or match[2]) if match else None
        if found is None or found.name != name:
            raise StoreError(f"{reference[:60]!r} refers to no <{name}> of this file")
        return found

    @staticmethod
    def _mark(shape: Element, here: _Around) -> Mark:
        d, commands, numbers, end = shape.attributes.get("d", "").rstrip(), "", list[str](), 0
        while end < len(d):
            token = TOKEN.match(d, end)
            if token is None:
                raise StoreError(f"an outline has {d[end : end + 20]!r}, which matplotlib does not write")
            commands += token[1] or "."
            numbers += [token[2]] if token[2] else []
            end = token.end()
        if len(numbers) % 2:
            raise StoreError("an outline has half a point")
        own = np.asarray(numbers, np.float64).reshape(-1, 2)
        placed = own @ here.matrix[:2, :2].T + here.matrix[:2, 2]
        return Mark(here.place, commands, placed, own.tobytes(), here.styles, here.clips)


def _number(text: str) -> float:
    if not re.fullmatch(NUMBER, text):
        raise StoreError(f"{text[:40]!r} stands where a number belongs")
    return float(text)


def _moved(x: float, y: float) -> Points:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])


def _matrix(transform: str) -> Points:
    """The matrix of translate(), rotate() and scale(), one after the other."""
    matrix, end = np.eye(3), 0
    while end < len(transform.rstrip()):
        match = TRANSFORM.match(transform, end)
        if match is None:
            raise StoreError(f"a transform is {transform[:60]!r}, which matplotlib does not write")
        first, second = float(match[2]), float(match[3]) if match[3] else None
        if match[1] == "translate":
            step = _moved(first, second or 0)
        elif match[1] == "scale":
            step = np.diag([first, first if second is None else second, 1])
        elif second is None:
            cos, sin = np.cos(np.radians(first)), np.sin(np.radians(first))
            step = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        else:
            raise StoreError(f"a transform is {transform[:60]!r}, which matplotlib does not write")
        matrix, end = matrix @ step, match.end()
    return matrix
