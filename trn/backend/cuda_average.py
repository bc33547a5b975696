"""Averages of images on the device, with the weights of OpenCV's, of what is known of them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.backend.cuda_device import CudaDevice


def known_planes(device: CudaDevice, image: Any, predicted: Any) -> Any:
    """Image and prediction with 0 where the prediction is not known, and 1 where it is.

    image, predicted: float32 (rows, columns), on the device. Returns (3, rows, columns).
    """
    planes = device.empty((3, *predicted.shape), np.float32)
    pixels = int(predicted.size)
    device.launch_each("known_planes", pixels, (image, predicted, np.int32(pixels), planes))
    return planes


def averaged(device: CudaDevice, planes: Any, sigma_px: float, into: Any = None) -> Any:
    """Gaussian averages (images, rows, columns), float32, of images of that shape; as `into`."""
    return averaged_with(device, planes, gaussian(sigma_px), into)


def averaged_with(
    device: CudaDevice, planes: Any, weights: NDArray[np.float32], into: Any = None
) -> Any:
    """Averages along both axes with weights (2 radius + 1,) that are symmetric and never change."""
    images, rows, columns = planes.shape
    on_device = device.constant(weights)
    for down in (0, 1):
        result = into if down and into is not None else device.empty(planes.shape, np.float32)
        device.launch_over(
            "average_along",
            (rows, columns),
            (
                planes,
                np.int32(rows),
                np.int32(columns),
                on_device,
                np.int32(weights.size // 2),
                np.int32(down),
                result,
            ),
            images,
        )
        planes = result
    return planes


@lru_cache(maxsize=16)
def gaussian(sigma_px: float) -> NDArray[np.float32]:
    """The weights of cv2.GaussianBlur for floats: out to four standard deviations, odd."""
    size = round(8.0 * sigma_px + 1.0) | 1
    return np.ascontiguousarray(cv2.getGaussianKernel(size, sigma_px, cv2.CV_32F)[:, 0])
