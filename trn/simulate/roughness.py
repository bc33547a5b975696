"""How rough a map's ground is, from its own slopes: what the relief below its pixels follows.

Strength comes from the map's differential slope (Kreslavsky et al. 2013), carried to smaller scales
by a Hurst exponent of 0.75 on smooth ground to 0.95 on rough (Rosenburg et al. 2011).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.simulate.height_grid import HeightGrid
from trn.simulate.window import Window

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

STRIDE = 8
"""Pixels of the map between two of the roughness."""

MOST_NODES = 1025
"""Nodes that span a window along one axis."""

_SMOOTH_HURST, _ROUGH_HURST = 0.75, 0.95
# Differential slope at 8 pixels (about 1 km), degrees, of typical maria and highlands:
# Rosenburg et al. (2011), Fig. 4.
_SMOOTH_SLOPE_DEG, _ROUGH_SLOPE_DEG = 0.7, 5.0
_SLOPE_LAG_PX = 8
_MARE_SLOPE_DEG = 2.0


@dataclass(frozen=True, eq=False)
class Roughness:
    """On every STRIDE-th pixel of a map.

    strength: amplitude of the first octave of relief, metres. decay: factor to the next. highland:
    how much the ground is highland (1) or mare (0). Maria are dark and smooth: the share rises with
    the differential slope at about 1 km (Rosenburg et al. 2011, Fig. 4), one half at 2 degrees.
    """

    grid: HeightGrid
    strength: Array32
    decay: Array32
    highland: Array32

    def nodes(self, window: Window) -> tuple[int, int]:
        """Rows and columns of the nodes that span a window corner to corner."""
        spacing = STRIDE * math.radians(abs(self.grid.step_latitude_deg))
        rows, columns = (
            min(max(math.ceil(count * window.step / spacing), 1), MOST_NODES - 1) + 1
            for count in (window.rows, window.columns)
        )
        return rows, columns

    def at_nodes(self, window: Window, *fields: Array32) -> tuple[Array32, ...]:
        """Some of the three fields at a window's nodes."""
        rows, columns = self.nodes(window)
        v = window.v0 + window.step * np.linspace(0.0, window.rows - 1, rows)
        u = window.u0 + window.step * np.linspace(0.0, window.columns - 1, columns)
        points = window.frame[2] + u[:, None] * window.frame[0] + v[:, None, None] * window.frame[1]
        latitude = np.degrees(np.arctan2(points[..., 2], np.hypot(points[..., 0], points[..., 1])))
        longitude = np.degrees(np.arctan2(points[..., 1], points[..., 0]))
        row, column = self.grid.indices(latitude, longitude)
        return tuple(_bilinear(field, row / STRIDE, column / STRIDE) for field in fields)


def roughness_of(grid: HeightGrid, strength: float) -> Roughness:
    """What a map's own slopes say of the relief below it; strength: 1 as measured, 0 none."""
    height = grid.height_m
    rows, columns = height.shape
    latitude = np.radians(grid.latitude_deg + grid.step_latitude_deg * np.arange(rows))
    lag = min(_SLOPE_LAG_PX, (min(rows, columns) - 1) // 2)
    lag_m = lag * grid.spacing_m
    # Differential height h(x) - (h(x - L) + h(x + L)) / 2 along both axes; east-west lags are
    # stretched to the same length on the ground by the Hurst exponent.
    kernel = np.zeros(2 * lag + 1, np.float32)
    kernel[[0, lag, -1]] = -0.5, 1.0, -0.5
    one = np.ones(1, np.float32)
    border = cv2.BORDER_REFLECT_101
    along_v = cv2.sepFilter2D(height, -1, one, kernel, borderType=border) ** 2
    along_u = cv2.sepFilter2D(height, -1, kernel, one, borderType=border) ** 2
    stretch = np.maximum(
        np.cos(latitude) * grid.step_longitude_deg / abs(grid.step_latitude_deg), 0.02
    )
    along_u *= (stretch[:, None] ** (-2.0 * 0.85)).astype(np.float32)
    window = 6 * lag + 1
    power = cv2.GaussianBlur(0.5 * (along_u + along_v), (0, 0), window / 4, borderType=border)
    power = power[::STRIDE, ::STRIDE]
    slope_deg = np.degrees(np.arctan(np.sqrt(power) / lag_m))
    rough = np.log(np.maximum(slope_deg, 1e-3) / _SMOOTH_SLOPE_DEG) / math.log(
        _ROUGH_SLOPE_DEG / _SMOOTH_SLOPE_DEG
    )
    hurst = _SMOOTH_HURST + (_ROUGH_HURST - _SMOOTH_HURST) * np.clip(rough, 0.0, 1.0)
    # Mean square differential height of unit octaves a_k = l_k^H at lag 1, summed over all
    # octaves: computed for this noise, nearly linear in H.
    octave_sum = 4.95 + 7.2 * (hurst - 0.75)
    first = strength * np.sqrt(power * (grid.spacing_m / lag_m) ** (2.0 * hurst) / octave_sum)
    highland = 1.0 / (1.0 + (_MARE_SLOPE_DEG / np.maximum(slope_deg, 1e-3)) ** 3)
    return Roughness(
        grid,
        first.astype(np.float32),
        (2.0**-hurst).astype(np.float32),
        highland.astype(np.float32),
    )


def _bilinear(values: Array32, row: Array, column: Array) -> Array32:
    """Values between the nodes of a grid, those of its edge beyond it."""
    row = np.clip(row, 0.0, values.shape[0] - 1.001)
    column = np.clip(column, 0.0, values.shape[1] - 1.001)
    r, c = row.astype(np.int64), column.astype(np.int64)
    fr, fc = row - r, column - c
    near = (1.0 - fc) * values[r, c] + fc * values[r, c + 1]
    far = (1.0 - fc) * values[r + 1, c] + fc * values[r + 1, c + 1]
    return np.asarray((1.0 - fr) * near + fr * far, dtype=np.float32)
