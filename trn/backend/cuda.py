"""The CUDA backend: the kernels of kernels/cuda/ through CuPy.

Each operation uploads what it has not yet on the device, launches one kernel and brings its results
back in one copy. What a call needs on the host stays there, so that a call that the device fails is
done on the CPU instead: no frame is lost.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from trn.backend import cpu_correlate, cpu_crater, cpu_raycast, cuda_craters
from trn.backend.cpu import CpuBackend
from trn.backend.cpu_warp import check_warp
from trn.backend.cuda_craters import CraterScales
from trn.backend.cuda_kernels import allow_shared, blocks, load_kernel
from trn.backend.cuda_launches import LaunchTimes
from trn.backend.cuda_searches import TILE_THREADS, SearchTable, check_searches, shared_bytes
from trn.backend.cuda_surfaces import CudaSurface, Residents
from trn.backend.protocol import CraterPeaks, Hits, Peaks, Searches, Surface
from trn.camera import Camera

logger = logging.getLogger(__name__)

THREADS = 128
SQUARE = (32, 4)
"""Threads of a block over a grid of nodes or pixels."""

OUT_OF_MEMORY = 2
"""cudaErrorMemoryAllocation and CUDA_ERROR_OUT_OF_MEMORY, which a launch can raise as well."""

RESIDENT_SHARE = 0.25
"""Share of the device's memory that surfaces may take."""

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class _DeviceHits(Hits):
    """Hits that are still on the device as well: column, row and state."""

    on_device: tuple[Any, Any, Any]


class _Image:
    """An image on the host, and on the device from its first use."""

    def __init__(self, pixels: NDArray[np.float32]) -> None:
        self.pixels = pixels
        self._on_device: Any = None

    def on_device(self, cupy: Any) -> Any:
        if self._on_device is None:
            self._on_device = cupy.asarray(self.pixels)
        return self._on_device


class CudaBackend:
    """Runs every operation on one GPU, and on the CPU what the GPU fails.

    cupy: the CuPy module. strict: raise what the device raises, to find out whether it works.
    fallbacks: calls done on the CPU because the device ran out of memory or was lost; after a loss,
    which a process cannot mend, that is all of them.
    """

    name = "cuda"

    def __init__(self, cupy: Any, *, strict: bool = False) -> None:
        self._cupy = cupy
        self._strict = strict
        self._cpu = CpuBackend()
        self._device = int(cupy.cuda.runtime.getDevice())
        attributes = cupy.cuda.Device(self._device).attributes
        self._most_shared = int(attributes["MaxSharedMemoryPerBlockOptin"])
        total_bytes = int(cupy.cuda.runtime.memGetInfo()[1])
        self._residents = Residents(int(RESIDENT_SHARE * total_bytes))
        self._failures: tuple[type[Exception], ...] = (
            cupy.cuda.memory.OutOfMemoryError,
            cupy.cuda.runtime.CUDARuntimeError,
            cupy.cuda.driver.CUDADriverError,
            cupy.cuda.compiler.CompileException,
        )
        self._lost = ""
        self._times: LaunchTimes | None = None
        self.fallbacks = 0

    @contextmanager
    def timed_launches(self) -> Iterator[LaunchTimes]:
        """Time the kernels by themselves, without copies to and fro, while the block runs."""
        self._times = LaunchTimes(self._cupy)
        try:
            yield self._times
        finally:
            self._times = None

    def load_surface(self, surface: Surface) -> CudaSurface:
        """See Backend.load_surface."""
        return CudaSurface(surface)

    def load_image(self, image: NDArray[np.float32]) -> _Image:
        """See Backend.load_image."""
        return _Image(np.ascontiguousarray(image, dtype=np.float32))

    def ray_cast(
        self, surface: CudaSurface, origin_m: NDArray[np.float64], rays: NDArray[np.float64]
    ) -> Hits:
        """See Backend.ray_cast."""
        if rays.shape[0] == 0:
            return self._cpu.ray_cast(self._on_cpu(surface), origin_m, rays)
        return self._guarded(
            lambda: self._ray_cast(surface, origin_m, rays),
            lambda: self._cpu.ray_cast(self._on_cpu(surface), origin_m, rays),
        )

    def shadow(self, surface: CudaSurface, sun: NDArray[np.float64]) -> NDArray[np.float32]:
        """See Backend.shadow. The result is read-only: it stays on the device as well."""
        return self._guarded(
            lambda: self._shadow(surface, sun),
            lambda: self._cpu.shadow(self._on_cpu(surface), sun),
        )

    def shade(
        self,
        surface: CudaSurface,
        lit: NDArray[np.float32],
        hits: Hits,
        origin_m: NDArray[np.float64],
        sun: NDArray[np.float64],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See Backend.shade."""
        if hits.range_m.size == 0:
            return self._cpu.shade(self._on_cpu(surface), lit, hits, origin_m, sun)
        return self._guarded(
            lambda: self._shade(surface, lit, hits, origin_m, sun),
            lambda: self._cpu.shade(self._on_cpu(surface), lit, hits, origin_m, sun),
        )

    def correlate(self, image: _Image, predicted: _Image, searches: Searches) -> Peaks:
        """See Backend.correlate. Templates too large for a block's shared memory go to the CPU."""
        check_searches(searches, image.pixels.shape, predicted.pixels.shape)

        def on_cpu() -> Peaks:
            return self._cpu.correlate(image.pixels, predicted.pixels, searches)

        if len(searches) == 0:
            return on_cpu()
        if shared_bytes(searches.size_px) > self._most_shared:
            logger.info("templates of %d pixels are searched on the CPU", searches.size_px)
            return on_cpu()
        return self._guarded(lambda: self._correlate(image, predicted, searches), on_cpu)

    def crater_response(
        self, image: _Image, radii_px: NDArray[np.float64], sun_px: float | None, least: float
    ) -> CraterPeaks:
        """See Backend.crater_response. A frame that is not all finite goes to the CPU."""

        def on_cpu() -> CraterPeaks:
            return self._cpu.crater_response(image.pixels, radii_px, sun_px, least)

        scales = CraterScales((image.pixels.shape[0], image.pixels.shape[1]), radii_px)
        mean, floor = cpu_crater.brightness(image.pixels)
        if len(scales) == 0 or not math.isfinite(mean):
            return on_cpu()
        return self._guarded(
            lambda: self._crater_response(image, scales, mean, floor, sun_px, least), on_cpu
        )

    def warp(self, image: _Image, camera: Camera, target: Camera) -> NDArray[np.float32]:
        """See Backend.warp."""
        check_warp(image.pixels.shape, camera, target)
        return self._guarded(
            lambda: self._warp(image, camera, target),
            lambda: self._cpu.warp(image.pixels, camera, target),
        )

    def _guarded(self, on_device: Callable[[], Result], on_cpu: Callable[[], Result]) -> Result:
        """The result from the device or, where the device fails the call, from the CPU."""
        if not self._lost:
            try:
                with self._cupy.cuda.Device(self._device):
                    return on_device()
            except self._failures as error:
                if self._strict:
                    raise
                self._note(error)
        self.fallbacks += 1
        return on_cpu()

    def _note(self, error: Exception) -> None:
        """Log a failure of the device, and make room or give the device up."""
        if isinstance(error, MemoryError) or getattr(error, "status", None) == OUT_OF_MEMORY:
            # What other frames left there may be what was missing.
            self._residents.release_all()
            self._cupy.get_default_memory_pool().free_all_blocks()
            logger.warning("the GPU is out of memory, this call runs on the CPU: %s", error)
        else:
            self._lost = str(error)
            logger.warning("the GPU is lost, the CPU carries on: %s", error)

    def _on_cpu(self, surface: CudaSurface) -> Any:
        if surface.on_cpu is None:
            surface.on_cpu = self._cpu.load_surface(surface.surface)
        return surface.on_cpu

    def _launch(
        self,
        name: str,
        grid: tuple[int, ...],
        threads: tuple[int, ...],
        arguments: tuple[Any, ...],
        dynamic_bytes: int = 0,
    ) -> None:
        kernel = load_kernel(self._cupy, name, self._device)
        allow_shared(kernel, dynamic_bytes)
        with self._times.around(name) if self._times else nullcontext():
            kernel(grid, threads, arguments, shared_mem=dynamic_bytes)

    def _ray_cast(
        self, surface: CudaSurface, origin_m: NDArray[np.float64], rays: NDArray[np.float64]
    ) -> Hits:
        count = rays.shape[0]
        heights, hole, maxima, shapes = surface.arrays(self._cupy)
        self._residents.touch(surface)
        origins = self._cupy.asarray(np.array(origin_m, dtype=np.float64, ndmin=2))
        # All results in one buffer: one copy back.
        results = self._cupy.empty(25 * count, dtype=np.uint8)
        range_m, column, row = results[: 24 * count].view(np.float64).reshape(3, count)
        state = results[24 * count :]
        self._launch(
            "ray_cast",
            (blocks(count, THREADS),),
            (THREADS,),
            (
                origins,
                np.int32(len(origins)),
                self._cupy.asarray(np.ascontiguousarray(rays, dtype=np.float64)),
                np.int32(count),
                heights,
                hole,
                np.int32(heights.shape[0]),
                np.int32(heights.shape[1]),
                *_pyramid(maxima, shapes),
                *_grid(surface),
                range_m,
                column,
                row,
                state,
            ),
        )
        back = self._cupy.asnumpy(results)
        numbers = back[: 24 * count].view(np.float64).reshape(3, count)
        return _DeviceHits(
            numbers[0],
            numbers[1],
            numbers[2],
            back[24 * count :],
            on_device=(column, row, state),
        )

    def _shadow(self, surface: CudaSurface, sun: NDArray[np.float64]) -> NDArray[np.float32]:
        heights, _, maxima, shapes = surface.arrays(self._cupy)
        rows, columns = heights.shape
        on_device = self._cupy.empty((rows, columns), dtype=np.float32)
        self._launch(
            "shadow",
            (blocks(columns, SQUARE[0]), blocks(rows, SQUARE[1])),
            SQUARE,
            (
                *_vector(sun),
                heights,
                np.int32(rows),
                np.int32(columns),
                *_pyramid(maxima, shapes),
                *_grid(surface),
                on_device,
            ),
        )
        lit: NDArray[np.float32] = self._cupy.asnumpy(on_device)
        lit.setflags(write=False)
        surface.keep_lit(lit, on_device)
        self._residents.touch(surface)
        return lit

    def _shade(
        self,
        surface: CudaSurface,
        lit: NDArray[np.float32],
        hits: Hits,
        origin_m: NDArray[np.float64],
        sun: NDArray[np.float64],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        heights, _, _, _ = surface.arrays(self._cupy)
        lit_on_device = surface.lit(self._cupy, lit)
        self._residents.touch(surface)
        if isinstance(hits, _DeviceHits):
            places = hits.on_device
        else:
            places = tuple(
                self._cupy.asarray(np.ascontiguousarray(values))
                for values in (hits.column, hits.row, hits.state)
            )
        count = hits.range_m.size
        results = self._cupy.empty((2, count), dtype=np.float32)
        self._launch(
            "shade",
            (blocks(count, THREADS),),
            (THREADS,),
            (
                *_vector(origin_m),
                *_vector(sun),
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
        radiance, lit_at = self._cupy.asnumpy(results)
        return radiance, lit_at

    def _correlate(self, image: _Image, predicted: _Image, searches: Searches) -> Peaks:
        cupy = self._cupy
        table = SearchTable(searches)
        places, first_score, finished = table.arguments(cupy.asarray(table.buffer))
        found = cupy.empty((len(searches), 8), dtype=np.float64)
        self._launch(
            "correlate",
            (table.blocks,),
            (TILE_THREADS,),
            (
                image.on_device(cupy),
                np.int32(image.pixels.shape[1]),
                predicted.on_device(cupy),
                np.int32(predicted.pixels.shape[1]),
                np.int32(searches.size_px),
                np.int32(cpu_correlate.exclusion_px(searches.size_px)),
                np.int32(len(searches)),
                *places,
                first_score,
                cupy.empty(table.scores, dtype=np.float32),
                finished,
                found,
            ),
            shared_bytes(searches.size_px),
        )
        return cpu_correlate.peaks_of(cupy.asnumpy(found), searches)

    def _crater_response(
        self,
        image: _Image,
        scales: CraterScales,
        mean: float,
        floor: float,
        sun_px: float | None,
        least: float,
    ) -> CraterPeaks:
        cupy, kernel = self._cupy, cpu_crater.kernel_for(sun_px)
        response, table, room = cuda_craters.responses(
            cupy, self._launch, image.on_device(cupy), scales, mean, floor, kernel
        )
        found = cuda_craters.find_peaks(
            cupy, self._launch, response, table, room, scales, len(kernel), least
        )
        return scales.peaks_of(found, sun_px)

    def _warp(self, image: _Image, camera: Camera, target: Camera) -> NDArray[np.float32]:
        warped = self._cupy.empty((target.height, target.width), dtype=np.float32)
        lens = (camera.fx, camera.fy, camera.cx, camera.cy, *camera.distortion)
        onto = (target.fx, target.fy, target.cx, target.cy)
        self._launch(
            "warp",
            (blocks(target.width, SQUARE[0]), blocks(target.height, SQUARE[1])),
            SQUARE,
            (
                image.on_device(self._cupy),
                np.int32(camera.height),
                np.int32(camera.width),
                *(np.float64(value) for value in (*lens, camera.fold_square(), *onto)),
                np.int32(target.height),
                np.int32(target.width),
                warped,
            ),
        )
        result: NDArray[np.float32] = self._cupy.asnumpy(warped)
        return result


def _vector(values: NDArray[np.float64]) -> tuple[np.float64, ...]:
    """Three coordinates as kernels take them."""
    return tuple(np.asarray(values, dtype=np.float64))


def _pyramid(maxima: Any, shapes: Any) -> tuple[Any, Any, np.int32]:
    """The max-height pyramid as kernels take it."""
    return maxima, shapes, np.int32(shapes.shape[0])


def _grid(surface: CudaSurface) -> tuple[np.float64, ...]:
    """x0, y0, step and radius of a surface as kernels take them."""
    return tuple(cpu_raycast.grid_of(surface.surface))
