"""How local contrast is laid out for contrast.cu, and launched."""

from __future__ import annotations

from typing import Any

import numpy as np

from trn.backend import cpu_contrast
from trn.backend.cuda_average import averaged
from trn.backend.cuda_device import CudaDevice


def contrast(device: CudaDevice, values: Any) -> Any:
    """See Backend.contrast; values and result are on the device, float32 (rows, columns)."""
    pixels, launch = int(values.size), device.launch_each

    def planes() -> Any:
        return device.empty((2, *values.shape), np.float32)

    known, smooth, rest = planes(), planes(), planes()
    launch("contrast_known", pixels, (values, np.int32(pixels), known))
    fine = averaged(device, known, cpu_contrast.SMOOTHING_PX)
    launch("contrast_smooth", pixels, (fine, known, np.int32(pixels), smooth))
    sums = device.sums(smooth)
    coarse = averaged(device, smooth, cpu_contrast.SIGMA_PX)
    launch("contrast_rest", pixels, (coarse, smooth, np.int32(pixels), rest))
    squares = averaged(device, rest[1:], cpu_contrast.SIGMA_PX)
    result = device.empty(values.shape, np.float32)
    share = np.float32(cpu_contrast.LEAST_DEVIATION_SHARE)
    launch(
        "contrast_over",
        pixels,
        (rest, squares, coarse[1], smooth, sums, share, np.int32(pixels), result),
    )
    return result
