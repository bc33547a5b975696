"""Images made smaller, how much two look alike, what their parts can tell: the CPU's way."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.backend.protocol import PixelGrid

SHARE_KNOWN = 0.8
"""A template needs this share of its pixels."""
LEAST_INFORMATION = 1e-9
LEAST_KNOWN_PX = 64


def cropped(
    image: NDArray[np.float32], first_row: int, first_column: int, height: int, width: int
) -> NDArray[np.float32]:
    """See Backend.crop."""
    part = image[first_row : first_row + height, first_column : first_column + width]
    return np.ascontiguousarray(part)


def shrunk(image: NDArray[np.generic], width: int, height: int) -> NDArray[np.float32]:
    """An image (rows, columns) at a smaller size, float32 (height, width), area-averaged."""
    values = np.asarray(image).astype(np.float32, copy=False)
    if values.shape == (height, width):
        return values
    return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA))


def box_side(shape: tuple[int, ...]) -> int:
    """Side of the square, odd, over which `resemblance` takes an image's large scales."""
    return (max(shape) // 8) | 1


def resemblance(image: NDArray[np.float32], predicted: NDArray[np.float32]) -> float:
    """See Backend.resemblance."""
    known = np.isfinite(predicted)
    if known.sum() < LEAST_KNOWN_PX:
        return 0.0
    side = box_side(image.shape)
    total = cv2.blur(known.astype(np.float32), (side, side)) + 1e-6

    def detail(values: NDArray[np.float32]) -> NDArray[np.float32]:
        filled = np.where(known, values, np.float32(0)).astype(np.float32)
        rest = (filled - cv2.blur(filled, (side, side)) / total)[known]
        return np.asarray(rest - rest.mean())

    a, b = detail(image), detail(predicted)
    return float(a @ b) / max(math.sqrt(float(a @ a) * float(b @ b)), 1e-12)


def information(image: NDArray[np.float32], size_px: int, grid: PixelGrid) -> NDArray[np.float32]:
    """See Backend.information."""
    known = np.isfinite(image)
    filled = np.where(known, image, np.float32(0)).astype(np.float32)
    along_x = cv2.Scharr(filled, cv2.CV_32F, 1, 0, scale=1 / 32)
    along_y = cv2.Scharr(filled, cv2.CV_32F, 0, 1, scale=1 / 32)
    sure = cv2.erode(known.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    along_x[~sure] = 0
    along_y[~sure] = 0

    def over_template(values: NDArray[np.float32]) -> NDArray[np.float32]:
        summed: NDArray[np.float32] = cv2.boxFilter(  # type: ignore[assignment]
            values, cv2.CV_32F, (size_px, size_px), normalize=False
        )
        return summed[grid.slices]

    xx, yy, xy = (
        over_template(product)
        for product in (along_x * along_x, along_y * along_y, along_x * along_y)
    )
    share = over_template(known.astype(np.float32)) / size_px**2
    least = 0.5 * (xx + yy - np.sqrt((xx - yy) ** 2 + 4 * xy**2))
    usable = (share >= SHARE_KNOWN) & known[grid.slices] & (least > LEAST_INFORMATION)
    return np.where(usable, least, np.float32(0)).ravel()
