"""How local contrast is laid out for contrast.cu, and launched."""

from __future__ import annotations

from typing import Any

import numpy as np

from trn.backend import cpu_contrast
from trn.backend.cuda_average import AROUND, averaging, gaussian, launch_around
from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_kernels import blocks, int32

SHARE = np.float32(cpu_contrast.LEAST_DEVIATION_SHARE)


def contrast(device: CudaDevice, values: Any) -> Any:
    """See Backend.contrast; values and result are on the device, float32 (rows, columns)."""
    shape, launch = values.shape, device.launch_over
    tiles = blocks(shape[0], AROUND) * blocks(shape[1], AROUND)
    fine, coarse = gaussian(cpu_contrast.SMOOTHING_PX), gaussian(cpu_contrast.SIGMA_PX)
    smooth, squares, result = (device.empty(shape, np.float32) for _ in range(3))
    averages, rest = (device.empty((2, *shape), np.float32) for _ in range(2))
    tile_sums, level = device.empty((tiles, 2), np.float32), device.empty(1, np.float32)
    smoothed = (values, *averaging(device, shape, fine), smooth, tile_sums)
    launch_around(device, "contrast_smooth", shape, smoothed, fine, 2)
    taken = averaging(device, shape, coarse)
    launch("contrast_rows", shape, (smooth, *taken, averages), 2)
    launch("contrast_rest", shape, (averages, smooth, *taken, rest))
    launch("contrast_squares", shape, (rest, *taken, tile_sums, int32(tiles), squares, level))
    launch("contrast_over", shape, (rest, squares, *taken, level, SHARE, result))
    return result
