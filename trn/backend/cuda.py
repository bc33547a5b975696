"""The CUDA backend: the kernels of kernels/cuda/ through CuPy.

Each operation uploads what it has not yet on the device, launches one kernel and brings its results
back in one copy. What a call needs on the host stays there, so that a call that the device fails is
done on the CPU instead: no frame is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend import (
    cpu_correlate,
    cuda_align,
    cuda_contrast,
    cuda_craters,
    cuda_images,
    cuda_statistics,
)
from trn.backend.cpu import CpuBackend
from trn.backend.cpu_view import CpuView
from trn.backend.cpu_warp import check_warp
from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_images import CudaImage
from trn.backend.cuda_kernels import numbers
from trn.backend.cuda_rays import CudaRays
from trn.backend.cuda_searches import TILE_THREADS, SearchTable, check_searches, shared_bytes
from trn.backend.cuda_surfaces import CudaLit, CudaSurface, Residents, loaded_surface
from trn.backend.cuda_terrain import TerrainCutter
from trn.backend.cuda_view import CudaView, HostView
from trn.backend.protocol import (
    Alignment,
    CraterPeaks,
    FrameStatistics,
    Hits,
    Peaks,
    PixelGrid,
    Searches,
    Surface,
    TerrainCut,
)
from trn.camera import Camera

logger = logging.getLogger(__name__)

RESIDENT_SHARE = 0.25
"""Share of the device's memory that surfaces, and windows of the map, may take."""


class CudaBackend:
    """Runs every operation on one GPU, and on the CPU what the GPU fails.

    cupy: the CuPy module. strict: raise what the device raises, to find out whether it works.
    device: where the kernels run, for what else runs there.
    """

    name = "cuda"

    def __init__(self, cupy: Any, *, strict: bool = False) -> None:
        self._cpu = CpuBackend()
        self.device = CudaDevice(
            cupy, strict=strict, make_room=lambda: self._rays.residents.release_all()
        )
        residents = Residents(int(RESIDENT_SHARE * self.device.total_bytes))
        self._rays = CudaRays(self.device, residents)
        self._cutter = TerrainCutter(self.device)

    @property
    def fallbacks(self) -> int:
        """Calls done on the CPU because the device ran out of memory or was lost."""
        return self.device.fallbacks

    def load_surface(self, surface: Surface) -> CudaSurface:
        """See Backend.load_surface."""
        return loaded_surface(surface)

    def cut_surface(self, cut: TerrainCut) -> CudaSurface:
        """See Backend.cut_surface. It stays on the device, unless the map has holes there."""
        return self.device.guarded(
            lambda: self._cutter.surface(cut, self._rays.residents),
            lambda: loaded_surface(cut.on_host()),
        )

    def load_image(self, image: NDArray[Any]) -> CudaImage:
        """See Backend.load_image. 8 and 16 bits go to the device as they are."""
        return CudaImage.of_host(self.device, image)

    def pixels(self, image: CudaImage) -> NDArray[np.float32]:
        """See Backend.pixels."""
        return image.pixels

    def crop(
        self, image: CudaImage, first_row: int, first_column: int, height: int, width: int
    ) -> CudaImage:
        """See Backend.crop."""
        if image.shape == (height, width):
            return image
        place = first_row, first_column, height, width
        return self._made(
            lambda: cuda_images.cropped(image, *place),
            lambda: self._cpu.crop(image.pixels, *place),
        )

    def statistics(self, image: CudaImage, black: float, saturated: float) -> FrameStatistics:
        """See Backend.statistics."""
        return self.device.guarded(
            lambda: cuda_statistics.statistics(self.device, image, black, saturated),
            lambda: self._cpu.statistics(image.pixels, black, saturated),
        )

    def shrink(self, image: CudaImage, width: int, height: int) -> CudaImage:
        """See Backend.shrink."""
        if image.shape == (height, width):
            return image
        return self._made(
            lambda: cuda_images.shrunk(self.device, image, width, height),
            lambda: self._cpu.shrink(image.pixels, width, height),
        )

    def negative(self, image: CudaImage) -> CudaImage:
        """See Backend.negative."""
        return self._made(
            lambda: self.device.cupy.negative(image.on_device()),
            lambda: self._cpu.negative(image.pixels),
        )

    def ray_cast(
        self, surface: CudaSurface, origin_m: NDArray[np.float64], rays: NDArray[np.float64]
    ) -> Hits:
        """See Backend.ray_cast."""
        if rays.shape[0] == 0:
            return self._cpu.ray_cast(self._on_cpu(surface), origin_m, rays)
        return self.device.guarded(
            lambda: self._rays.cast(surface, origin_m, rays).hits(),
            lambda: self._cpu.ray_cast(self._on_cpu(surface), origin_m, rays),
        )

    def ray_cast_view(
        self,
        surface: CudaSurface,
        origin_m: NDArray[np.float64],
        camera: Camera,
        to_surface: NDArray[np.float64],
    ) -> Hits:
        """See Backend.ray_cast_view. Rays are made on the device: nothing is uploaded for them."""
        return self.device.guarded(
            lambda: self._rays.cast_view(surface, origin_m, camera, to_surface).hits(),
            lambda: self._cpu.ray_cast_view(self._on_cpu(surface), origin_m, camera, to_surface),
        )

    def shadow(self, surface: CudaSurface, sun: NDArray[np.float64]) -> Any:
        """See Backend.shadow. Read-only; it stays on the device until NumPy asks for it."""
        towards_sun = np.array(sun, dtype=np.float64)

        def on_cpu() -> NDArray[np.float32]:
            on_host = self._cpu.shadow(self._on_cpu(surface), towards_sun)
            on_host.setflags(write=False)
            return on_host

        def to_host(lit: CudaLit) -> NDArray[np.float32]:
            return self.device.guarded(
                lambda: self.device.to_host(self._rays.kept_lit(surface, lit)), on_cpu
            )

        def on_device() -> CudaLit:
            lit = CudaLit(lambda: self._rays.shadow(surface, towards_sun), to_host)
            self._rays.kept_lit(surface, lit)
            return lit

        return self.device.guarded(on_device, on_cpu)

    def shade(
        self,
        surface: CudaSurface,
        lit: Any,
        hits: Hits,
        origin_m: NDArray[np.float64],
        sun: NDArray[np.float64],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See Backend.shade."""
        if hits.range_m.size == 0:
            return self._cpu.shade(self._on_cpu(surface), lit, hits, origin_m, sun)
        return self.device.guarded(
            lambda: self._rays.shade(surface, lit, hits, origin_m, sun),
            lambda: self._cpu.shade(self._on_cpu(surface), lit, hits, origin_m, sun),
        )

    def predict_view(
        self,
        surface: CudaSurface,
        lit: Any,
        origin_m: NDArray[np.float64],
        camera: Camera,
        to_surface: NDArray[np.float64],
        sun: NDArray[np.float64],
    ) -> CudaView | HostView:
        """See Backend.predict_view. All of it stays on the device until it is asked for."""

        def on_cpu() -> CpuView:
            ground = self._on_cpu(surface)
            return self._cpu.predict_view(ground, lit, origin_m, camera, to_surface, sun)

        def on_device() -> CudaView | HostView:
            rays = self._rays.cast_view(surface, origin_m, camera, to_surface)
            range_m, *places = rays.parts
            shaded, lit_at = self._rays.shaded(surface, lit, tuple(places), origin_m, sun)
            return CudaView(self.device, camera, range_m, places[-1], shaded, lit_at, on_cpu)

        return self.device.guarded(on_device, lambda: HostView(self.device, on_cpu()))

    def contrast(self, image: CudaImage) -> CudaImage:
        """See Backend.contrast."""
        return self._made(
            lambda: cuda_contrast.contrast(self.device, image.on_device()),
            lambda: self._cpu.contrast(image.pixels),
        )

    def information(self, image: CudaImage, size_px: int, grid: PixelGrid) -> NDArray[np.float32]:
        """See Backend.information."""
        if grid.rows * grid.columns == 0:
            return np.zeros(0, dtype=np.float32)
        return self.device.guarded(
            lambda: cuda_images.information(self.device, image, size_px, grid),
            lambda: self._cpu.information(image.pixels, size_px, grid),
        )

    def align(self, image: CudaImage, predicted: CudaImage) -> Alignment | None:
        """See Backend.align."""
        return self.device.guarded(
            lambda: cuda_align.align(self.device, image.on_device(), predicted.on_device()),
            lambda: self._cpu.align(image.pixels, predicted.pixels),
        )

    def resemblance(self, image: CudaImage, predicted: CudaImage) -> float:
        """See Backend.resemblance."""
        return self.device.guarded(
            lambda: cuda_images.resemblance(self.device, image, predicted),
            lambda: self._cpu.resemblance(image.pixels, predicted.pixels),
        )

    def correlate(self, image: CudaImage, predicted: CudaImage, searches: Searches) -> Peaks:
        """See Backend.correlate. Templates too large for a block's shared memory go to the CPU."""
        check_searches(searches, image.shape, predicted.shape)

        def on_cpu() -> Peaks:
            return self._cpu.correlate(image.pixels, predicted.pixels, searches)

        if len(searches) == 0:
            return on_cpu()
        if shared_bytes(searches.size_px) > self.device.most_shared:
            logger.info("templates of %d pixels are searched on the CPU", searches.size_px)
            return on_cpu()
        return self.device.guarded(lambda: self._correlate(image, predicted, searches), on_cpu)

    def crater_response(
        self, image: CudaImage, radii_px: NDArray[np.float64], sun_px: float | None, least: float
    ) -> CraterPeaks:
        """See Backend.crater_response."""

        def on_cpu() -> CraterPeaks:
            return self._cpu.crater_response(image.pixels, radii_px, sun_px, least)

        scales = cuda_craters.crater_scales(image.shape, tuple(radii_px.tolist()))
        if len(scales) == 0:
            return on_cpu()
        return self.device.guarded(
            lambda: cuda_craters.peaks(self.device, image, scales, sun_px, least), on_cpu
        )

    def warp(self, image: CudaImage, camera: Camera, target: Camera) -> NDArray[np.float32]:
        """See Backend.warp."""
        check_warp(image.shape, camera, target)
        return self.device.guarded(
            lambda: self._warp(image, camera, target),
            lambda: self._cpu.warp(image.pixels, camera, target),
        )

    def _made(
        self, on_device: Callable[[], Any], on_cpu: Callable[[], NDArray[np.float32]]
    ) -> CudaImage:
        """An image made on the device or, where that fails, on the CPU."""
        return self.device.guarded(
            lambda: CudaImage.made(self.device, on_device(), on_cpu),
            lambda: CudaImage.of_host(self.device, on_cpu()),
        )

    def _on_cpu(self, surface: CudaSurface) -> Any:
        if surface.on_cpu is None:
            surface.on_cpu = self._cpu.load_surface(surface.on_host())
        return surface.on_cpu

    def _correlate(self, image: CudaImage, predicted: CudaImage, searches: Searches) -> Peaks:
        cupy = self.device.cupy
        table = SearchTable(searches)
        places, first_score, finished = table.arguments(cupy.asarray(table.buffer))
        found = cupy.empty((len(searches), 8), dtype=np.float64)
        self.device.launch(
            "correlate",
            (table.blocks,),
            (TILE_THREADS,),
            (
                image.on_device(),
                np.int32(image.shape[1]),
                predicted.on_device(),
                np.int32(predicted.shape[1]),
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

    def _warp(self, image: CudaImage, camera: Camera, target: Camera) -> NDArray[np.float32]:
        warped = self.device.cupy.empty((target.height, target.width), dtype=np.float32)
        onto = (target.fx, target.fy, target.cx, target.cy)
        self.device.launch_over(
            "warp",
            (target.height, target.width),
            (
                image.on_device(),
                np.int32(camera.height),
                np.int32(camera.width),
                *numbers((*camera.numbers(), *onto)),
                np.int32(target.height),
                np.int32(target.width),
                warped,
            ),
        )
        result: NDArray[np.float32] = self.device.cupy.asnumpy(warped)
        return result
