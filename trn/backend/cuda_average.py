"""Gaussian averages of images on the device, with the weights of OpenCV's."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_kernels import SQUARE, blocks


def averaged(device: CudaDevice, planes: Any, sigma_px: float) -> Any:
    """Gaussian averages (images, rows, columns), float32, of images of that shape."""
    images, rows, columns = planes.shape
    weights = gaussian(sigma_px)
    on_device = device.constant(weights)
    for down in (0, 1):
        result = device.empty((images, rows, columns), np.float32)
        device.launch(
            "average_along",
            (blocks(columns, SQUARE[0]), blocks(rows, SQUARE[1]), images),
            SQUARE,
            (
                planes,
                np.int32(rows),
                np.int32(columns),
                on_device,
                np.int32(weights.size // 2),
                np.int32(down),
                result,
            ),
        )
        planes = result
    return planes


@lru_cache(maxsize=16)
def gaussian(sigma_px: float) -> NDArray[np.float32]:
    """The weights of cv2.GaussianBlur for floats: out to four standard deviations, odd."""
    size = round(8.0 * sigma_px + 1.0) | 1
    return np.ascontiguousarray(cv2.getGaussianKernel(size, sigma_px, cv2.CV_32F)[:, 0])
