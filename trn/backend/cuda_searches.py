"""How searches are laid out for correlate.cu: tiles, planes, shared memory, one table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.protocol import Searches

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
    size = searches.size_px
    right = searches.window_x.astype(np.int64) + searches.window_columns + size - 1
    lower = searches.window_y.astype(np.int64) + searches.window_rows + size - 1
    inside = (
        (searches.template_x >= 0)
        & (searches.template_y >= 0)
        & (searches.template_x.astype(np.int64) + size <= predicted_shape[1])
        & (searches.template_y.astype(np.int64) + size <= predicted_shape[0])
        & (searches.window_x >= 0)
        & (searches.window_y >= 0)
        & (searches.window_columns >= 1)
        & (searches.window_rows >= 1)
        & (right <= image_shape[1])
        & (lower <= image_shape[0])
    )
    if size < 1 or not inside.all():
        raise ValueError("a search reaches beyond its image")


class SearchTable:
    """Searches as the arrays that correlate.cu takes, in one buffer: one upload.

    blocks: thread blocks of the launch. scores: placements of all planes together.
    """

    def __init__(self, searches: Searches) -> None:
        self._count = count = len(searches)
        columns = searches.window_columns.astype(np.int64)
        rows = searches.window_rows.astype(np.int64)
        tiles = -(-columns // TILE) * -(-rows // TILE)
        planes = np.concatenate([[0], np.cumsum(columns * rows)])
        first_tile = np.concatenate([[0], np.cumsum(tiles)])
        self.blocks = int(first_tile[-1])
        self.scores = int(planes[-1])
        numbers = [
            searches.template_x,
            searches.template_y,
            searches.window_x,
            searches.window_y,
            searches.window_columns,
            searches.window_rows,
            first_tile,
            np.zeros(count),
        ]
        self.buffer: NDArray[np.int32] = np.concatenate(
            [planes[:-1].view(np.int32), *(n.astype(np.int32) for n in numbers)]
        )

    def arguments(self, buffer: Any) -> tuple[tuple[Any, ...], Any, Any]:
        """Parts of the buffer on the device: template_x to first_tile, first_score, finished."""
        count = self._count
        parts = []
        at = 2 * count
        for size in (*(count,) * 6, count + 1, count):
            parts.append(buffer[at : at + size])
            at += size
        return tuple(parts[:-1]), buffer[: 2 * count].view(np.int64), parts[-1].view(np.uint32)
