"""An image brought to the scale of its prediction, and how much the two look alike."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.camera import Camera


def shrink(image: NDArray[np.generic], camera: Camera) -> NDArray[np.float32]:
    """The image at a smaller camera's size, float32, area-averaged."""
    values = np.asarray(image).astype(np.float32)
    if values.shape == (camera.height, camera.width):
        return values
    return np.asarray(
        cv2.resize(values, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    )


def view_score(image: NDArray[np.float32], predicted: NDArray[np.float32]) -> float:
    """Zero-mean NCC of image and predicted view where both are known, large scales removed."""
    known = np.isfinite(predicted)
    if known.sum() < 64:
        return 0.0
    weight = known.astype(np.float32)
    side = (max(image.shape) // 8) | 1
    total = cv2.blur(weight, (side, side)) + 1e-6

    def detail(values: NDArray[np.float32]) -> NDArray[np.float32]:
        filled = np.where(known, values, np.float32(0)).astype(np.float32)
        rest = (filled - cv2.blur(filled, (side, side)) / total)[known]
        return np.asarray(rest - rest.mean())

    a, b = detail(image), detail(predicted)
    return float((a @ b) / max(float(np.sqrt((a @ a) * (b @ b))), 1e-12))
