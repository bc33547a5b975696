"""Statistics of a frame on the device: how statistics.cu is laid out, launched and read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend import cpu_statistics
from trn.backend.cuda_average import averaged
from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_images import CudaImage, shrunk
from trn.backend.cuda_kernels import THREADS
from trn.backend.protocol import FrameStatistics

SUM_BLOCKS = THREADS
"""Blocks of each kernel; one thread each adds up what they leave where that stays there."""
PIXEL_SUMS, SLOPE_SUMS = 8, 3
"""Of a block, as in statistics.cu."""


def statistics(
    device: CudaDevice, image: CudaImage, black: float, saturated: float
) -> FrameStatistics:
    """See Backend.statistics."""
    sums = device.empty(SUM_BLOCKS * (PIXEL_SUMS + SLOPE_SUMS), np.float64)
    pixel_sums(device, image, black, saturated, sums)
    width, height = cpu_statistics.small_size(image.shape)
    small = shrunk(device, image, width, height).reshape(1, height, width)
    smooth = averaged(device, small, cpu_statistics.SMOOTHING_PX)
    device.launch(
        "slope_sums",
        (SUM_BLOCKS,),
        (THREADS,),
        (smooth, np.int32(height), np.int32(width), sums[SUM_BLOCKS * PIXEL_SUMS :]),
    )
    back = device.to_host(sums)
    with np.errstate(invalid="ignore"):
        pixels, slopes = (
            part.reshape(SUM_BLOCKS, -1).sum(axis=0)
            for part in (back[: SUM_BLOCKS * PIXEL_SUMS], back[SUM_BLOCKS * PIXEL_SUMS :])
        )
    xx, yy, xy = (float(total) / ((width - 2) * (height - 2)) for total in slopes)
    return FrameStatistics(*_of_sums(image.shape, pixels), (xx, yy, xy))


def pixel_sums(
    device: CudaDevice, image: CudaImage, black: float, saturated: float, into: Any
) -> None:
    """Sums over an image's pixels, (SUM_BLOCKS, PIXEL_SUMS) at the start of `into`, float64."""
    rows, columns = image.shape
    device.launch(
        "image_sums",
        (SUM_BLOCKS,),
        (THREADS,),
        (
            image.on_device(),
            np.int32(rows),
            np.int32(columns),
            np.float32(black),
            np.float32(saturated),
            into,
        ),
    )


def _of_sums(
    shape: tuple[int, ...], sums: NDArray[np.float64]
) -> tuple[float, float, float, float]:
    """FrameStatistics without the slopes, from sums over all blocks."""
    rows, columns = shape
    count = rows * columns
    black, saturated, total, square, *pairs = map(float, sums)
    mean = total / count

    def covariance(number: int, product: float, both: float) -> float:
        """Of `number` pairs, from their products and sums."""
        return (product - mean * both) / number + mean * mean if number else math.nan

    along_rows = covariance(rows * (columns - 1), *pairs[:2])
    along_columns = covariance((rows - 1) * columns, *pairs[2:])
    variance = square / count - mean * mean
    return black / count, saturated / count, variance, 0.5 * (along_rows + along_columns)
