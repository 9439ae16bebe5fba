"""A matplotlib figure as SVG for the page: deterministic, small, readable without styles.

Matplotlib writes `style` attributes, which a strict content-security policy drops: every mark would turn black.
They become presentation attributes here, which the page's style sheet overrides by their value in the dark theme.
"""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as MatplotlibFigure

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
MARK = "activation|"
"""Before the name of what a mark stands for, the number of its look if it is grey, and what it says, with bars between,
in matplotlib's group id."""
PIXELS_PER_POINT = 4 / 3
_COORDINATES = ("d", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "points", "transform")
_MINUS_ZERO = re.compile(r"(?<![\w.])-0(?![\d.])")
_FONT = "system-ui, 'Segoe UI', 'Liberation Sans', sans-serif"

ElementTree.register_namespace("", SVG.strip("{}"))


def svg(figure: MatplotlibFigure, name: str, title: str, message: str) -> Markup:
    """Draw `figure` under the given `svg.hashsalt`; it stays open.

    Args:
        name: prefix of every id, so that no two figures of a page collide.
        title, message: what assistive technology reads out.

    Raises:
        ValueError: a log scale that the message does not mention, or an image, which a strict policy blocks.
    """
    _hold_to_the_rules(figure, name, message)
    buffer = io.BytesIO()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        if not axis.get_label_text():  # matplotlib would measure all tick labels to place it
            axis.set_label_coords(0, 0)
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})  # savefig would draw it twice
    root = ElementTree.fromstring(buffer.getvalue())
    _strip(root)
    for element in root.iter():
        _style_to_attributes(element)
        _round(element)
    _tell_marks(root)
    _prefix_ids(root, name)
    _unwrap(root)
    _head(root, name, title, message)
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # which escapes every text and attribute


def _hold_to_the_rules(figure: MatplotlibFigure, name: str, message: str) -> None:
    logs = any("log" in (axes.get_xscale(), axes.get_yscale()) for axes in figure.axes)
    if logs and "log scale" not in message.lower():
        raise ValueError(f"{name}: a log scale that the message does not mention")
    if any(axes.get_images() for axes in figure.axes):
        raise ValueError(f"{name}: an image, which a strict policy blocks: see heat")


def _strip(root: ElementTree.Element) -> None:
    """Metadata and the style sheet, which would rule the whole page."""
    for child in list(root):
        if child.tag == f"{SVG}metadata" or child.find(f"{SVG}style") is not None:
            root.remove(child)
    root.attrib.pop("version", None)


def _style_to_attributes(element: ElementTree.Element) -> None:
    for declaration in element.attrib.pop("style", "").split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key == "font":  # "[weight] 9px family": the family is the page's
            if "bold" in value or re.match(r"[6-9]00\b", value):
                element.set("font-weight", "bold")
            element.set("font-size", re.findall(r"([\d.]+)px", value)[0])
        elif key == "font-size":
            element.set(key, value.removesuffix("px"))
        elif key and key not in ("font-family", "stroke-miterlimit"):
            element.set(key, value.split(";")[0])


def _round(element: ElementTree.Element) -> None:
    for key in _COORDINATES:
        if value := element.get(key):
            value = _MINUS_ZERO.sub("0", value)
            shorter = _four_decimals if key == "transform" else _one_decimal
            value = re.sub(r"-?\d+\.\d+", shorter, value)
            element.set(key, re.sub(r"\s+", " ", value).strip())
    if element.get("transform", "").startswith("rotate(0 "):
        del element.attrib["transform"]


def _one_decimal(number: re.Match[str]) -> str:
    return f"{float(number[0]):z.1f}".removesuffix(".0")


def _four_decimals(number: re.Match[str]) -> str:
    return f"{float(number[0]):z.4f}".rstrip("0").rstrip(".")


def _tell_marks(root: ElementTree.Element) -> None:
    """A mark's group tells what it stands for, and says it where a pointer rests on it."""
    for element in root.iter():
        if element.get("id", "").startswith(MARK):
            _, name, look, said = element.attrib.pop("id").split("|", 3)
            element.set("data-activation", name)
            if look:
                element.set("data-look", look)
            title = ElementTree.Element(f"{SVG}title")
            title.text = said
            element.insert(0, title)


def _prefix_ids(root: ElementTree.Element, name: str) -> None:
    """Ids that something refers to are renamed, the others go."""
    used: dict[str, str] = {}
    for element in root.iter():
        if HREF in element.attrib:
            element.set("href", re.sub(r"\s", "", element.attrib.pop(HREF)))
        for key, value in element.attrib.items():
            reference = re.fullmatch(r"#(.+)" if key == "href" else r"url\(#(.+)\)", value)
            if reference:
                new = used.setdefault(reference[1], f"{name}.{len(used)}")
                element.set(key, value.replace(reference[1], new))
    for element in root.iter():
        if "id" in element.attrib:
            old = element.attrib.pop("id")
            if old in used:
                element.set("id", used[old])


def _unwrap(parent: ElementTree.Element) -> None:
    """Groups that say nothing give way to their children."""
    children = []
    for child in parent:
        _unwrap(child)
        children += list(child) if child.tag == f"{SVG}g" and not child.attrib else [child]
    parent[:] = children
    parent.text = parent.text if (parent.text or "").strip() else None
    for child in parent:
        child.tail = None


def _head(root: ElementTree.Element, name: str, title: str, message: str) -> None:
    width, height = (float(root.attrib[key].removesuffix("pt")) for key in ("width", "height"))
    root.set("width", f"{width * PIXELS_PER_POINT:.0f}")
    root.set("height", f"{height * PIXELS_PER_POINT:.0f}")
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}.title {name}.desc")
    root.set("font-family", _FONT)
    root.set("stroke-linejoin", "round")
    for position, (tag, text) in enumerate((("title", title), ("desc", message))):
        element = ElementTree.Element(f"{SVG}{tag}", {"id": f"{name}.{tag}"})
        element.text = text
        root.insert(position, element)
