"""A piece of the true surface, as a grid of heights in gnomonic coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trn.moon.constants import REFERENCE_RADIUS_M
from trn.simulate.raycast import pyramid

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]


@dataclass(frozen=True)
class Patch:
    """The true surface around a view: heights on a gnomonic grid.

    height_m: shape (rows, columns), float32. frame: shape (3, 3), rows are the grid's two axes
    and up at its centre, body-fixed. Sample (row, column) lies in the direction
    up + (u0 + column * step) axis_u + (v0 + row * step) axis_v. Between samples the surface is
    bilinear; its shading normal is that of smooth (central) differences.
    """

    height_m: Array32
    frame: Array
    u0: float
    v0: float
    step: float

    @property
    def spacing_m(self) -> float:
        """Ground distance of neighbouring samples at the centre."""
        return self.step * REFERENCE_RADIUS_M

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Outline in gnomonic coordinates: u_min, u_max, v_min, v_max."""
        rows, columns = self.height_m.shape
        u_max, v_max = self.u0 + (columns - 1) * self.step, self.v0 + (rows - 1) * self.step
        return self.u0, u_max, self.v0, v_max

    @cached_property
    def height_range_m(self) -> tuple[float, float]:
        """Lowest and highest height."""
        return float(self.height_m.min()), float(self.height_m.max())

    @cached_property
    def highest(self) -> tuple[Array32, NDArray[np.int64]]:
        """The pyramid of maximum heights: see `raycast.pyramid`."""
        return pyramid(self.height_m)

    def height_at(self, positions_m: Array) -> Array:
        """Height of the surface below body-fixed points, shape (..., 3); NaN off the grid."""
        local = np.asarray(positions_m, dtype=np.float64) @ self.frame.T
        with np.errstate(divide="ignore", invalid="ignore"):
            column = (local[..., 0] / local[..., 2] - self.u0) / self.step
            row = (local[..., 1] / local[..., 2] - self.v0) / self.step
        rows, columns = self.height_m.shape
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
        h = self.height_m
        value = (1 - fr) * ((1 - fc) * h[r, c] + fc * h[r, c + 1]) + fr * (
            (1 - fc) * h[r + 1, c] + fc * h[r + 1, c + 1]
        )
        return np.where(inside, value, np.nan)
