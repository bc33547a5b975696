"""Local contrast: what image and prediction have in common whatever albedo and exposure."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

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
    smooth = _blurred(values, known, SMOOTHING_PX)
    level = float(smooth[known].mean())
    rest = np.where(known, smooth - _blurred(smooth, known, SIGMA_PX), np.float32(0))
    square = _blurred(rest * rest, known, SIGMA_PX)
    floor = LEAST_DEVIATION_SHARE * abs(level) + 1e-9
    return np.where(known, rest / (np.sqrt(square) + floor), np.float32(np.nan)).astype(np.float32)


def _blurred(
    values: NDArray[np.float32], known: NDArray[np.bool_], sigma_px: float
) -> NDArray[np.float32]:
    """Gaussian average over known pixels only."""
    if known.all():
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma_px), dtype=np.float32)
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma_px) + 1e-6
    filled = np.where(known, values, np.float32(0)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(filled, (0, 0), sigma_px) / weight, dtype=np.float32)
