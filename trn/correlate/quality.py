"""Whether an image can show terrain at all, before any work is spent on it."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

WORKING_SIDE_PX = 256
BLACK_SHARE = 0.97
SATURATED_SHARE = 0.6
NOISE_CORRELATION = 0.25
STRIPE_SHARE = 0.9


def image_defect(image: NDArray[np.generic]) -> str:
    """What is wrong with an image in plain words, or "" for nothing seen.

    image: (height, width), 8- or 16-bit or float (full scale 1). Looks for: black, saturated,
    without contrast, noise without structure, stripes (texture along one direction only).
    """
    if image.dtype.kind == "f":
        full_scale = 1.0
        if not np.isfinite(image).all():
            return "the image holds values that are not finite"
    else:
        full_scale = float(np.iinfo(image.dtype.str).max)
    values = np.array(image, dtype=np.float32, order="C")
    black, saturated, variance, neighbour = pixel_statistics(
        values, np.float32(0.012 * full_scale), np.float32(0.992 * full_scale)
    )
    if black > BLACK_SHARE:
        return "the image is black: no sunlit terrain in view, or the camera gave no signal"
    if saturated > SATURATED_SHARE:
        return "the image is saturated: over-exposed"
    if variance < (0.002 * full_scale) ** 2:
        return "the image has no contrast"
    if neighbour < NOISE_CORRELATION * variance:
        return "the image is noise: neighbouring pixels do not resemble one another"
    scale = max(1.0, max(values.shape) / WORKING_SIDE_PX)
    size = (max(8, round(values.shape[1] / scale)), max(8, round(values.shape[0] / scale)))
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    # A little, so that noise does not hide the direction; more would smooth away narrow stripes.
    small = cv2.GaussianBlur(small, (0, 0), 0.7)
    gx = cv2.Scharr(small, cv2.CV_32F, 1, 0)[1:-1, 1:-1]
    gy = cv2.Scharr(small, cv2.CV_32F, 0, 1)[1:-1, 1:-1]
    xx, yy, xy = float((gx * gx).mean()), float((gy * gy).mean()), float((gx * gy).mean())
    coherence = np.hypot(xx - yy, 2 * xy) / max(xx + yy, 1e-30 * full_scale**2)
    if coherence > STRIPE_SHARE:
        return "the image shows stripes: texture along one direction only"
    return ""


@njit(cache=True, nogil=True, error_model="numpy")
def pixel_statistics(
    values: NDArray[np.float32], black: np.float32, saturated: np.float32
) -> tuple[float, float, float, float]:
    """Share of black and of saturated pixels, variance, and covariance of neighbours.

    values: (rows, columns). black, saturated: what is no brighter, and no darker. The covariance is
    the mean of that along rows and that along columns; NaN for a single row or column.
    """
    rows, columns = values.shape
    dark = bright = 0
    # A sum a column, so that the compiler can add several at a time.
    total, square = np.zeros(columns), np.zeros(columns)
    across, down = np.zeros(columns), np.zeros(columns)
    for row in range(rows):
        for column in range(columns):
            dark += values[row, column] <= black
            bright += values[row, column] >= saturated
            total[column] += values[row, column]
    count = rows * columns
    mean = total.sum() / count
    for row in range(rows):
        for column in range(columns):
            fine = values[row, column] - mean
            square[column] += fine * fine
        for column in range(columns - 1):
            across[column] += (values[row, column] - mean) * (values[row, column + 1] - mean)
        if row > 0:
            for column in range(columns):
                down[column] += (values[row, column] - mean) * (values[row - 1, column] - mean)
    along_rows = across.sum() / (rows * (columns - 1))
    along_columns = down.sum() / ((rows - 1) * columns)
    return dark / count, bright / count, square.sum() / count, 0.5 * (along_rows + along_columns)
