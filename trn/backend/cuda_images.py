"""Images in device memory, and what is made of them there."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend import cpu_images
from trn.backend.cuda_average import known_means
from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_kernels import THREADS, int32
from trn.backend.protocol import PixelGrid

RESEMBLANCE_BLOCKS = 128
UPLOADED_AS_IS = (np.uint8, np.uint16, np.float32)

Array32 = NDArray[np.float32]


class CudaImage:
    """An image on the host, from its first use on the device too, or made there.

    One that was made on the device comes to the host when its pixels are asked for. Where the
    device fails that, the CPU makes it again.
    """

    def __init__(
        self,
        device: CudaDevice,
        shape: tuple[int, ...],
        on_host: NDArray[Any] | None,
        on_device: Any = None,
        again: Callable[[], Array32] | None = None,
    ) -> None:
        self.shape = shape
        self._device = device
        self._on_host, self._on_device, self._again = on_host, on_device, again

    @classmethod
    def of_host(cls, device: CudaDevice, pixels: NDArray[Any]) -> CudaImage:
        """An image of pixels (rows, columns) that are not written to any more."""
        if pixels.dtype not in UPLOADED_AS_IS:
            pixels = pixels.astype(np.float32)
        return cls(device, pixels.shape, np.ascontiguousarray(pixels))

    @classmethod
    def made(cls, device: CudaDevice, on_device: Any, again: Callable[[], Array32]) -> CudaImage:
        """An image made on the device, float32; `again` makes it on the CPU."""
        return cls(device, on_device.shape, None, on_device, again)

    @property
    def pixels(self) -> Array32:
        """A copy on the host, float32 (rows, columns), read-only where it was made here."""
        if self._on_host is None:
            assert self._again is not None  # What is not on the host was made.
            self._on_host = self._device.guarded(
                lambda: self._device.to_host(self._on_device), self._again
            )
            self._on_host.setflags(write=False)
        if self._on_host.dtype != np.float32:
            self._on_host = self._on_host.astype(np.float32)
        return self._on_host

    def on_device(self) -> Any:
        """The pixels on the device, float32 (rows, columns). Call it inside `guarded`."""
        if self._on_device is None:
            assert self._on_host is not None  # One of the two is there.
            uploaded = self._device.upload(self._on_host)
            self._on_device = uploaded.astype(np.float32, copy=False)
        return self._on_device


def cropped(image: CudaImage, first_row: int, first_column: int, height: int, width: int) -> Any:
    """See Backend.crop."""
    part = image.on_device()[first_row : first_row + height, first_column : first_column + width]
    return part.copy()


def shrunk(device: CudaDevice, image: CudaImage, width: int, height: int) -> Any:
    """See Backend.shrink."""
    rows, columns = image.shape
    small = device.empty((height, width), np.float32)
    device.launch_over(
        "image_shrink",
        (height, width),
        (
            image.on_device(),
            int32(rows),
            int32(columns),
            int32(height),
            int32(width),
            small,
        ),
    )
    return small


def information(device: CudaDevice, image: CudaImage, size_px: int, grid: PixelGrid) -> Array32:
    """See Backend.information; the grid has cells."""
    rows, columns = image.shape
    cells = grid.rows * grid.columns
    result = device.empty(cells, np.float32)
    whole = (rows, columns, size_px, grid.first_row, grid.first_column, grid.stride, grid.columns)
    device.launch(
        "image_information",
        (cells,),
        (THREADS,),
        (
            image.on_device(),
            *(int32(number) for number in whole),
            np.float32(cpu_images.SHARE_KNOWN),
            np.float32(cpu_images.LEAST_INFORMATION),
            result,
        ),
    )
    return device.to_host(result)


def resemblance(device: CudaDevice, image: CudaImage, predicted: CudaImage) -> float:
    """See Backend.resemblance."""
    here, there = image.on_device(), predicted.on_device()
    means, _ = known_means(device, here, there, _box(cpu_images.box_side(image.shape)))
    sums = device.empty((RESEMBLANCE_BLOCKS, 6), np.float64)
    device.launch(
        "image_resemblance",
        (RESEMBLANCE_BLOCKS,),
        (THREADS,),
        (here, there, means, int32(image.shape[0] * image.shape[1]), sums),
    )
    count, a, b, aa, bb, ab = device.to_host(sums).sum(axis=0)
    if count < cpu_images.LEAST_KNOWN_PX:
        return 0.0
    square = max(aa - a * a / count, 0.0) * max(bb - b * b / count, 0.0)
    return float(ab - a * b / count) / max(math.sqrt(square), 1e-12)


@lru_cache(maxsize=16)
def _box(side: int) -> Array32:
    """Weights of a plain average over `side` pixels."""
    return np.full(side, 1.0 / side, dtype=np.float32)
