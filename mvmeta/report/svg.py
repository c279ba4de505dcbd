"""From a matplotlib figure to SVG that is part of a page.

Text stays text, colours of lines and paper follow the page, and names do not clash with those of
other figures.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from markupsafe import Markup

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"

INK, PAPER = "#010203", "#fdfcfb"
"""Stand for the colours of text and background while a figure is drawn: nothing else has them."""

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mvmeta",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": INK,
    "legend.labelcolor": INK,
    "lines.color": INK,
    "patch.edgecolor": INK,
    "axes.facecolor": PAPER,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
}
"""Settings of matplotlib for figures of a page."""

GREY = "#808080"
"""In place of both in images, whose colours are fixed."""

MANY_MARKS = 600
"""Marks of an artist beyond which it is drawn as an image within the figure."""

DPI = 150
"""Of such images."""

ET.register_namespace("", SVG)
ET.register_namespace("xlink", XLINK)


@contextmanager
def drawing() -> Iterator[None]:
    """Figures drawn within have the colours `to_svg` knows, and are not shown.

    Letters that matplotlib's font lacks are no matter: text stays text, and the reader has fonts.
    """
    from matplotlib import rc_context

    with rc_context(), warnings.catch_warnings():
        import matplotlib as mpl

        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        mpl.rcParams.update(mpl.rcParamsDefault)
        mpl.rcParams.update(STYLE)  # type: ignore[arg-type]
        yield


def to_svg(figure: Any, key: str, title: str, description: str) -> Markup:
    """The figure as an element for a page, named by `key`, with alternatives in words."""
    for axes in figure.axes:
        axes.patch.set_facecolor("none")
    _thin_out(figure)
    stream = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(stream, format="svg", bbox_inches="tight", dpi=DPI, metadata=nothing)
    root = ET.fromstring(stream.getvalue())
    _clean(root)
    _rename(root, key)
    _name(root, key, title, description)
    text = ET.tostring(root, encoding="unicode")
    text = text.replace(INK, "currentColor").replace(PAPER, "var(--paper)")
    return Markup(text)


def _thin_out(figure: Any) -> None:
    """Draw artists of very many marks as images: a page with all of them would be slow."""
    for axes in figure.axes:
        for artist in axes.collections:
            if max(len(artist.get_offsets()), len(artist.get_paths())) > MANY_MARKS:
                artist.set_edgecolor(_fixed(artist.get_edgecolor()))
                artist.set_facecolor(_fixed(artist.get_facecolor()))
                artist.set_rasterized(True)
        for line in axes.lines:
            if len(line.get_xdata(orig=False)) > MANY_MARKS:
                line.set_color(_fixed(line.get_color())[0])
                line.set_rasterized(True)


def _fixed(colours: Any) -> Any:
    """Colours (m, 4) of an image, which do not follow the page: a grey that both modes show."""
    from matplotlib.colors import to_rgba, to_rgba_array

    out = to_rgba_array(colours)
    for stands_for, colour in ((INK, GREY), (PAPER, "none")):
        here = (np.abs(out[:, :3] - to_rgba(stands_for)[:3]) < 1e-6).all(axis=1)
        opacity = out[here, 3]
        out[here] = to_rgba(colour)
        out[here, 3] *= opacity
    return out


def _clean(root: ET.Element) -> None:
    """Without metadata, and without rules of style that would reach beyond the figure."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)


def _rename(root: ET.Element, key: str) -> None:
    """Names that are unique on the page."""
    for node in root.iter():
        if "id" in node.attrib:
            node.set("id", f"{key}-{node.get('id')}")
        for attribute, value in node.attrib.items():
            if attribute in (f"{{{XLINK}}}href", "href") and value.startswith("#"):
                node.set(attribute, f"#{key}-{value[1:]}")
            elif "url(#" in value:
                node.set(attribute, re.sub(r"url\(#", f"url(#{key}-", value))


def _name(root: ET.Element, key: str, title: str, description: str) -> None:
    root.set("role", "img")
    root.set("aria-labelledby", f"{key}-title {key}-description")
    root.set("class", "plot")
    for position, (tag, text) in enumerate((("title", title), ("desc", description))):
        node = ET.Element(f"{{{SVG}}}{tag}")
        node.set("id", f"{key}-{'title' if tag == 'title' else 'description'}")
        node.text = text
        root.insert(position, node)
