"""A figure as markup within an HTML page: the drawing alone, with ids that no other figure has."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from bench.store import StoreError

# all else is no drawing (metadata: the version of matplotlib) or acts on the page around it (style, script)
DRAWN = {
    "svg", "g", "defs", "symbol", "use", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text",
    "tspan", "image", "title", "desc", "clipPath", "mask", "pattern", "marker", "linearGradient", "radialGradient",
    "stop",
}  # fmt: skip


def inline(path: Path, label: str, prefix: str) -> str:
    """The SVG of `path`, its ids under `prefix`, called `label` for those who cannot see it. Raises StoreError."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise StoreError(f"{path} is damaged: {error}; write the report again") from None
    _strip(root, prefix)
    root.attrib |= {"role": "img", "aria-label": label}
    return ElementTree.tostring(root, encoding="unicode")


def _strip(element: ElementTree.Element, prefix: str) -> None:
    """Leaves what is drawn, without namespaces, which HTML knows by itself, and without blanks between elements."""
    element.tag = _local(element.tag)
    element.attrib = {
        _local(name): _with_prefix(_local(name), value, prefix)
        for name, value in element.attrib.items()
        if _kept(_local(name), value)
    }
    for child in [child for child in element if _local(child.tag) not in DRAWN]:
        element.remove(child)
    for child in element:
        _strip(child, prefix)
    if element.tag not in ("text", "tspan", "title", "desc"):
        element.text = None
    if element.tag != "text":
        for child in element:
            child.tail = None


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _kept(name: str, value: str) -> bool:
    """No handlers of events, and no link but to this figure's own parts or to pixels that are in it."""
    return not name.startswith("on") and (name != "href" or value.startswith(("#", "data:image/")))


def _with_prefix(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return prefix + value
    if name == "href" and value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    return value.replace("url(#", f"url(#{prefix}")
