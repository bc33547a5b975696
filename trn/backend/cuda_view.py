"""A view predicted on the device, which stays there."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.cpu_view import EDGE_JUMP, CpuView, shares_of
from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_images import CudaImage
from trn.backend.cuda_kernels import THREADS, blocks
from trn.backend.protocol import PixelGrid, Shares
from trn.camera import Camera

COUNTS = 3
"""Of pixels in view.cu: of the sky, of terrain, of sunlit terrain."""


class CudaView:
    """See PredictedView. What the device fails to hand out, the CPU predicts again.

    range_m: float64 (rows * columns,), state: uint8, both of the view's rays; shaded, lit: float32,
    at their hits; all on the device. again: the CPU's view.
    """

    def __init__(
        self,
        device: CudaDevice,
        camera: Camera,
        range_m: Any,
        state: Any,
        shaded: Any,
        lit: Any,
        again: Callable[[], CpuView],
    ) -> None:
        self._device = device
        self._shape = rows, columns = camera.height, camera.width
        self._range_m = range_m.reshape(self._shape)
        self._again = again
        sure = device.empty(self._shape, np.float32)
        self._counts = device.empty((blocks(rows * columns, THREADS), COUNTS), np.int32)
        jump = np.float32(EDGE_JUMP / min(camera.fx, camera.fy))
        size = np.int32(rows), np.int32(columns)
        device.launch_each(
            "view_sure",
            rows * columns,
            (range_m, state, shaded, lit, *size, jump, sure, self._counts),
        )
        self.sure = CudaImage.made(device, sure, lambda: self._on_cpu.sure)
        self.shaded = CudaImage.made(
            device, shaded.reshape(self._shape), lambda: self._on_cpu.shaded
        )

    @cached_property
    def _on_cpu(self) -> CpuView:
        return self._again()

    @cached_property
    def shares(self) -> Shares:
        """See PredictedView.shares."""

        def counted() -> Shares:
            sky, hits, lit = self._device.to_host(self._counts).sum(axis=0)
            return shares_of(self._shape[0] * self._shape[1], int(sky), int(hits), int(lit))

        return self._device.guarded(counted, lambda: self._on_cpu.shares)

    def ranges_m(self, grid: PixelGrid) -> NDArray[np.float64]:
        """See PredictedView.ranges_m."""
        return self._device.guarded(
            lambda: self._device.to_host(self._range_m[grid.slices]).ravel(),
            lambda: self._on_cpu.ranges_m(grid),
        )


class HostView:
    """See PredictedView: the CPU's, where the device has failed to predict one."""

    def __init__(self, device: CudaDevice, view: CpuView) -> None:
        self.sure = CudaImage.of_host(device, view.sure)
        self.shaded = CudaImage.of_host(device, view.shaded)
        self.shares = view.shares
        self.ranges_m = view.ranges_m
