"""The ground of patches on a GPU: the same heights as on the CPU, but for rounding."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_kernels import THREADS, blocks, numbers
from trn.simulate.crater_field import CraterOctave, bands_over
from trn.simulate.craters import WORN_SHAPES
from trn.simulate.ground_cuda import CudaGrounds, CudaHeights
from trn.simulate.height_grid import HeightGrid
from trn.simulate.patch import Heights, Patch
from trn.simulate.roughness import STRIDE, Roughness
from trn.simulate.terrain import CpuRelief, Octaves, Relief
from trn.simulate.window import Window

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

TILE, LISTED, CRATER_BYTES, CELL_BYTES = 16, 48, 88, 20
"""As in dig.cu: side of the tiles of samples, craters that a tile's list holds, sizes."""


class CudaRelief:
    """Relief on a GPU, and on the CPU the patches that the GPU fails: a `terrain.Relief`.

    Heights stay in the GPU's memory; grounds: where surfaces are made of them.
    """

    def __init__(self, device: CudaDevice) -> None:
        self.grounds = CudaGrounds(device)
        self._device = device
        self._grid: tuple[weakref.ref[HeightGrid], Any] | None = None
        self._rough: tuple[weakref.ref[Roughness], Any] | None = None

    def held(self, fill: Callable[[Relief], Any]) -> Array32 | Heights:
        """See Relief.held."""

        def on_cpu() -> Array32:
            return CpuRelief().held(fill)

        def on_device() -> Array32 | Heights:
            return CudaHeights(self._device, fill(self), on_cpu)

        def instead() -> Array32 | Heights:
            self.forget()
            return on_cpu()

        return self._device.guarded(on_device, instead)

    def forget(self) -> None:
        """Give back what it keeps of the device's memory from patch to patch."""
        self._grid = self._rough = None
        self.grounds.forget()

    def ranges_m(self, patches: Sequence[Patch], origin_m: Array, rays: Array) -> Array:
        """See Relief.ranges_m."""
        return self._device.guarded(
            lambda: self.grounds.ranges(patches, origin_m, rays),
            lambda: CpuRelief().ranges_m(patches, origin_m, rays),
        )

    def nodes(self, roughness: Roughness, window: Window) -> Any:
        """Strength, decay and highland at a window's nodes, (3, rows, columns), on the device."""
        if self._rough is None or self._rough[0]() is not roughness:
            planes = np.stack([roughness.strength, roughness.decay, roughness.highland])
            self._rough = weakref.ref(roughness), self._device.upload(planes)
        planes = self._rough[1]
        grid, (rows, columns) = roughness.grid, roughness.nodes(window)
        nodes = self._device.empty((3, rows, columns), np.float32)
        self._device.launch_over(
            "relief_nodes",
            (rows, columns),
            (
                *_place(window),
                np.int32(window.rows),
                np.int32(window.columns),
                planes,
                np.int32(planes.shape[1]),
                np.int32(planes.shape[2]),
                np.float64(grid.latitude_deg),
                np.float64(grid.longitude_deg),
                np.float64(grid.step_latitude_deg),
                np.float64(grid.step_longitude_deg),
                np.int32(grid.height_m.shape[1]),
                np.int32(STRIDE),
                np.int32(rows),
                np.int32(columns),
                nodes,
            ),
        )
        return nodes

    def interpolated(self, grid: HeightGrid, window: Window) -> Any:
        """See Relief.interpolated."""
        if self._grid is None or self._grid[0]() is not grid:
            self._grid = weakref.ref(grid), self._device.upload(grid.height_m)
        height = self._device.empty((window.rows, window.columns), np.float32)
        self._over(
            height,
            "fill_map",
            *_place(window),
            self._grid[1],
            np.int32(grid.height_m.shape[0]),
            np.int32(grid.height_m.shape[1]),
            *numbers(grid.packed()),
            np.int32(grid.periodic),
        )
        return height

    def refined(self, coarse: Any, row_shift: int, column_shift: int, window: Window) -> Any:
        """See Relief.refined."""
        height = self._device.empty((window.rows, window.columns), np.float32)
        self._over(
            height,
            "refine",
            coarse,
            np.int32(coarse.shape[1]),
            np.int32(row_shift),
            np.int32(column_shift),
        )
        return height

    def roughen(self, height: Any, window: Window, octaves: Octaves) -> None:
        """See Relief.roughen."""
        strength, decay, _ = nodes = self.nodes(octaves.roughness, window)
        _, node_rows, node_columns = nodes.shape
        self._over(
            height,
            "add_octaves",
            *_place(window),
            strength,
            decay,
            np.int32(node_rows),
            np.int32(node_columns),
            np.int32(octaves.first),
            np.int32(octaves.last),
            np.float64(octaves.lattice_m),
            np.int32(octaves.regolith_octave),
            np.float64(octaves.regolith_decay),
            np.uint64(octaves.seed),
        )

    def dig(
        self, height: Any, window: Window, octaves: Sequence[CraterOctave], strength: float
    ) -> None:
        """See Relief.dig."""
        bands = bands_over(window, octaves)
        cells, most = int(bands["number"].sum()), int(bands["number"].max())
        device, (rows, columns) = self._device, height.shape
        room = np.int32(_room(float(bands["none_drawn"].min())))
        craters = device.empty(cells * int(room) * CRATER_BYTES, np.uint8)
        found = device.empty(cells * CELL_BYTES, np.uint8)
        device.launch(
            "draw_craters",
            (blocks(most, THREADS), len(bands)),
            (THREADS,),
            (
                *_place(window),
                np.int32(rows),
                np.int32(columns),
                np.float64(strength),
                device.upload(bands.view(np.uint8)),
                room,
                craters,
                found,
            ),
        )
        tiles = blocks(rows, TILE) * blocks(columns, TILE)
        listed = device.empty(tiles, np.int32)
        members = device.empty(tiles * LISTED, np.int32)
        drawn = craters, found, np.int32(cells), room
        device.launch_each(
            "list_craters",
            tiles,
            (*drawn, np.int32(columns), np.int32(tiles), listed, members),
        )
        device.launch(
            "stamp_craters",
            (tiles,),
            (TILE * TILE,),
            (
                *numbers((window.u0, window.v0, window.step)),
                *drawn,
                listed,
                members,
                device.constant(WORN_SHAPES),
                np.int32(rows),
                np.int32(columns),
                height,
            ),
        )

    def _over(self, height: Any, kernel: str, *arguments: Any) -> None:
        """Launch a kernel with a thread for each sample of height, its last argument."""
        rows, columns = height.shape
        self._device.launch_over(
            kernel,
            (rows, columns),
            (*arguments, np.int32(rows), np.int32(columns), height),
        )


def _room(none_drawn: float) -> int:
    """Craters for which a cell has room, given the chance of none: more are not to be expected."""
    mean = -math.log(none_drawn)
    return math.ceil(mean + 10.0 * math.sqrt(mean) + 10.0)


def _place(window: Window) -> tuple[np.float64, ...]:
    """A window's frame, corner and step as kernels take them."""
    return numbers((*window.frame.ravel(), window.u0, window.v0, window.step))
