"""Which parts of a predicted view are worth looking for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.protocol import Backend, PixelGrid


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Square templates in a predicted view.

    size_px: their side, odd. grid: of their middles; cells: int (N,), those taken. information:
    (N,), smaller eigenvalue of the gradient tensor summed over the template.
    """

    size_px: int
    grid: PixelGrid
    cells: NDArray[np.int_]
    information: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.cells.size)

    def centres(self, chosen: NDArray[np.int_]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """Columns and rows of the middles of those chosen, int (M,)."""
        return self.grid.places(self.cells[chosen])


def choose_landmarks(
    backend: Backend,
    predicted: Any,
    shape: tuple[int, int],
    size_px: int,
    stride_px: int,
    most: int,
    margin_px: int = 0,
) -> Landmarks:
    """The most informative templates on a regular grid, so that they are spread over the frame.

    predicted: image handle of a shape (height, width), NaN where not predictable. size_px: odd.
    margin_px: kept free at the frame's border, so that a search window fits in whole: one cut off
    by the border can only find the landmark inwards of it. What a template tells is told under the
    light of this view (Backend.information); one without texture is left out.
    """
    grid = _grid(shape, size_px // 2 + margin_px, stride_px)
    information = backend.information(predicted, size_px, grid).astype(np.float64)
    usable = np.flatnonzero(information > 0.0)
    cells = usable[np.argsort(-information[usable], kind="stable")[:most]]
    return Landmarks(size_px, grid, cells, information[cells])


def _grid(shape: tuple[int, int], edge_px: int, stride_px: int) -> PixelGrid:
    """Pixels at a stride in the middle of an image, edge_px and more from its border."""
    firsts, counts = [], []
    for side in shape:
        room = side - 2 * edge_px
        count = max(0, -(-room // stride_px))
        counts.append(count)
        firsts.append(edge_px + (room - 1 - stride_px * (count - 1)) // 2)
    return PixelGrid(firsts[0], firsts[1], stride_px, counts[0], counts[1])
