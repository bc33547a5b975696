"""The ground of patches in a GPU's memory: heights, the pyramids over them, and rays onto it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_kernels import blocks, numbers
from trn.simulate.patch import Patch
from trn.simulate.raycast import BASE

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]
Indices = NDArray[np.int64]

SIDE, LEVELS_ABOVE = 32, 5
"""As in ground.cu: values of a level that a block takes along each axis, and levels made above."""

FEW_SAMPLES = 64
"""A rectangle of so many comes to the host by itself; for a larger one all heights do."""

PATCH = np.dtype(
    [("outline", "f8", 4), ("step", "f8")]
    + [(name, "i8") for name in ("first_height", "rows", "columns", "first_level", "levels")]
)
"""A patch as render.cu has it."""


class CudaHeights:
    """Heights of a patch on a GPU: a `patch.Heights`.

    on_device: float32 (rows, columns). again: makes them on the CPU, where the device fails to give
    them back.
    """

    def __init__(
        self, device: CudaDevice, on_device: Any, again: Callable[[], Array32] | None = None
    ) -> None:
        rows, columns = on_device.shape
        self.shape: tuple[int, int] = int(rows), int(columns)
        self.on_device = on_device
        self._device, self._again = device, again
        self._on_host: Array32 | None = None
        self._maxima: tuple[Any, Indices] | None = None

    def on_host(self) -> Array32:
        """See Heights.on_host."""
        if self._on_host is None:
            assert self._again is not None  # What is nowhere else can be made again.
            self._on_host = self._device.guarded(
                lambda: self._device.to_host(self.on_device), self._again
            )
            self._on_host.setflags(write=False)
        return self._on_host

    def at(self, rows: Indices, columns: Indices) -> Array32:
        """See Heights.at."""
        top, left = int(rows.min()), int(columns.min())
        down, across = int(rows.max()) + 1 - top, int(columns.max()) + 1 - left
        if self._on_host is not None or down * across > FEW_SAMPLES:
            return self.on_host()[rows, columns]
        part = self._device.guarded(
            lambda: self._device.to_host(self.on_device[top : top + down, left : left + across]),
            lambda: self.on_host()[top : top + down, left : left + across],
        )
        return part[rows - top, columns - left]

    def maxima(self) -> tuple[Any, Indices]:
        """The pyramid on the device, and the rows of `level_table`. Call it inside `guarded`."""
        if self._maxima is None:
            self._maxima = _pyramid(self._device, self.on_device)
        return self._maxima


@dataclass(frozen=True, eq=False)
class CudaGround:
    """A surface on the device, as render.cu takes it: patches, coarse to fine."""

    heights: Any
    maxima: Any
    levels: Any
    patches: Any
    count: int

    def arguments(self) -> tuple[Any, ...]:
        """All of them, as kernels take them."""
        return self.heights, self.maxima, self.levels, self.patches, np.int32(self.count)


class CudaGrounds:
    """Puts surfaces on a device; the last one stays there while its patches do."""

    def __init__(self, device: CudaDevice) -> None:
        self._device = device
        self._last: tuple[list[weakref.ref[Patch]], CudaGround] | None = None

    def forget(self) -> None:
        """Give the last one's device memory back."""
        self._last = None

    def of(self, patches: Sequence[Patch]) -> CudaGround:
        """The surface of patches. Call it inside `guarded`."""
        if self._last is not None:
            kept, ground = self._last
            if len(kept) == len(patches) and all(a() is b for a, b in zip(kept, patches)):
                return ground
        self._last = None
        ground = self._put(patches)
        self._last = [weakref.ref(patch) for patch in patches], ground
        return ground

    def _put(self, patches: Sequence[Patch]) -> CudaGround:
        device = self._device
        table = np.zeros(len(patches), PATCH)
        heights, maxima, levels = [], [], []
        first_height = first_block = first_level = 0
        for patch, row in zip(patches, table):
            there = patch.heights
            if not isinstance(there, CudaHeights):
                there = CudaHeights(device, device.upload(patch.height_m))
            blocks_of, level_rows = there.maxima()
            row["outline"], row["step"] = patch.box, patch.step
            row["first_height"], row["first_level"] = first_height, first_level
            row["rows"], row["columns"] = patch.shape
            row["levels"] = len(level_rows) - 1
            heights.append(there.on_device.ravel())
            maxima.append(blocks_of)
            levels.append(level_rows + np.array([first_block, 0, 0]))
            first_height += heights[-1].size
            first_block += blocks_of.size
            first_level += len(level_rows)
        return CudaGround(
            device.joined(heights),
            device.joined(maxima),
            device.upload(np.concatenate(levels)),
            device.upload(table.view(np.uint8)),
            len(patches),
        )

    def ranges(self, patches: Sequence[Patch], origin_m: Array, rays: Array) -> Array:
        """See terrain.Relief.ranges_m. Call it inside `guarded`."""
        device = self._device
        ranges = device.empty(len(rays), np.float64)
        device.launch_each(
            "render_rays",
            len(rays),
            (
                *numbers(origin_m),
                device.upload(rays),
                np.int32(len(rays)),
                *self.of(patches).arguments(),
                ranges,
            ),
        )
        return device.to_host(ranges)


def level_table(rows: int, columns: int) -> tuple[Indices, list[int]]:
    """Where the levels of the pyramid over so many samples are, and where launches put their lows.

    Rows (offset, rows, columns), as `raycast.pyramid` has them, and one more of the lowest ground
    of all, which is the last value. The second list has the places of the lows of each launch of
    ground.cu.
    """
    down, across = ((rows - 2) >> BASE) + 1, ((columns - 2) >> BASE) + 1
    table = [(0, down, across)]
    end = down * across
    while max(down, across) > 1:
        down, across = (down + 1) // 2, (across + 1) // 2
        table.append((end, down, across))
        end += down * across
    lows: list[int] = []
    for _, down, across in table[::LEVELS_ABOVE]:
        if lows and down == across == 1:
            break
        lows.append(end)
        end += blocks(down, SIDE) * blocks(across, SIDE)
    return np.array([*table, (end - 1, 1, 1)], dtype=np.int64), lows


def _pyramid(device: CudaDevice, heights: Any) -> tuple[Any, Indices]:
    """The pyramid over heights on the device, and its `level_table`."""
    rows, columns = heights.shape
    table, lows = level_table(rows, columns)
    maxima = device.empty((int(table[-1, 0]) + 1,), np.float32)
    for launch, low in enumerate(lows):
        offset, down, across = (int(number) for number in table[launch * LEVELS_ABOVE])
        grid = blocks(across, SIDE), blocks(down, SIDE)
        if launch == 0:
            device.launch(
                "ground_maxima", grid, (SIDE, SIDE),
                (heights, np.int32(rows), np.int32(columns), np.int64(low), maxima),
            )  # fmt: skip
            continue
        device.launch(
            "ground_maxima_above", grid, (SIDE, SIDE),
            (np.int32(down), np.int32(across), np.int64(offset), np.int64(lows[launch - 1]),
             np.int64(low), maxima),
        )  # fmt: skip
    return maxima, table
