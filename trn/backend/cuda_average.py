"""Averages of images on the device, with the weights of OpenCV's, of what is known of them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_kernels import blocks, int32

AROUND = 16
"""Side of a block's tile where both axes are averaged in one launch, as in average.cuh."""


def known_means(
    device: CudaDevice, image: Any, predicted: Any, weights: NDArray[np.float32]
) -> tuple[Any, Any]:
    """Local means over what is known of the prediction, (2, rows, columns), and their highest.

    image, predicted: float32 (rows, columns), on the device. The highest, (2,), are bits of floats;
    zero where none is above.
    """
    averages = device.empty((3, *predicted.shape), np.float32)
    means = device.empty((2, *predicted.shape), np.float32)
    highest = device.empty(2, np.uint32)
    taken = averaging(device, predicted.shape, weights)
    launch = device.launch_over
    launch("known_rows", predicted.shape, (image, predicted, *taken, averages, highest), 3)
    launch("known_means", predicted.shape, (averages, *taken, means, highest))
    return means, highest


def averaged(device: CudaDevice, images: Any, sigma_px: float) -> Any:
    """Gaussian averages of images (images, rows, columns), float32, of a radius of few pixels."""
    count, *shape = images.shape
    result, weights = device.empty(images.shape, np.float32), gaussian(sigma_px)
    taken = (images, *averaging(device, tuple(shape), weights), result)
    launch_around(device, "average_images", tuple(shape), taken, weights, 1, count)
    return result


def averaging(
    device: CudaDevice, shape: tuple[int, ...], weights: NDArray[np.float32]
) -> tuple[Any, ...]:
    """Rows, columns, weights and radius of an average, as kernels take them.

    weights: (2 radius + 1,), symmetric, an array that never changes.
    """
    rows, columns = shape
    radius = int32(weights.size // 2)
    return int32(rows), int32(columns), device.constant(weights), radius


def launch_around(
    device: CudaDevice,
    name: str,
    shape: tuple[int, ...],
    arguments: tuple[Any, ...],
    weights: NDArray[np.float32],
    planes: int,
    images: int = 1,
) -> None:
    """Launch a kernel that averages `planes` images (rows, columns) along both axes at once.

    images: so many times, along z.
    """
    grid = blocks(shape[1], AROUND), blocks(shape[0], AROUND), images
    lines = planes * AROUND * (AROUND + weights.size - 1)
    device.launch(name, grid, (AROUND, AROUND), arguments, 4 * lines)


@lru_cache(maxsize=16)
def gaussian(sigma_px: float) -> NDArray[np.float32]:
    """The weights of cv2.GaussianBlur for floats: out to four standard deviations, odd."""
    size = round(8.0 * sigma_px + 1.0) | 1
    return np.ascontiguousarray(cv2.getGaussianKernel(size, sigma_px, cv2.CV_32F)[:, 0])
