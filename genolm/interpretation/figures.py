"""Figures of explanations: a logo of what each base contributes, and a heat map of all substitutions."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genolm.alphabet import BASES, encode_bases
from genolm.files import atomic_path
from genolm.interpretation.logo import draw_logo

ROWS = "ACGT"
_BASE_IN = 0.16  # width of a base
_MAX_WIDTH_IN = 60.0
Numbers = npt.NDArray[np.floating[Any]]


def plot_sequence_map(
    sequence: str,
    contributions: Numbers,
    path: Path,
    *,
    effects: Numbers | None = None,
    title: str = "",
    unit: str = "score",
    first_position: int = 0,
) -> None:
    """Draw a sequence with letters as high as what they contribute, above the effect of each substitution.

    Args:
        sequence: upper-case DNA.
        contributions: [length_bp].
        path: without suffix; PNG and SVG are written.
        effects: [length_bp, 4] of a mutation map, in the order of `genolm.alphabet.BASES`.
        title: above the figure.
        unit: of the values.
        first_position: number of the first base on the axis.
    """
    codes = encode_bases(sequence)
    heights = np.zeros((len(codes), len(BASES) + 1))
    heights[np.arange(len(codes)), codes] = contributions
    figure = build_figure(len(codes), num_panels=1 if effects is None else 2)
    logo = figure.axes[0]
    draw_logo(logo, heights[:, : len(BASES)])
    logo.axhline(0, color="black", linewidth=0.5)
    logo.set_ylabel("contribution")
    logo.set_title(title, fontsize="medium", parse_math=False)
    if effects is not None:
        _draw_heat_map(figure, codes, effects, unit=unit)
    ticks = np.arange(-first_position % 10, len(codes), 10)
    figure.axes[0 if effects is None else 1].set_xticks(ticks, [str(tick + first_position) for tick in ticks])
    save_figure(figure, path)


def _draw_heat_map(figure: Any, codes: npt.NDArray[np.uint8], effects: Numbers, *, unit: str) -> None:
    panel = figure.axes[1]
    limit = np.nanmax(abs(effects), initial=1e-12)
    order = [BASES.index(base) for base in ROWS]
    image = panel.imshow(effects[:, order].T, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    known = np.flatnonzero(codes < len(BASES))
    panel.plot(known, [ROWS.index(BASES[code]) for code in codes[known]], "k.", markersize=2)
    panel.set_yticks(range(len(ROWS)), ROWS)
    figure.axes[0].tick_params(labelbottom=False)
    bar = figure.colorbar(image, ax=panel, fraction=0.05, pad=0.01)
    bar.set_label(f"change of\n{unit}", fontsize="small")
    panel.set_facecolor("#dddddd")


def build_figure(length_bp: int, *, num_panels: int) -> Any:
    """Return a matplotlib Figure as wide as a sequence needs; pyplot and its backend are left alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width_in = min(max(4.0, 1.5 + _BASE_IN * length_bp), _MAX_WIDTH_IN)
    figure = Figure(figsize=(width_in, 1.2 + 1.2 * num_panels), layout="constrained")
    FigureCanvasAgg(figure)
    figure.subplots(num_panels, 1, squeeze=False)
    return figure


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure as PNG and SVG, beside each other; the same figure gives the same SVG."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": path.name}), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from"
        )  # in a name, the reader's fonts may
        for kind in ("png", "svg"):
            metadata: Any = {"Date": None} if kind == "svg" else {}
            with atomic_path(path.with_name(f"{path.name}.{kind}")) as temporary:
                figure.savefig(temporary, format=kind, dpi=150, metadata=metadata)
