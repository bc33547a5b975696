"""Terrain cut on the device: a map's raster sampled at a grid's nodes, and the pyramid of them."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_kernels import blocks, numbers
from trn.backend.cuda_surfaces import CudaSurface, Residents, SurfaceArrays, loaded_surface
from trn.backend.protocol import TerrainCut
from trn.backend.terrain_cut import GnomonicGrid, RasterPart, RasterWindow

SIDE, LEVELS_ABOVE = 32, 5
"""As in maxima.cu: cells of a block along each axis, and levels that it makes above theirs."""


class WindowOnDevice:
    """Device memory for the pixels of one window of a map, while they are resident."""

    def __init__(self) -> None:
        self._values: Any = None

    @property
    def resident_bytes(self) -> int:
        """Device memory that it takes."""
        return 0 if self._values is None else int(self._values.nbytes)

    def release(self) -> None:
        """Give its device memory back; the pixels are uploaded anew when they are next needed."""
        self._values = None

    def values(self, device: CudaDevice, window: RasterWindow) -> Any:
        """The pixels of its window, on the device from now on."""
        if self._values is None:
            self._values = device.upload(window.values)
        return self._values


class TerrainCutter:
    """Cuts terrain on a device. A window of a map stays there as long as the host keeps it."""

    def __init__(self, device: CudaDevice) -> None:
        self._device = device
        self._windows: WeakKeyDictionary[RasterWindow, WindowOnDevice] = WeakKeyDictionary()

    def surface(self, cut: TerrainCut, residents: Residents) -> CudaSurface:
        """The surface of a cut; from the host where some node has no height, or no one window does.

        residents: where the windows used are counted.
        """
        part = cut.raster()
        if part is None:
            return loaded_surface(cut.on_host())
        arrays = self.sampled(cut.grid, part, residents)
        # One missing height is missing at the top of the pyramid as well.
        if np.isnan(self._device.to_host(arrays[2][-1:])).any():
            return loaded_surface(cut.on_host())

        def again(_: Any) -> SurfaceArrays:
            part = cut.raster()
            assert part is not None, "the same nodes lie in one window whenever it is read"
            return self.sampled(cut.grid, part, residents)

        grid = cut.grid
        corner = grid.first_x * grid.step, grid.first_y * grid.step
        place = np.array([*corner, grid.step, grid.radius_m])
        return CudaSurface(place, again, cut.on_host, arrays)

    def sampled(self, grid: GnomonicGrid, part: RasterPart, residents: Residents) -> SurfaceArrays:
        """Nodes with the heights of a part of a raster, NaN and a hole where it has none.

        residents: where the part's window is counted.
        """
        window = self._windows.setdefault(part.window, WindowOnDevice())
        values = window.values(self._device, part.window)
        residents.touch(window)
        heights = self._device.empty((grid.rows, grid.columns), np.float32)
        hole = self._device.empty((grid.rows, grid.columns), np.uint8)
        self._device.launch_over(
            "cut_heights",
            (grid.rows, grid.columns),
            (
                *numbers(grid.axes),
                np.int32(grid.first_x),
                np.int32(grid.first_y),
                np.float64(grid.step),
                np.int32(grid.rows),
                np.int32(grid.columns),
                np.int32(part.projection),
                *numbers(part.geometry),
                values,
                *(np.int32(size) for size in values.shape),
                np.int32(part.window.first_row),
                np.int32(part.first_column),
                *numbers(part.limits),
                heights,
                hole,
            ),
        )
        return heights, hole, *self.pyramid(heights)

    def pyramid(self, heights: Any) -> tuple[Any, Any]:
        """Maxima and shapes of the max-height pyramid over nodes on the device."""
        rows, columns = heights.shape
        shapes = pyramid_shapes(rows, columns)
        levels = np.int32(len(shapes))
        on_device = self._device.upload(shapes)
        maxima = self._device.empty((int(shapes[-1, 0]) + 1,), np.float32)

        def launch(name: str, level: int, *source: Any) -> None:
            grid = blocks(int(shapes[level, 2]), SIDE), blocks(int(shapes[level, 1]), SIDE)
            self._device.launch(name, grid, (SIDE, SIDE), (*source, levels, maxima))

        launch("maxima_of_nodes", 0, heights, np.int32(rows), np.int32(columns), on_device)
        for level in range(LEVELS_ABOVE, len(shapes) - 1, LEVELS_ABOVE):
            first, end = (int(offset) for offset in shapes[level : level + 2, 0])
            launch("maxima_of_level", level, maxima[first:end], on_device, np.int32(level))
        return maxima, on_device


def pyramid_shapes(rows: int, columns: int) -> NDArray[np.int64]:
    """Offset, rows and columns of each level of the pyramid over so many nodes, (levels, 3).

    As cpu_raycast.pack_pyramid lays out trn.maps.tile.max_pyramid.
    """
    levels = [(0, rows - 1, columns - 1)]
    while max(levels[-1][1:]) > 1:
        offset, down, across = levels[-1]
        levels.append((offset + down * across, (down + 1) // 2, (across + 1) // 2))
    return np.array(levels, dtype=np.int64)
