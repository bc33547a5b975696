"""Local contrast: what image and prediction have in common whatever albedo and exposure."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIGMA_PX = 6.0
LEAST_DEVIATION_SHARE = 0.02
"""Deviation added, as a share of the mean level, so that flat ground does not turn into noise."""


def local_contrast(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values minus their local mean, over their local deviation (Gaussian, SIGMA_PX).

    values: float32 (height, width); NaN is left out of every average and stays NaN.
    """
    known = np.isfinite(values)
    if not known.any():
        return values.copy()
    level = float(values[known].mean())
    size = (0, 0)
    if known.all():
        mean = cv2.GaussianBlur(values, size, SIGMA_PX)
        rest = values - mean
        square = cv2.GaussianBlur(rest * rest, size, SIGMA_PX)
    else:
        weight = cv2.GaussianBlur(known.astype(np.float32), size, SIGMA_PX) + 1e-6
        filled = np.where(known, values, np.float32(0))
        mean = cv2.GaussianBlur(filled, size, SIGMA_PX) / weight
        rest = np.where(known, values - mean, np.float32(0))
        square = cv2.GaussianBlur(rest * rest, size, SIGMA_PX) / weight
    floor = LEAST_DEVIATION_SHARE * abs(level) + 1e-9
    return np.where(known, rest / (np.sqrt(square) + floor), np.float32(np.nan)).astype(np.float32)
