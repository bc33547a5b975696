"""cuCIM's matcher on our searches: another GPU implementation of the same matches."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.protocol import Peaks, Searches
from trn.bench.timing import summarised, timed_ms

SAME_PLACE_PX = 1.0
"""Its place is the highest score's pixel, ours the vertex beside it."""


def compared(
    image: NDArray[np.float32], searches: Searches, ours: Peaks, runs: int
) -> dict[str, Any]:
    """Times of cuCIM's `match_template` on searches of an image in itself, or why there are none.

    The image is on the device before; each search is one call, as cuCIM has no other way, and the
    places of all peaks come back in one copy. same_place: share of the peaks within SAME_PLACE_PX.
    """
    try:
        cupy = importlib.import_module("cupy")
        match_template = importlib.import_module("cucim.skimage.feature").match_template
    except Exception as error:  # a package that loads partly raises what it likes
        return {"absent": f"{type(error).__name__}: {_first_line(error)}"}
    try:
        match = matcher(cupy, match_template, cupy.asarray(image), searches)
        places = match()
        timing = summarised(timed_ms(match, runs), "searches", len(searches))
    except Exception as error:  # of CuPy, of its compiler, or of cuCIM
        return {"absent": f"it fails here, {type(error).__name__}: {_first_line(error)}"}
    apart = np.hypot(places[:, 0] - ours.x, places[:, 1] - ours.y)
    return {"timing": timing.to_dict(), "same_place": float((apart < SAME_PLACE_PX).mean())}


def matcher(
    cupy: Any, match_template: Callable[..., Any], image: Any, searches: Searches
) -> Callable[[], NDArray[np.int64]]:
    """A call that does all searches and gives x and y of their peaks, int64 (N, 2)."""
    size = searches.size_px
    pairs = []
    for k in range(len(searches)):
        x, y = int(searches.window_x[k]), int(searches.window_y[k])
        columns, rows = int(searches.window_columns[k]), int(searches.window_rows[k])
        left, upper = int(searches.template_x[k]), int(searches.template_y[k])
        window = image[y : y + rows + size - 1, x : x + columns + size - 1]
        pairs.append((window, image[upper : upper + size, left : left + size]))
    corner = np.column_stack([searches.window_x, searches.window_y]).astype(np.int64)

    def match() -> NDArray[np.int64]:
        highest = cupy.stack(
            [match_template(window, template).argmax() for window, template in pairs]
        )
        row, column = np.divmod(cupy.asnumpy(highest), searches.window_columns)
        return np.asarray(corner + np.column_stack([column, row]))

    return match


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:160] if text else ""
