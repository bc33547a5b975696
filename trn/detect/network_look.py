"""An image as a network looks at it: at all its sizes, then at each find once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.detect.crops import Shape, cut, halved, level_shapes

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]
Run = Callable[[Array32], Array32]

SIDE_MULTIPLE = 16
"""Sides of what the network takes; images are mirrored up to it."""
CELL_CHANNELS, CELL_PX = 24, 4
"""What the network answers with: channels, and the side of the square each answer is of."""
REFINER_ANSWERS = 9
MOST_CROPS = 128
"""What the refiner takes at a time on the host, to stay in the processor's cache."""


class Look(Protocol):
    """One image, ready to be looked at."""

    @property
    def shapes(self) -> list[Shape]:
        """Rows and columns of the levels."""

    def cells(self) -> Iterator[Array32]:
        """What the network says of each level, (channels, rows, columns) of cells."""

    def answers(self, centres: Array, to_pixels: Array) -> Array32:
        """What the refiner says of each find, (N, 9); arguments as of `crops.cut`."""


@dataclass(frozen=True)
class HostLook:
    """A look from the host's memory.

    image: (H, W) of zero mean and unit variance. run: an image (1, 1, H, W) to cells; refine: crops
    (N, 1, S, S) to (N, 9, 1, 1).
    """

    image: Array32
    run: Run
    refine: Run | None

    @property
    def shapes(self) -> list[Shape]:
        return level_shapes((self.image.shape[0], self.image.shape[1]))

    @cached_property
    def levels(self) -> list[Array32]:
        """Made when they are asked for: a GPU makes its own."""
        return halved(self.image)

    def cells(self) -> Iterator[Array32]:
        for level in self.levels:
            rows, columns = level.shape
            padded = cv2.copyMakeBorder(
                level, 0, -rows % SIDE_MULTIPLE, 0, -columns % SIDE_MULTIPLE, cv2.BORDER_REFLECT
            )
            yield self.run(np.ascontiguousarray(padded[None, None]))[0]

    def answers(self, centres: Array, to_pixels: Array) -> Array32:
        assert self.refine is not None
        crops = cut(self.levels, centres, to_pixels)
        parts = [
            self.refine(crops[first : first + MOST_CROPS])[:, :, 0, 0]
            for first in range(0, len(crops), MOST_CROPS)
        ]
        # Not asked about no crops: OpenCV does not survive it.
        return np.concatenate([np.empty((0, REFINER_ANSWERS), np.float32), *parts])
