"""Sampling of a raster at exact floating-point places.

Rows and columns are those of pixel centres: the first pixel's centre is (0, 0). NaN marks holes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]

GEOGRAPHIC, NORTH_POLAR, SOUTH_POLAR = 0, 1, 2

SNAP_PX = 1e-6
"""A place this near to a pixel centre is taken as the centre, so that rounding in the coordinates
neither changes a height nor drags a neighbouring hole in."""

POINTS_PER_BAND = 1 << 16


@njit(cache=True, nogil=True)
def _pixel_coordinates(
    kind: int,
    geometry: Float64,
    latitude_rad: Float64,
    longitude_rad: Float64,
    row: Float64,
    column: Float64,
) -> None:
    """Rows and columns of points; geometry as in `trn.maps.grid.Grid.geometry`."""
    left, top, pixel_x, pixel_y, radius_m, centre_rad = geometry
    turn = 2.0 * np.pi
    for i in range(latitude_rad.size):
        if kind == 0:
            away = longitude_rad[i] - centre_rad
            away -= turn * np.floor(away / turn + 0.5)
            x = np.degrees(away + centre_rad)
            y = np.degrees(latitude_rad[i])
        elif kind == 1:
            # Snyder (1987), equations 21-5 to 21-8 on the sphere, scale 1 at the pole.
            rho = 2.0 * radius_m * np.tan(0.25 * np.pi - 0.5 * latitude_rad[i])
            x = rho * np.sin(longitude_rad[i])
            y = -rho * np.cos(longitude_rad[i])
        else:
            rho = 2.0 * radius_m * np.tan(0.25 * np.pi + 0.5 * latitude_rad[i])
            x = rho * np.sin(longitude_rad[i])
            y = rho * np.cos(longitude_rad[i])
        column[i] = (x - left) / pixel_x - 0.5
        row[i] = (top - y) / pixel_y - 0.5


@njit(cache=True, nogil=True)
def _extent(row: Float64, column: Float64, limits: Float64) -> tuple[float, float, float, float]:
    """Least and greatest row and column of the points inside limits; reversed where none is."""
    row_low, row_high, column_low, column_high = limits
    first_row, last_row, first_column, last_column = np.inf, -np.inf, np.inf, -np.inf
    for i in range(row.size):
        r, c = row[i], column[i]
        if row_low <= r <= row_high and column_low <= c <= column_high:
            first_row = min(first_row, r)
            last_row = max(last_row, r)
            first_column = min(first_column, c)
            last_column = max(last_column, c)
    return first_row, last_row, first_column, last_column


@njit(cache=True, nogil=True)
def _catmull_rom(t: float) -> tuple[float, float, float, float]:
    """Weights of four neighbours at t in [0, 1) from the second (Keys 1981, a = -1/2)."""
    return (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )


@njit(cache=True, nogil=True)
def _sample(
    window: Float32,
    first_row: int,
    first_column: int,
    limits: Float64,
    row: Float64,
    column: Float64,
    cubic: bool,
    out: Float32,
) -> None:
    """Values of a window at rows and columns of its raster.

    limits: rows and columns (low, high, low, high) outside which the result is NaN. Within the
    outermost half pixel the last pixel's value holds.
    """
    rows, columns = window.shape
    row_low, row_high, column_low, column_high = limits
    for i in range(row.size):
        out[i] = np.nan
        if not (row_low <= row[i] <= row_high and column_low <= column[i] <= column_high):
            continue
        r = min(max(row[i] - first_row, 0.0), rows - 1.0)
        c = min(max(column[i] - first_column, 0.0), columns - 1.0)
        if abs(r - np.rint(r)) < SNAP_PX:
            r = np.rint(r)
        if abs(c - np.rint(c)) < SNAP_PX:
            c = np.rint(c)
        r0, c0 = int(r), int(c)
        t, s = r - r0, c - c0
        if cubic and r0 >= 1 and c0 >= 1 and r0 + 2 < rows and c0 + 2 < columns:
            a0, a1, a2, a3 = _catmull_rom(s)
            b0, b1, b2, b3 = _catmull_rom(t)
            w0, w1 = window[r0 - 1], window[r0]
            w2, w3 = window[r0 + 1], window[r0 + 2]
            value = (
                b0 * (a0 * w0[c0 - 1] + a1 * w0[c0] + a2 * w0[c0 + 1] + a3 * w0[c0 + 2])
                + b1 * (a0 * w1[c0 - 1] + a1 * w1[c0] + a2 * w1[c0 + 1] + a3 * w1[c0 + 2])
                + b2 * (a0 * w2[c0 - 1] + a1 * w2[c0] + a2 * w2[c0 + 1] + a3 * w2[c0 + 2])
                + b3 * (a0 * w3[c0 - 1] + a1 * w3[c0] + a2 * w3[c0 + 1] + a3 * w3[c0 + 2])
            )
            if not np.isnan(value):
                out[i] = value
                continue
        # A neighbour that does not weigh must not count: it may be a hole or lie outside.
        r1 = r0 + 1 if t > 0.0 else r0
        c1 = c0 + 1 if s > 0.0 else c0
        upper = (1.0 - s) * window[r0, c0] + s * window[r0, c1]
        lower = (1.0 - s) * window[r1, c0] + s * window[r1, c1]
        out[i] = (1.0 - t) * upper + t * lower


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="trn-maps")


def _in_bands(count: int, work: Callable[[int, int], Any]) -> list[Any]:
    """Call work(first, end) over bands of points, in threads where it pays."""
    if count <= POINTS_PER_BAND:
        return [work(0, count)]
    firsts = range(0, count, POINTS_PER_BAND)
    return list(_pool().map(lambda f: work(f, min(f + POINTS_PER_BAND, count)), firsts))


def pixel_coordinates(
    kind: int, geometry: Float64, latitude_rad: Float64, longitude_rad: Float64
) -> tuple[Float64, Float64]:
    """Rows and columns, shape (n,), of points of latitude and longitude (radians, shape (n,))."""
    row, column = np.empty_like(latitude_rad), np.empty_like(latitude_rad)

    def work(first: int, end: int) -> None:
        band = slice(first, end)
        _pixel_coordinates(
            kind, geometry, latitude_rad[band], longitude_rad[band], row[band], column[band]
        )

    _in_bands(latitude_rad.size, work)
    return row, column


def extent(row: Float64, column: Float64, limits: Float64) -> Float64 | None:
    """Least and greatest row and column, shape (4,), of the points inside limits, or None."""
    parts = _in_bands(
        row.size, lambda first, end: _extent(row[first:end], column[first:end], limits)
    )
    found = np.array(parts)
    low, high = found.min(axis=0), found.max(axis=0)
    if not low[0] <= high[1]:
        return None
    return np.array([low[0], high[1], low[2], high[3]])


def sample_window(
    window: Float32,
    first_row: int,
    first_column: int,
    limits: Float64,
    row: Float64,
    column: Float64,
    *,
    cubic: bool,
) -> Float32:
    """Values, shape (n,), of a window of a raster at rows and columns (shape (n,)) of the raster.

    Catmull-Rom bicubic where cubic and all 4 x 4 neighbours are there, else bilinear where the
    neighbours that weigh are there, else NaN.
    """
    out = np.empty(row.size, dtype=np.float32)

    def work(first: int, end: int) -> None:
        band = slice(first, end)
        _sample(window, first_row, first_column, limits, row[band], column[band], cubic, out[band])

    _in_bands(row.size, work)
    return out
