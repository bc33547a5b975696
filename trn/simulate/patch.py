"""A piece of the true surface, as a grid of heights in gnomonic coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trn.moon.constants import REFERENCE_RADIUS_M
from trn.simulate.raycast import MOST_PATCHES, pyramid
from trn.simulate.window import Window

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]
Indices = NDArray[np.int64]


class Heights(Protocol):
    """Heights of a grid that are elsewhere than in the host's memory."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ...

    def on_host(self) -> Array32:
        """All of them, in the host's memory."""
        ...

    def at(self, rows: Indices, columns: Indices) -> Array32:
        """Those of some samples."""
        ...


@dataclass(frozen=True)
class Patch:
    """The true surface around a view: heights on a gnomonic grid.

    heights: shape (rows, columns), float32; `height_m` has them on the host wherever they are.
    frame: shape (3, 3), rows are the grid's two axes and up at its centre, body-fixed. Sample (row,
    column) lies in the direction up + (u0 + column * step) axis_u + (v0 + row * step) axis_v.
    Between samples the surface is bilinear; its shading normal is that of smooth (central)
    differences.
    """

    heights: Array32 | Heights
    frame: Array
    u0: float
    v0: float
    step: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.heights.shape
        return rows, columns

    @property
    def height_m(self) -> Array32:
        """Heights on the host."""
        return self.heights if isinstance(self.heights, np.ndarray) else self.heights.on_host()

    @property
    def spacing_m(self) -> float:
        """Ground distance of neighbouring samples at the centre."""
        return self.step * REFERENCE_RADIUS_M

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Outline in gnomonic coordinates: u_min, u_max, v_min, v_max."""
        rows, columns = self.shape
        u_max, v_max = self.u0 + (columns - 1) * self.step, self.v0 + (rows - 1) * self.step
        return self.u0, u_max, self.v0, v_max

    @property
    def window(self) -> Window:
        """Its samples as a window of the grid of all places."""
        first_row, first_column = round(self.v0 / self.step), round(self.u0 / self.step)
        return Window(self.frame, first_row, first_column, *self.shape, self.step)

    @cached_property
    def height_range_m(self) -> tuple[float, float]:
        """Lowest and highest height."""
        return float(self.height_m.min()), float(self.height_m.max())

    @cached_property
    def highest(self) -> tuple[Array32, Indices]:
        """The pyramid of maximum heights: see `raycast.pyramid`."""
        return pyramid(self.height_m)

    def height_at(self, positions_m: Array) -> Array:
        """Height of the surface below body-fixed points, shape (..., 3); NaN off the grid."""
        local = np.asarray(positions_m, dtype=np.float64) @ self.frame.T
        with np.errstate(divide="ignore", invalid="ignore"):
            column = (local[..., 0] / local[..., 2] - self.u0) / self.step
            row = (local[..., 1] / local[..., 2] - self.v0) / self.step
        rows, columns = self.shape
        inside = (
            (local[..., 2] > 0)
            & (column >= 0)
            & (row >= 0)
            & (column <= columns - 1)
            & (row <= rows - 1)
        )
        column, row = np.where(inside, column, 0.0), np.where(inside, row, 0.0)
        c = np.minimum(column.astype(np.int64), columns - 2)
        r = np.minimum(row.astype(np.int64), rows - 2)
        fc, fr = column - c, row - r
        h00, h01, h10, h11 = self._at(
            np.stack([r, r, r + 1, r + 1]), np.stack([c, c + 1, c, c + 1])
        )
        value = (1 - fr) * ((1 - fc) * h00 + fc * h01) + fr * ((1 - fc) * h10 + fc * h11)
        return np.where(inside, value, np.nan)

    def _at(self, rows: Indices, columns: Indices) -> Array32:
        """Heights of some samples."""
        if isinstance(self.heights, np.ndarray):
            return self.heights[rows, columns]
        return self.heights.at(rows, columns)


def packed(patches: Sequence[Patch]) -> tuple[Any, Any, Any, Array]:
    """Arguments of `raycast.cast`: heights, pyramids, their shapes, and the table of patches.

    Row k of the table: u_min, u_max, v_min, v_max, step, lowest and highest ground of patch k.
    """
    heights, pyramids, shapes, table = [], [], [], []
    for patch in patches:
        levels, level_shapes = patch.highest
        heights.append(patch.height_m)
        pyramids.append(levels)
        shapes.append(level_shapes)
        table.append([*patch.box, patch.step, *patch.height_range_m])
    # One length for all surfaces, so that the kernels are compiled once.
    spare = MOST_PATCHES - len(patches)
    heights += heights[:1] * spare
    pyramids += pyramids[:1] * spare
    shapes += shapes[:1] * spare
    return tuple(heights), tuple(pyramids), tuple(shapes), np.array(table)
