"""How the crater response is laid out for crater.cu, launched, and its peaks read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend import cpu_crater
from trn.backend.cuda_kernels import SQUARE, blocks
from trn.backend.protocol import CraterPeaks

TILE_COLUMNS, TILE_ROWS = 32, 16
"""Pixels of a block's tile, as in crater.cu."""

TILE_THREADS = 128

FIRST_PEAKS = 2048
"""Peaks that come back with their number, in one copy; a second one brings any others."""

Launch = Callable[[str, tuple[int, ...], tuple[int, ...], tuple[Any, ...]], None]


class CraterScales:
    """The scales of one search over an image of a shape, as crater.cu takes them.

    shapes: (rows, columns) of each scale. levels: (rows, columns) of each level of the pyramid
    from level 1 on. table: int64 (scales, 7), see Scale in crater.cu. blocks: thread blocks of a
    launch. pixels: of all scales together. most_peaks: that there can be, as no two touch.
    """

    def __init__(self, shape: tuple[int, int], radii_px: NDArray[np.float64]) -> None:
        scales = cpu_crater.scales_of(shape, radii_px)
        self.image_shape = shape
        self.radii_px = radii_px[: len(scales)]
        self.shapes = [(rows, columns) for _, rows, columns in scales]
        octaves = [octave for octave, _, _ in scales]
        rows, columns = shape
        self.levels = [(rows >> k, columns >> k) for k in range(1, max(octaves, default=0) + 1)]
        self.level_starts = np.concatenate([[0], np.cumsum([y * x for y, x in self.levels])])
        self.table = np.zeros((len(scales), 7), dtype=np.int64)
        tiles = pixels = most = 0
        for row, octave, (rows, columns) in zip(self.table, octaves, self.shapes):
            source = self.level_starts[octave - 1] if octave else -1
            row[:] = (tiles, rows, columns, source, shape[0] >> octave, shape[1] >> octave, pixels)
            tiles += blocks(rows, TILE_ROWS) * blocks(columns, TILE_COLUMNS)
            pixels += rows * columns
            most += -(-rows // 2) * -(-columns // 2)
        self.blocks, self.pixels, self.most_peaks = tiles, pixels, most

    def __len__(self) -> int:
        return len(self.shapes)

    def peaks_of(self, found: NDArray[np.float64], sun_px: float | None) -> CraterPeaks:
        """Peaks of crater.cu, float64 (N, 4) in any order, as places in the image in order."""
        found = found[np.argsort(found[:, 0])]
        pixel = found[:, 0].astype(np.int64)
        first = np.searchsorted(pixel, self.table[:, 6])
        peaks = []
        for k, (rows, columns) in enumerate(self.shapes):
            stop = first[k + 1] if k + 1 < len(self) else len(found)
            part = slice(first[k], min(stop, first[k] + cpu_crater.most_peaks(rows, columns)))
            y, x = np.divmod(pixel[part] - self.table[k, 6], columns)
            peaks.append(np.column_stack([x, y, found[part, 1:]]))
        return cpu_crater.peaks_of(peaks, self.image_shape, self.shapes, self.radii_px, sun_px)


def responses(
    cupy: Any,
    launch: Launch,
    image: Any,
    scales: CraterScales,
    mean: float,
    floor: float,
    kernel: NDArray[np.float32],
) -> tuple[Any, Any, Any]:
    """The response of every scale on the device, the scales' table there, and room for peaks.

    image: float32, on the device. The response is float32, (parts, rows, columns) of each scale one
    after the other. The room is uint8: the number of peaks in its first 8 bytes, 32 for each peak.
    """
    levels = cupy.empty(max(int(scales.level_starts[-1]), 1), dtype=np.float32)
    fine, fine_columns, less = image, scales.image_shape[1], mean
    for start, (rows, columns) in zip(scales.level_starts, scales.levels):
        coarse = levels[int(start) : int(start) + rows * columns]
        launch(
            "crater_halve",
            (blocks(columns, SQUARE[0]), blocks(rows, SQUARE[1])),
            SQUARE,
            (
                fine,
                np.int32(fine_columns),
                np.float32(less),
                np.int32(rows),
                np.int32(columns),
                coarse,
            ),
        )
        fine, fine_columns, less = coarse, columns, 0.0
    # Table and kernel in one buffer: one upload.
    table_bytes = scales.table.nbytes
    given = cupy.asarray(np.frombuffer(scales.table.tobytes() + kernel.tobytes(), dtype=np.uint8))
    table = given[:table_bytes].view(np.int64)
    response = cupy.empty(len(kernel) * scales.pixels, dtype=np.float32)
    room = cupy.empty(8 + 32 * scales.most_peaks, dtype=np.uint8)
    launch(
        "crater_response",
        (scales.blocks,),
        (TILE_THREADS,),
        (
            image,
            levels,
            np.float32(mean),
            np.float32(floor * floor),
            table,
            np.int32(len(scales)),
            given[table_bytes:].view(np.float32),
            np.int32(len(kernel)),
            response,
            room[:4].view(np.uint32),
        ),
    )
    return response, table, room


def find_peaks(
    cupy: Any,
    launch: Launch,
    response: Any,
    table: Any,
    room: Any,
    scales: CraterScales,
    parts: int,
    least: float,
) -> NDArray[np.float64]:
    """Peaks of the response, float64 (N, 4) in any order; see crater_peaks in crater.cu."""
    launch(
        "crater_peaks",
        (scales.blocks,),
        (TILE_THREADS,),
        (
            response,
            table,
            np.int32(len(scales)),
            np.int32(parts),
            np.float64(least),
            np.int32(scales.most_peaks),
            room[8:].view(np.float64),
            room[:4].view(np.uint32),
        ),
    )
    head = cupy.asnumpy(room[: 8 + 32 * FIRST_PEAKS])
    count = min(int(head[:4].view(np.uint32)[0]), scales.most_peaks)
    if count > FIRST_PEAKS:
        head = cupy.asnumpy(room[: 8 + 32 * count])
    return np.asarray(head[8 : 8 + 32 * count].view(np.float64).reshape(count, 4))
