"""The ground of patches on a GPU: the same heights as on the CPU, but for rounding."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_kernels import blocks, numbers
from trn.simulate.craters import WORN_SHAPES
from trn.simulate.height_grid import HeightGrid
from trn.simulate.patch import Patch
from trn.simulate.relief import lay_out_all
from trn.simulate.terrain import CpuRelief, Octaves, Relief, Window

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

TILE = 16
"""Side of the tiles of samples, as in relief.cu, which each have a list of their craters."""

CRATER = np.dtype([("shape", "f8", 9), ("reach", "i8", 4)])
"""A crater as relief.cu has it."""


class CudaRelief:
    """Relief on a GPU, and on the CPU the patches that the GPU fails: a `terrain.Relief`."""

    def __init__(self, device: CudaDevice) -> None:
        self._device = device
        self._grid: tuple[weakref.ref[HeightGrid], Any] | None = None
        self._shapes: Any = None

    def made(self, make: Callable[[Relief], Patch]) -> Patch:
        """See Relief.made."""
        return self._device.guarded(lambda: make(self), lambda: self._made_by_cpu(make))

    def _made_by_cpu(self, make: Callable[[Relief], Patch]) -> Patch:
        self._grid = self._shapes = None
        return make(CpuRelief())

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
        node_rows, node_columns = octaves.strength.shape
        self._over(
            height,
            "add_octaves",
            *_place(window),
            self._device.upload(octaves.strength),
            self._device.upload(octaves.decay),
            np.int32(node_rows),
            np.int32(node_columns),
            np.int32(octaves.first),
            np.int32(octaves.last),
            np.float64(octaves.lattice_m),
            np.int32(octaves.regolith_octave),
            np.float64(octaves.regolith_decay),
            np.uint64(octaves.seed),
        )

    def dig(self, height: Any, window: Window, craters: Array, strength: float) -> None:
        """See Relief.dig."""
        rows, columns = height.shape
        found = np.empty(len(craters), CRATER)
        count = lay_out_all(
            window.frame, window.u0, window.v0, window.step, rows, columns, craters, strength,
            found["shape"], found["reach"],
        )  # fmt: skip
        if count == 0:
            return
        found = found[:count]
        first_member, members = tile_lists(found["reach"], rows, columns)
        if self._shapes is None:
            self._shapes = self._device.upload(WORN_SHAPES)
        self._device.launch(
            "stamp_craters",
            (len(first_member) - 1,),
            (TILE * TILE,),
            (
                *numbers((window.u0, window.v0, window.step)),
                self._device.upload(found.view(np.uint8)),
                self._device.upload(first_member),
                self._device.upload(members),
                self._shapes,
                np.int32(rows),
                np.int32(columns),
                height,
            ),
        )

    def to_host(self, height: Any) -> Array32:
        """See Relief.to_host."""
        return self._device.to_host(height)

    def _over(self, height: Any, kernel: str, *arguments: Any) -> None:
        """Launch a kernel with a thread for each sample of height, its last argument."""
        rows, columns = height.shape
        self._device.launch_over(
            kernel,
            (rows, columns),
            (*arguments, np.int32(rows), np.int32(columns), height),
        )


def tile_lists(
    reaches: NDArray[np.int64], rows: int, columns: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Which craters reach into each tile of a grid, in their order.

    reaches: (N, 4), first and last row and column. The first array has where each tile's craters
    start in the second, and their number at its end.
    """
    across, down = blocks(columns, TILE), blocks(rows, TILE)
    first_row, last_row, first_column, last_column = (reaches // TILE).T
    wide = last_column - first_column + 1
    count = (last_row - first_row + 1) * wide
    crater = np.repeat(np.arange(len(reaches)), count)
    within = np.arange(len(crater)) - np.repeat(np.cumsum(count) - count, count)
    row, column = np.divmod(within, wide[crater])
    tile = (first_row[crater] + row) * across + first_column[crater] + column
    # A stable sort: craters keep their order within a tile.
    order = np.argsort(tile, kind="stable")
    first_member = np.searchsorted(tile[order], np.arange(across * down + 1))
    return first_member.astype(np.int32), crater[order].astype(np.int32)


def _place(window: Window) -> tuple[np.float64, ...]:
    """A window's frame, corner and step as kernels take them."""
    return numbers((*window.frame.ravel(), window.u0, window.v0, window.step))
