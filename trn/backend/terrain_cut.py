"""What terrain is cut from: the nodes wanted, and the pixels of a map that give them heights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class GnomonicGrid:
    """Nodes on whole multiples of a step about one place (see trn.maps.tile for the grid).

    axes: float64 (3, 3), rows east, north, up of the place, body-fixed.
    first_x, first_y: gnomonic coordinates of node [0, 0], in steps. step: distance of two nodes.
    radius_m: of the sphere that heights stand on.
    """

    axes: NDArray[np.float64]
    first_x: int
    first_y: int
    step: float
    rows: int
    columns: int
    radius_m: float

    @property
    def x(self) -> NDArray[np.float64]:
        """Gnomonic coordinates of the columns, shape (columns,)."""
        return np.asarray(np.arange(self.first_x, self.first_x + self.columns) * self.step)

    @property
    def y(self) -> NDArray[np.float64]:
        """Gnomonic coordinates of the rows, shape (rows,)."""
        return np.asarray(np.arange(self.first_y, self.first_y + self.rows) * self.step)

    @property
    def spacing_m(self) -> float:
        """Distance of two nodes at the place itself, in metres."""
        return self.step * self.radius_m

    def to_local(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Body-fixed vectors, shape (..., 3), in the grid's axes."""
        return np.asarray(vectors @ self.axes.T)


@dataclass(frozen=True, eq=False)
class RasterWindow:
    """Pixels of a raster; columns count on past the seam of a raster that goes around.

    values: float32 (rows, columns), NaN in holes; they never change, so that a backend may keep a
    copy for as long as the window lives.
    """

    first_row: int
    first_column: int
    values: NDArray[np.float32]

    def covers(self, first_row: int, end_row: int, first_column: int, end_column: int) -> bool:
        """Whether a range of rows and columns is inside."""
        rows, columns = self.values.shape
        return (
            self.first_row <= first_row
            and self.first_column <= first_column
            and end_row <= self.first_row + rows
            and end_column <= self.first_column + columns
        )


@dataclass(frozen=True, eq=False)
class RasterPart:
    """A window of a map's raster, and where its pixels lie on the Moon.

    projection, geometry: as trn.maps.sampling has them. first_column: the window's, on the turn
    about the Moon that the geometry counts columns on.
    limits: float64 (4,), least and greatest row, then column, that the window has heights for.
    """

    projection: int
    geometry: NDArray[np.float64]
    window: RasterWindow
    first_column: int
    limits: NDArray[np.float64]
