"""Which samples of a gnomonic grid a piece of ground has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """Samples first_row ... of a gnomonic grid of a step, counted from the frame's centre."""

    frame: Array
    first_row: int
    first_column: int
    rows: int
    columns: int
    step: float

    @property
    def u0(self) -> float:
        return self.first_column * self.step

    @property
    def v0(self) -> float:
        return self.first_row * self.step

    @property
    def box(self) -> tuple[float, float, float, float]:
        u_max = self.u0 + (self.columns - 1) * self.step
        return self.u0, u_max, self.v0, self.v0 + (self.rows - 1) * self.step

    def parent(self) -> Window:
        """The window of twice the step from which this one is refined."""
        first_row, first_column = self.first_row // 2 - 1, self.first_column // 2 - 1
        rows = (self.first_row + self.rows) // 2 + 3 - first_row
        columns = (self.first_column + self.columns) // 2 + 3 - first_column
        return Window(self.frame, first_row, first_column, rows, columns, 2.0 * self.step)
