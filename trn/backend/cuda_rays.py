"""Rays, shadows and light on a device: how surfaces and rays are handed to their kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_kernels import numbers, view_arguments
from trn.backend.cuda_surfaces import CudaLit, CudaSurface, Residents
from trn.backend.protocol import Hits
from trn.camera import Camera


@dataclass(frozen=True, eq=False)
class _DeviceHits(Hits):
    """Hits that are still on the device as well: column, row and state."""

    on_device: tuple[Any, ...]


class HitsOnDevice:
    """Room for the hits of `count` rays, in one buffer: one copy back."""

    def __init__(self, device: CudaDevice, count: int) -> None:
        self._device, self._count = device, count
        self._buffer = device.empty(25 * count, np.uint8)
        places = self._buffer[: 24 * count].view(np.float64).reshape(3, count)
        self.parts = (*places, self._buffer[24 * count :])

    def hits(self) -> Hits:
        """What a kernel has put there. Read-only: it stays on the device as well."""
        count = self._count
        back = self._device.to_host(self._buffer)
        back.setflags(write=False)
        range_m, column, row = back[: 24 * count].view(np.float64).reshape(3, count)
        _, *on_device = self.parts
        return _DeviceHits(range_m, column, row, back[24 * count :], on_device=tuple(on_device))


class CudaRays:
    """Casts rays on a device; call it inside `guarded`. residents: what surfaces take there."""

    def __init__(self, device: CudaDevice, residents: Residents) -> None:
        self._device = device
        self.residents = residents

    def cast(
        self, surface: CudaSurface, origin_m: NDArray[np.float64], rays: NDArray[np.float64]
    ) -> HitsOnDevice:
        """See Backend.ray_cast."""
        count = rays.shape[0]
        ground = self._ground(surface)
        origins = self._device.upload(np.array(origin_m, dtype=np.float64, ndmin=2))
        results = HitsOnDevice(self._device, count)
        self._device.launch_each(
            "ray_cast",
            count,
            (
                origins,
                np.int32(len(origins)),
                self._device.upload(np.asarray(rays, dtype=np.float64)),
                np.int32(count),
                *ground,
                *results.parts,
            ),
        )
        return results

    def cast_view(
        self,
        surface: CudaSurface,
        origin_m: NDArray[np.float64],
        camera: Camera,
        to_surface: NDArray[np.float64],
    ) -> HitsOnDevice:
        """See Backend.ray_cast_view."""
        ground = self._ground(surface)
        results = HitsOnDevice(self._device, camera.width * camera.height)
        self._device.launch_over(
            "ray_cast_view",
            (camera.height, camera.width),
            (*numbers(origin_m), *view_arguments(camera, to_surface), *ground, *results.parts),
        )
        return results

    def _ground(self, surface: CudaSurface) -> tuple[Any, ...]:
        """A surface as the ray kernels take it, on the device from now on."""
        heights, hole, maxima, shapes = surface.arrays(self._device.cupy)
        self.residents.touch(surface)
        return (
            heights,
            hole,
            np.int32(heights.shape[0]),
            np.int32(heights.shape[1]),
            *_pyramid(maxima, shapes),
            *_grid(surface),
        )

    def kept_lit(self, surface: CudaSurface, lit: CudaLit) -> Any:
        """A lit fraction on the device, and kept there from now on."""
        on_device = surface.lit(self._device.cupy, lit)
        self.residents.touch(surface)
        return on_device

    def shadow(self, surface: CudaSurface, sun: NDArray[np.float64]) -> Any:
        """A lit fraction of every node, on the device."""
        heights, _, maxima, shapes = surface.arrays(self._device.cupy)
        rows, columns = heights.shape
        on_device = self._device.cupy.empty((rows, columns), dtype=np.float32)
        self._device.launch_over(
            "shadow",
            (rows, columns),
            (
                *numbers(sun),
                heights,
                np.int32(rows),
                np.int32(columns),
                *_pyramid(maxima, shapes),
                *_grid(surface),
                on_device,
            ),
        )
        return on_device

    def shade(
        self,
        surface: CudaSurface,
        lit: Any,
        hits: Hits,
        origin_m: NDArray[np.float64],
        sun: NDArray[np.float64],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See Backend.shade."""
        if isinstance(hits, _DeviceHits):
            places = hits.on_device
        else:
            places = tuple(
                self._device.upload(values) for values in (hits.column, hits.row, hits.state)
            )
        radiance, lit_at = self._device.to_host(self.shaded(surface, lit, places, origin_m, sun))
        return radiance, lit_at

    def shaded(
        self,
        surface: CudaSurface,
        lit: Any,
        places: tuple[Any, ...],
        origin_m: NDArray[np.float64],
        sun: NDArray[np.float64],
    ) -> Any:
        """Radiance and lit fraction (2, N) at hits: column, row, state; all on the device."""
        heights, _, _, _ = surface.arrays(self._device.cupy)
        lit_on_device = surface.lit(self._device.cupy, lit)
        self.residents.touch(surface)
        count = int(places[0].size)
        results = self._device.empty((2, count), np.float32)
        self._device.launch_each(
            "shade",
            count,
            (
                *numbers(origin_m),
                *numbers(sun),
                heights,
                lit_on_device,
                np.int32(heights.shape[0]),
                np.int32(heights.shape[1]),
                *_grid(surface),
                *places,
                np.int32(count),
                results[0],
                results[1],
            ),
        )
        return results


def _pyramid(maxima: Any, shapes: Any) -> tuple[Any, Any, np.int32]:
    """The max-height pyramid as kernels take it."""
    return maxima, shapes, np.int32(shapes.shape[0])


def _grid(surface: CudaSurface) -> tuple[np.float64, ...]:
    """x0, y0, step and radius of a surface as kernels take them."""
    return numbers(surface.grid)
