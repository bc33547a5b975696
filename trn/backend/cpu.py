"""The CPU backend: OpenCV for correlation, Numba for rays, two or more threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend import (
    cpu_correlate,
    cpu_crater,
    cpu_images,
    cpu_raycast,
    cpu_statistics,
    cpu_view,
    cpu_warp,
)
from trn.backend.cpu_align import align_view
from trn.backend.cpu_contrast import local_contrast
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

WORKERS = min(os.cpu_count() or 1, 8)


@dataclass(frozen=True, eq=False)
class _LoadedSurface:
    surface: Surface
    maxima: NDArray[np.float32]
    shapes: NDArray[np.int64]
    grid: NDArray[np.float64]


class CpuBackend:
    """Runs every operation on the CPU; results do not depend on the number of threads."""

    name = "cpu"

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="trn-cpu")

    def _run_parts(self, count: int, work: Callable[[int, int], None], smallest: int) -> None:
        """Call work(start, stop) over [0, count) in parts, on all workers."""
        parts = max(1, min(4 * WORKERS, count // smallest))
        spans = [(count * k // parts, count * (k + 1) // parts) for k in range(parts)]
        list(self._pool.map(lambda span: work(*span), spans))

    def load_surface(self, surface: Surface) -> _LoadedSurface:
        """See Backend.load_surface."""
        maxima, shapes = cpu_raycast.pack_pyramid(surface.maxima)
        return _LoadedSurface(surface, maxima, shapes, cpu_raycast.grid_of(surface))

    def cut_surface(self, cut: TerrainCut) -> _LoadedSurface:
        """See Backend.cut_surface."""
        return self.load_surface(cut.on_host())

    def load_image(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """See Backend.load_image."""
        return np.ascontiguousarray(image, dtype=np.float32)

    def pixels(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Backend.pixels."""
        return image

    def crop(
        self,
        image: NDArray[np.float32],
        first_row: int,
        first_column: int,
        height: int,
        width: int,
    ) -> NDArray[np.float32]:
        """See Backend.crop."""
        return cpu_images.cropped(image, first_row, first_column, height, width)

    def statistics(
        self, image: NDArray[np.float32], black: float, saturated: float
    ) -> FrameStatistics:
        """See Backend.statistics."""
        return cpu_statistics.statistics(image, black, saturated)

    def shrink(self, image: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
        """See Backend.shrink."""
        return cpu_images.shrunk(image, width, height)

    def negative(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Backend.negative."""
        return -image

    def ray_cast(
        self, surface: _LoadedSurface, origin_m: NDArray[np.float64], rays: NDArray[np.float64]
    ) -> Hits:
        """See Backend.ray_cast."""
        return self._cast(surface, origin_m, rays)

    def ray_cast_view(
        self,
        surface: _LoadedSurface,
        origin_m: NDArray[np.float64],
        camera: Camera,
        to_surface: NDArray[np.float64],
    ) -> Hits:
        """See Backend.ray_cast_view."""
        return self._cast(surface, origin_m, cpu_raycast.pixel_rays(camera), to_surface)

    def _cast(
        self,
        surface: _LoadedSurface,
        origin_m: NDArray[np.float64],
        rays: NDArray[np.float64],
        to_surface: NDArray[np.float64] | None = None,
    ) -> Hits:
        """First hits of rays in the surface's axes, or that a rotation (3, 3) takes there."""
        count = rays.shape[0]
        rays = np.ascontiguousarray(rays, dtype=np.float64)
        turn = None if to_surface is None else np.ascontiguousarray(to_surface, dtype=np.float64)
        origins = np.array(origin_m, dtype=np.float64, ndmin=2)
        hits = Hits(
            np.empty(count), np.empty(count), np.empty(count), np.empty(count, dtype=np.uint8)
        )

        def work(start: int, stop: int) -> None:
            part = rays[start:stop]
            cpu_raycast.cast_rays(
                origins if len(origins) == 1 else origins[start:stop],
                part if turn is None else cpu_raycast.turned_rays(part, turn),
                surface.surface.heights_m,
                surface.surface.hole,
                surface.maxima,
                surface.shapes,
                surface.grid,
                hits.range_m[start:stop],
                hits.column[start:stop],
                hits.row[start:stop],
                hits.state[start:stop],
            )

        if count < 4096:
            work(0, count)
        else:
            self._run_parts(count, work, 4096)
        return hits

    def shadow(self, surface: _LoadedSurface, sun: NDArray[np.float64]) -> NDArray[np.float32]:
        """See Backend.shadow."""
        lit = np.empty(surface.surface.heights_m.shape, dtype=np.float32)
        direction = np.array(sun, dtype=np.float64)

        def work(start: int, stop: int) -> None:
            cpu_raycast.cast_shadows(
                start,
                direction,
                surface.surface.heights_m,
                surface.maxima,
                surface.shapes,
                surface.grid,
                lit[start:stop],
            )

        self._run_parts(surface.surface.heights_m.shape[0], work, 16)
        return lit

    def shade(
        self,
        surface: _LoadedSurface,
        lit: Any,
        hits: Hits,
        origin_m: NDArray[np.float64],
        sun: NDArray[np.float64],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See Backend.shade."""
        lit = np.asarray(lit)
        count = hits.range_m.size
        radiance = np.empty(count, dtype=np.float32)
        lit_at = np.empty(count, dtype=np.float32)
        origin = np.array(origin_m, dtype=np.float64)
        direction = np.array(sun, dtype=np.float64)

        def work(start: int, stop: int) -> None:
            cpu_raycast.shade_hits(
                origin,
                direction,
                surface.surface.heights_m,
                lit,
                surface.grid,
                hits.column[start:stop],
                hits.row[start:stop],
                hits.state[start:stop],
                radiance[start:stop],
                lit_at[start:stop],
            )

        self._run_parts(count, work, 4096)
        return radiance, lit_at

    def predict_view(
        self,
        surface: _LoadedSurface,
        lit: Any,
        origin_m: NDArray[np.float64],
        camera: Camera,
        to_surface: NDArray[np.float64],
        sun: NDArray[np.float64],
    ) -> cpu_view.CpuView:
        """See Backend.predict_view."""
        shape = camera.height, camera.width
        hits = self.ray_cast_view(surface, origin_m, camera, to_surface)
        shaded, lit_at = (
            each.reshape(shape) for each in self.shade(surface, lit, hits, origin_m, sun)
        )
        range_m, state = hits.range_m.reshape(shape), hits.state.reshape(shape)
        sure = cpu_view.masked(shaded, range_m, state, lit_at, min(camera.fx, camera.fy))
        return cpu_view.CpuView(sure, shaded, range_m, state, lit_at)

    def contrast(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Backend.contrast."""
        return local_contrast(image)

    def information(
        self, image: NDArray[np.float32], size_px: int, grid: PixelGrid
    ) -> NDArray[np.float32]:
        """See Backend.information."""
        return cpu_images.information(image, size_px, grid)

    def resemblance(self, image: NDArray[np.float32], predicted: NDArray[np.float32]) -> float:
        """See Backend.resemblance."""
        return cpu_images.resemblance(image, predicted)

    def align(self, image: NDArray[np.float32], predicted: NDArray[np.float32]) -> Alignment | None:
        """See Backend.align."""
        return align_view(image, predicted)

    def correlate(
        self,
        image: NDArray[np.float32],
        predicted: NDArray[np.float32],
        searches: Searches,
    ) -> Peaks:
        """See Backend.correlate."""
        count = len(searches)
        found = np.zeros((count, 8))
        exclusion = cpu_correlate.exclusion_px(searches.size_px)

        def work(start: int, stop: int) -> None:
            for k in range(start, stop):
                plane = cpu_correlate.correlation_plane(image, predicted, searches, k)
                cpu_correlate.find_peak(plane, exclusion, found[k])

        self._run_parts(count, work, 4)
        return cpu_correlate.peaks_of(found, searches)

    def crater_response(
        self,
        image: NDArray[np.float32],
        radii_px: NDArray[np.float64],
        sun_px: float | None,
        least: float,
    ) -> CraterPeaks:
        """See Backend.crater_response."""
        scales = cpu_crater.responses(image, radii_px, sun_px, self._run_parts)
        found = [np.empty((0, 5))] * len(scales)

        def work(start: int, stop: int) -> None:
            for k in range(start, stop):
                peaks = np.empty((cpu_crater.most_peaks(*scales[k].shape[1:]), 5))
                count = cpu_crater.find_peaks(
                    scales[max(k - 1, 0)],
                    scales[k],
                    scales[min(k + 1, len(scales) - 1)],
                    least,
                    peaks,
                )
                found[k] = peaks[:count]

        self._run_parts(len(scales), work, 1)
        shapes = [scale.shape[1:] for scale in scales]
        return cpu_crater.peaks_of(found, image.shape, shapes, radii_px, sun_px)

    def warp(
        self, image: NDArray[np.float32], camera: Camera, target: Camera
    ) -> NDArray[np.float32]:
        """See Backend.warp."""
        return cpu_warp.warp(image, camera, target)
