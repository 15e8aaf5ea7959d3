"""Figures as SVG text that a page takes in as it is: its text is text, and its ink is that of the page."""

import re
import warnings
from collections.abc import Callable
from io import StringIO
from typing import Any

# Paul Tol's bright scheme (personal.sron.nl/~pault), which color-blind readers tell apart.
COLORS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#ccbb44", "#66ccee")
LINE_STYLES = ("solid", "dashed", "dashdot", "dotted")
CONTROL_COLOR = "#888888"
_INK = "#010203"
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold a dollar sign
    "font.size": 10.0,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw_svg(
    draw: Callable[[Any], None], *, name: str, title: str, size_in: tuple[float, float] = (4.6, 4.6)
) -> str:
    """Draw a figure of one panel; the same drawing gives the same text.

    pyplot and its backend are left alone.

    Args:
        draw: fills the matplotlib Axes that it is given.
        name: letters and dashes; begins every id, so that several figures share a page.
        title: what the figure shows, for readers who cannot see it.
        size_in: width and height, inches.

    Returns:
        An `<svg>` element without width and height: it is as large as its place. Text and axes have the color
        of the text around it, the background is clear.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    target = StringIO()
    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the reader's fonts have it
        figure = Figure(figsize=size_in, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None})
    return _clean(target.getvalue(), name=name, title=title)


def pick_line(number: int, *, is_control: bool = False) -> dict[str, Any]:
    """Return the color and the style of a figure's next line, as keywords of matplotlib.

    >>> pick_line(7)
    {'color': '#ee6677', 'linestyle': 'dashed'}
    """
    if is_control:
        return {"color": CONTROL_COLOR, "linestyle": LINE_STYLES[1 + number % 3], "linewidth": 1.2}
    return {
        "color": COLORS[number % len(COLORS)],
        "linestyle": LINE_STYLES[number // len(COLORS) % len(LINE_STYLES)],
    }


def shorten(text: str, *, max_chars: int = 36) -> str:
    """Cut a name that is too long for a legend.

    >>> shorten("a long name", max_chars=8)
    'a lon...'
    """
    return text if len(text) <= max_chars else text[: max_chars - 3] + "..."


def _clean(svg: str, *, name: str, title: str) -> str:
    """Keep the element alone, with ids of its own, and an accessible name."""
    from xml.sax.saxutils import quoteattr

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'( id="| xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = svg.replace(f": {_INK}", ": currentColor")
    head, rest = svg.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label={quoteattr(title)}>{rest}'
