"""What tells whether a frame can show terrain at all: the CPU's way."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.backend.cpu_images import shrunk
from trn.backend.protocol import FrameStatistics

WORKING_SIDE_PX = 256
SMOOTHING_PX = 0.7
"""A little, so that noise does not hide a direction; more would smooth away narrow stripes."""


def statistics(image: NDArray[np.float32], black: float, saturated: float) -> FrameStatistics:
    """See Backend.statistics."""
    pixels = pixel_statistics(image, np.float32(black), np.float32(saturated))
    small = cv2.GaussianBlur(shrunk(image, *small_size(image.shape)), (0, 0), SMOOTHING_PX)
    gx = cv2.Scharr(small, cv2.CV_32F, 1, 0)[1:-1, 1:-1]
    gy = cv2.Scharr(small, cv2.CV_32F, 0, 1)[1:-1, 1:-1]
    with np.errstate(invalid="ignore"):
        slopes = float((gx * gx).mean()), float((gy * gy).mean()), float((gx * gy).mean())
    return FrameStatistics(*pixels, slopes)


def small_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Width and height of the copy of a frame (rows, columns) that slopes are taken from."""
    scale = max(1.0, max(shape) / WORKING_SIDE_PX)
    return max(8, round(shape[1] / scale)), max(8, round(shape[0] / scale))


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
