"""Sequence logos: letters as outlines, as high as a number says."""

from typing import Any

import numpy as np
import numpy.typing as npt

from genolm.alphabet import BASES

LETTER_COLORS = dict(zip("ACGT", ("#228833", "#4477aa", "#e69f00", "#cc3311"), strict=True))


def draw_logo(axes: Any, heights: npt.NDArray[np.floating[Any]]) -> None:
    """Draw a stack of letters at each position: the positive ones upward from 0, the negative ones downward.

    Args:
        axes: of matplotlib; position i is in the middle of its letters.
        heights: [length, 4], in the order of `genolm.alphabet.BASES`, A T C G; 0 and NaN are not drawn.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import PathPatch
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    outlines = {base: TextPath((0, 0), base, size=1, prop=FontProperties(weight="bold")) for base in BASES}
    heights = np.nan_to_num(heights)
    for position, column in enumerate(heights):
        tops = {1: 0.0, -1: 0.0}
        for code in np.argsort(abs(column)):  # the largest letter stands outside
            if column[code] == 0:
                continue
            base, sign = BASES[code], 1 if column[code] > 0 else -1
            box = outlines[base].get_extents()
            low = tops[sign] if sign > 0 else tops[sign] + column[code]
            place = Affine2D().translate(-box.x0, -box.y0)
            place = place.scale(0.95 / box.width, abs(column[code]) / box.height)
            place = place.translate(position - 0.475, low)
            path = place.transform_path(outlines[base])
            axes.add_patch(PathPatch(path, facecolor=LETTER_COLORS[base], linewidth=0))
            tops[sign] += column[code]
    top = heights.clip(min=0).sum(axis=1).max(initial=0.0)
    bottom = heights.clip(max=0).sum(axis=1).min(initial=0.0)
    margin = 0.05 * (top - bottom) or 1.0
    axes.set(xlim=(-0.5, len(heights) - 0.5), ylim=(bottom - margin, top + margin))
