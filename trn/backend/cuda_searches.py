"""How searches are laid out for correlate.cu: tiles, planes, shared memory, one table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.backend.protocol import Searches

Array = NDArray[Any]

TILE = 32
"""Placements along the side of a block's tile, as in correlate.cu."""

TILE_THREADS = 128


def shared_bytes(size_px: int) -> int:
    """Dynamic shared memory of a block for templates of a size; correlate.cu says what is in it."""
    template_pitch = -(-size_px // 4) * 4
    side = TILE + size_px - 1
    floats = size_px * template_pitch + side * (side | 1) + 2 * side * (TILE + 1)
    return 4 * floats


def check_searches(
    searches: Searches, image_shape: tuple[int, ...], predicted_shape: tuple[int, ...]
) -> None:
    """Raise ValueError for a template or window that does not lie in its image.

    A device reads whatever stands beyond.
    """
    sizes: tuple[Any, ...] = searches.size_px, *image_shape, *predicted_shape
    if searches.size_px < 1 or not _inside(*_arrays(searches), *sizes):
        raise ValueError("a search reaches beyond its image")


def _arrays(searches: Searches) -> tuple[Any, ...]:
    return (
        searches.template_x,
        searches.template_y,
        searches.window_x,
        searches.window_y,
        searches.window_columns,
        searches.window_rows,
    )


@njit(cache=True, nogil=True)
def _inside(
    template_x: Array,
    template_y: Array,
    window_x: Array,
    window_y: Array,
    window_columns: Array,
    window_rows: Array,
    size: int,
    image_rows: int,
    image_columns: int,
    predicted_rows: int,
    predicted_columns: int,
) -> bool:
    """Whether every template and window lies in its image; sums are of 64 bits."""
    for n in range(template_x.size):
        if min(template_x[n], template_y[n], window_x[n], window_y[n]) < 0:
            return False
        if min(window_columns[n], window_rows[n]) < 1:
            return False
        if template_x[n] + size > predicted_columns or template_y[n] + size > predicted_rows:
            return False
        if window_x[n] + np.int64(window_columns[n]) + size - 1 > image_columns:
            return False
        if window_y[n] + np.int64(window_rows[n]) + size - 1 > image_rows:
            return False
    return True


@njit(cache=True, nogil=True)
def _counted(columns: Array, rows: Array, first_score: Array, first_tile: Array) -> int:
    """Where each window's scores (N,) and tiles (N + 1,) begin; placements of all of them."""
    scores = 0
    first_tile[0] = 0
    for n in range(columns.size):
        first_score[n] = scores
        scores += int(columns[n]) * int(rows[n])
        tiles = -(-columns[n] // TILE) * -(-rows[n] // TILE)
        first_tile[n + 1] = first_tile[n] + tiles
    return scores


class SearchTable:
    """Searches as the arrays that correlate.cu takes, in one buffer: one upload.

    blocks: thread blocks of the launch. scores: placements of all planes together.
    """

    def __init__(self, searches: Searches) -> None:
        self._count = count = len(searches)
        self.buffer = np.zeros(10 * count + 1, dtype=np.int32)
        first_score, first_tile = self.buffer[: 2 * count].view(np.int64), self.buffer[8 * count :]
        for k, numbers in enumerate(_arrays(searches)):
            self.buffer[(2 + k) * count : (3 + k) * count] = numbers
        self.scores = int(
            _counted(searches.window_columns, searches.window_rows, first_score, first_tile)
        )
        self.blocks = int(first_tile[count])

    def arguments(self, buffer: Any) -> tuple[tuple[Any, ...], Any, Any]:
        """Parts of the buffer on the device: template_x to first_tile, first_score, finished."""
        count = self._count
        parts = []
        at = 2 * count
        for size in (*(count,) * 6, count + 1, count):
            parts.append(buffer[at : at + size])
            at += size
        return tuple(parts[:-1]), buffer[: 2 * count].view(np.int64), parts[-1].view(np.uint32)
