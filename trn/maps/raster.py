"""A raster of any size, read in windows and sampled at any place, in bounded memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trn.backend.terrain_cut import RasterWindow
from trn.maps.sampling import extent, sample_window

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]

ReadWindow = Callable[[int, int, int, int], Float32]
"""Reads rows [first, end) and columns [first, end) of a raster as float32, NaN in holes."""

MARGIN_PX = 3
"""What bicubic sampling needs around the outermost points."""

ALIGNMENT_PX = 256
MAX_WINDOW_PIXELS = 32 << 20
CACHE_PIXELS = 40 << 20
SPARSE_PIXELS_PER_POINT = 64
DENSE_WINDOW_PIXELS = 1 << 20
BIN_PX = 2048


class WindowCache:
    """The windows used last, up to CACHE_PIXELS in all; one cache serves several rasters."""

    def __init__(self) -> None:
        self._windows: OrderedDict[tuple[int, tuple[int, int, int, int]], RasterWindow] = (
            OrderedDict()
        )
        self._lock = threading.Lock()

    def get(
        self, owner: int, bounds: tuple[int, int, int, int], read: Callable[[], RasterWindow]
    ) -> RasterWindow:
        """The owner's window that covers bounds, read where none does."""
        with self._lock:
            for key, window in reversed(self._windows.items()):
                if key[0] == owner and window.covers(*bounds):
                    self._windows.move_to_end(key)
                    return window
            window = read()
            self._windows[owner, bounds] = window
            while len(self._windows) > 1 and self._pixels() > CACHE_PIXELS:
                self._windows.popitem(last=False)
            return window

    def _pixels(self) -> int:
        return sum(w.values.size for w in self._windows.values())


@dataclass(frozen=True, eq=False)
class Raster:
    """Rows and columns of heights behind a function that reads them.

    periodic: the columns go around the Moon once, the first follows on the last.
    cache, key: where windows are kept, and this raster's own number there.
    """

    rows: int
    columns: int
    periodic: bool
    read: ReadWindow
    cache: WindowCache
    key: int

    def sample(self, row: Float64, column: Float64, *, cubic: bool) -> Float32:
        """Values, shape (n,), at rows and columns (shape (n,)); NaN in holes and outside."""
        limits = self._limits()
        box = extent(row, column, limits)
        if box is None:
            return np.full(row.size, np.nan, dtype=np.float32)
        bounds = self._bounds(box)
        if not _in_one_window(bounds, row.size):
            return self._sample_in_bins(row, column, limits, box, cubic=cubic)
        return self._sample_inside(row, column, limits, bounds, cubic=cubic)

    def window_within(
        self, row: Float64, column: Float64, points: int
    ) -> tuple[RasterWindow, int, Float64] | None:
        """The window from which `sample` would take points that lie within a closed line.

        row, column: shape (n,), of the line. points: how many lie within. Returns the window, its
        first column on the line's turn about the Moon, and the least and greatest row, then column,
        that it serves, shape (4,); None where the line leaves the raster, or what is within is too
        much for one window.
        """
        limits = self._limits()
        box = np.array([row.min(), row.max(), column.min(), column.max()])
        if not (limits[0] <= box[0] and box[1] <= limits[1]):
            return None
        if not (limits[2] <= box[2] and box[3] <= limits[3]):
            return None
        bounds = self._bounds(box)
        if not _in_one_window(bounds, points):
            return None
        window, first_column = self._window(bounds)
        rows, columns = window.values.shape
        # Four neighbours along each axis, but at the raster's own edges.
        if window.first_row > 0:
            limits[0] = window.first_row + 1.0
        if window.first_row + rows < self.rows:
            limits[1] = window.first_row + rows - 3.0
        if self.periodic or first_column > 0:
            limits[2] = first_column + 1.0
        if self.periodic or first_column + columns < self.columns:
            limits[3] = first_column + columns - 3.0
        return window, first_column, limits

    def _limits(self) -> Float64:
        """Least and greatest row, then column, inside the raster; shape (4,)."""
        limits = np.array([-0.5, self.rows - 0.5, -0.5, self.columns - 0.5])
        if self.periodic:
            limits[2:] = -np.inf, np.inf
        else:
            # Rounding in the coordinates must not push the very edge outside.
            limits += np.array([-1e-9, 1e-9, -1e-9, 1e-9])
        return limits

    def _sample_in_bins(
        self, row: Float64, column: Float64, limits: Float64, box: Float64, *, cubic: bool
    ) -> Float32:
        """Sample square by square, so that no window grows past memory."""
        out = np.full(row.size, np.nan, dtype=np.float32)
        inside = np.flatnonzero(
            (row >= limits[0]) & (row <= limits[1]) & (column >= limits[2]) & (column <= limits[3])
        )
        down = ((row[inside] - box[0]) // BIN_PX).astype(np.int64)
        right = ((column[inside] - box[2]) // BIN_PX).astype(np.int64)
        label = down * (int(right.max()) + 1) + right
        order = np.argsort(label, kind="stable")
        ends = np.flatnonzero(np.diff(label[order])) + 1
        for members in np.split(inside[order], ends):
            part_row, part_column = row[members], column[members]
            part_box = extent(part_row, part_column, limits)
            assert part_box is not None, "a bin holds at least one point inside the limits"
            out[members] = self._sample_inside(
                part_row, part_column, limits, self._bounds(part_box), cubic=cubic
            )
        return out

    def _sample_inside(
        self,
        row: Float64,
        column: Float64,
        limits: Float64,
        bounds: tuple[int, int, int, int],
        *,
        cubic: bool,
    ) -> Float32:
        """Sample from one window that covers bounds."""
        window, first_column = self._window(bounds)
        return sample_window(
            window.values, window.first_row, first_column, limits, row, column, cubic=cubic
        )

    def _window(self, bounds: tuple[int, int, int, int]) -> tuple[RasterWindow, int]:
        """A window that covers bounds, and its first column on their turn about the Moon."""
        turn = self.columns * (bounds[2] // self.columns) if self.periodic else 0
        turned = (bounds[0], bounds[1], bounds[2] - turn, bounds[3] - turn)
        window = self.cache.get(self.key, turned, lambda: self._read_around(turned))
        return window, window.first_column + turn

    def _bounds(self, box: Float64) -> tuple[int, int, int, int]:
        """Rows and columns [first, end) needed to sample inside a box."""
        first_row = max(int(np.floor(box[0])) - MARGIN_PX, 0)
        end_row = min(int(np.ceil(box[1])) + MARGIN_PX + 1, self.rows)
        first_column = int(np.floor(box[2])) - MARGIN_PX
        end_column = int(np.ceil(box[3])) + MARGIN_PX + 1
        if not self.periodic:
            first_column, end_column = max(first_column, 0), min(end_column, self.columns)
        return first_row, end_row, first_column, end_column

    def _read_around(self, bounds: tuple[int, int, int, int]) -> RasterWindow:
        """Read a window and some of its surroundings, for the next frame looks near this one."""
        spare_rows = (bounds[1] - bounds[0]) // 4
        spare_columns = (bounds[3] - bounds[2]) // 4
        first_row = max(_down(bounds[0] - spare_rows), 0)
        end_row = min(_up(bounds[1] + spare_rows), self.rows)
        first_column, end_column = _down(bounds[2] - spare_columns), _up(bounds[3] + spare_columns)
        if not self.periodic:
            first_column, end_column = max(first_column, 0), min(end_column, self.columns)
        if (end_row - first_row) * (end_column - first_column) > MAX_WINDOW_PIXELS:
            first_row, end_row, first_column, end_column = bounds
        parts = [
            self.read(first_row, end_row, first, end)
            for first, end in self._column_pieces(first_column, end_column)
        ]
        values = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return RasterWindow(first_row, first_column, np.ascontiguousarray(values))

    def _column_pieces(self, first: int, end: int) -> list[tuple[int, int]]:
        """Cut columns that run over the seam into pieces inside the raster."""
        pieces = []
        while first < end:
            inside = first % self.columns
            length = min(end - first, self.columns - inside)
            pieces.append((inside, inside + length))
            first += length
        return pieces


def _in_one_window(bounds: tuple[int, int, int, int], points: int) -> bool:
    """Whether so many points are dense enough in bounds for one window, and it not too large."""
    pixels = (bounds[1] - bounds[0]) * (bounds[3] - bounds[2])
    dense = pixels <= max(DENSE_WINDOW_PIXELS, SPARSE_PIXELS_PER_POINT * points)
    return dense and pixels <= MAX_WINDOW_PIXELS


def _down(value: int) -> int:
    return value // ALIGNMENT_PX * ALIGNMENT_PX


def _up(value: int) -> int:
    return -(-value // ALIGNMENT_PX) * ALIGNMENT_PX
