"""Ground that two frames show: corners of the first, followed into the second.

Corners after Shi and Tomasi (1994, CVPR), followed by pyramidal Lucas-Kanade (Bouguet 2001), there
and back: what does not come back to where it began is lost.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MOST_CORNERS = 200
LEAST_QUALITY = 0.02
CORNER_DISTANCE_PX = 12
WINDOW_PX = 21
LEVELS = 2
MOST_RETURN_PX = 0.5
"""How far from its beginning a corner may come back."""
CONTRAST_RANGE = 3.0
"""Local contrast, in its deviations, that spans the 8 bits."""


def in_bytes(contrast: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Local contrast (`trn.backend.cpu_contrast`) as 8 bits; what is not known is grey."""
    scaled = 127.5 + 127.5 / CONTRAST_RANGE * np.nan_to_num(contrast)
    return np.asarray(np.clip(scaled, 0.0, 255.0).astype(np.uint8))


def corners(pixels: NDArray[np.uint8]) -> Array:
    """Corners that can be followed, float64 (N, 2), x right and y down, the best first."""
    found: Any = cv2.goodFeaturesToTrack(pixels, MOST_CORNERS, LEAST_QUALITY, CORNER_DISTANCE_PX)
    # None where there is nothing to follow.
    return np.reshape(np.asarray([] if found is None else found, dtype=np.float64), (-1, 2))


def followed(
    before: NDArray[np.uint8], after: NDArray[np.uint8], begin: Array, expected: Array
) -> Array:
    """Where corners at begin, (N, 2), of one frame are in the other; NaN for those that are lost.

    expected: (N, 2), where they should be.
    """
    if not len(begin):
        return np.empty((0, 2))
    there = _tracked(before, after, begin, expected)
    back = _tracked(after, before, there, begin)
    apart = np.linalg.norm(back - begin, axis=1, keepdims=True)
    return np.where(apart < MOST_RETURN_PX, there, np.nan)


def _tracked(
    before: NDArray[np.uint8], after: NDArray[np.uint8], begin: Array, expected: Array
) -> Array:
    known = np.isfinite(begin).all(axis=1, keepdims=True)
    start = np.where(known, begin, 0.0).astype(np.float32)
    place, status, _ = cv2.calcOpticalFlowPyrLK(
        before,
        after,
        start.reshape(-1, 1, 2),
        expected.astype(np.float32).reshape(-1, 1, 2).copy(),
        winSize=(WINDOW_PX, WINDOW_PX),
        maxLevel=LEVELS,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    return np.where(known & (status == 1), place.reshape(-1, 2).astype(np.float64), np.nan)
