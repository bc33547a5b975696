"""Local contrast, what image and prediction share whatever albedo and exposure: the CPU's way."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Array32 = NDArray[np.float32]

SIGMA_PX = 10.0
SMOOTHING_PX = 1.0
"""Gaussian smoothing of both sides first: below it map noise and relief under the map's resolution
have no counterpart."""

LEAST_DEVIATION_SHARE = 0.02
"""Deviation added, as a share of the mean level, so that flat ground does not turn into noise."""


def local_contrast(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values minus their local mean, over their local deviation (Gaussian, SIGMA_PX).

    values: float32 (height, width); NaN is left out of every average and stays NaN.
    """
    known = np.isfinite(values)
    if not known.any():
        return values.copy()
    smooth = _average_over(known, SMOOTHING_PX)(values)
    level = float(smooth[known].mean())
    average = _average_over(known, SIGMA_PX)
    rest = np.where(known, smooth - average(smooth), np.float32(0))
    square = average(rest * rest)
    floor = LEAST_DEVIATION_SHARE * abs(level) + 1e-9
    return np.where(known, rest / (np.sqrt(square) + floor), np.float32(np.nan)).astype(np.float32)


def _average_over(known: NDArray[np.bool_], sigma_px: float) -> Callable[[Array32], Array32]:
    """Gaussian averages over known pixels only."""

    def blurred(values: Array32) -> Array32:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma_px), dtype=np.float32)

    if known.all():
        return blurred
    weight = blurred(known.astype(np.float32)) + np.float32(1e-6)
    return lambda values: blurred(np.where(known, values, np.float32(0))) / weight
