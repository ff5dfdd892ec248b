"""A renderer's SVG made fit to stand inside of a page: nothing in it but shapes, its ids its own, and small.

Templates come from whoever wrote the repository and can ask for links and for pictures from elsewhere. So only elements
and attributes that draw are kept. Whatever cannot be seen is dropped, numbers are rounded to a tenth of a pixel, and
equal symbols are drawn once and used often.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final
from xml.etree import ElementTree

_ELEMENTS: Final = frozenset(
    ["g", "path", "rect", "line", "circle", "text", "tspan", "defs", "clipPath", "linearGradient", "stop"]
)
_ATTRIBUTES: Final = frozenset(
    [
        *("id", "d", "x", "y", "x1", "y1", "x2", "y2", "dx", "dy", "cx", "cy", "r", "width", "height", "transform"),
        *("fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linecap"),
        *("stroke-linejoin", "stroke-miterlimit", "stroke-dashoffset", "opacity", "offset", "stop-color"),
        *("stop-opacity", "clip-path", "text-anchor", "font-size", "font-weight", "font-style", "gradientUnits"),
    ]
)
_LONG: Final = re.compile(r"-?\d+\.\d{2,}(?:e[-+]?\d+)?")
_PLACED: Final = re.compile(r"translate\((-?[\d.]+),\s*(-?[\d.]+)\)")
_LOADING: Final = re.compile(r"url|image|src|\\", re.IGNORECASE)  # what may name an address, or spell such a word
_REFERENCE: Final = re.compile(r"url\(#([\w-]+)\)")


def inline(text: str, prefix: str, label: str) -> str:
    """`text` as an `svg` element that scales with the page.

    Args:
        prefix: what every id in it starts with, different for each plot of a page.
        label: what the picture shows, for those who cannot see it.

    Raises:
        ValueError: it is no well-formed SVG.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"no well-formed SVG: {error}") from error
    box = root.get("viewBox", "")
    found = re.fullmatch(r"0 0 ([\d.]+) ([\d.]+)", box)
    if found is None:
        raise ValueError("an SVG without a size")
    drawn = ElementTree.Element("svg", {"viewBox": box, "role": "img", "aria-labelledby": f"{prefix}-name"})
    drawn.set("style", f"max-width:{float(found[1]) * 1.35:.0f}px")
    ElementTree.SubElement(drawn, "title", {"id": f"{prefix}-name"}).text = label
    for child in root:
        _copy(child, drawn, prefix)
    _share(drawn, prefix)
    return ElementTree.tostring(drawn, encoding="unicode")


def _copy(source: ElementTree.Element, parent: ElementTree.Element, prefix: str) -> None:
    """Put what may stay of `source` below `parent`; what stands in a link stays without it."""
    name = source.tag.rpartition("}")[2]
    below = parent
    if name == "a":
        pass
    elif name not in _ELEMENTS or _is_unseen(source):
        return
    else:
        below = ElementTree.SubElement(parent, name, _attributes(source, prefix))
        below.text = source.text if name in ("text", "tspan") else None
    for child in source:
        _copy(child, below, prefix)
    if name == "g" and not len(below):
        parent.remove(below)


def _is_unseen(source: ElementTree.Element) -> bool:
    return source.get("opacity") == "0" or source.get("display") == "none" or source.get("d") == ""


def _attributes(source: ElementTree.Element, prefix: str) -> dict[str, str]:
    kept = {}
    for key, value in source.attrib.items():
        if key not in _ATTRIBUTES or (key, value) in _USUAL:
            continue
        if key == "id":
            value = f"{prefix}-{value}"
        elif key not in ("fill", "stroke", "stop-color"):
            value = _LONG.sub(_rounded, value)
        if _LOADING.search(value):
            if _REFERENCE.fullmatch(value) is None:
                continue
            value = _REFERENCE.sub(rf"url(#{prefix}-\1)", value)
        kept[key] = value
    return kept


_USUAL: Final = {("stroke-miterlimit", "10"), ("transform", "translate(0,0)"), ("opacity", "1")}


def _rounded(match: re.Match[str]) -> str:
    short = f"{float(match[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if short == "-0" else short


def _share(root: ElementTree.Element, prefix: str) -> None:
    """Draw symbols of which there are many by reference: a place instead of a shape."""
    symbols = Counter(key for one in root.iter("path") if (key := _symbol(one)))
    names = {key: f"{prefix}-s{at}" for at, key in enumerate(key for key, number in symbols.items() if number > 4)}
    if not names:
        return
    for one in list(root.iter("path")):
        key = _symbol(one)
        place = _PLACED.fullmatch(one.get("transform", ""))
        if key in names and place:
            one.tag = "use"
            one.attrib = {"href": f"#{names[key]}", "x": place[1], "y": place[2]}
    shapes = ElementTree.SubElement(root, "defs")
    for key, name in names.items():
        ElementTree.SubElement(shapes, "path", {**dict(key), "id": name})


def _symbol(path: ElementTree.Element) -> tuple[tuple[str, str], ...]:
    """What a path looks like, wherever it stands; empty if it stands nowhere of its own."""
    if _PLACED.fullmatch(path.get("transform", "")) is None:
        return ()
    return tuple(sorted((key, value) for key, value in path.attrib.items() if key != "transform"))
