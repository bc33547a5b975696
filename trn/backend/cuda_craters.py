"""How the crater response is laid out for crater.cu, launched, and its peaks read."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend import cpu_crater
from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_images import CudaImage
from trn.backend.cuda_kernels import blocks
from trn.backend.cuda_statistics import PIXEL_SUMS, SUM_BLOCKS, pixel_sums
from trn.backend.protocol import CraterPeaks

TILE_COLUMNS, TILE_ROWS = 32, 16
"""Pixels of a block's tile, as in crater.cu."""

TILE_THREADS = 128
"""Also of the block that adds up what each of SUM_BLOCKS has left."""

FIRST_PEAKS = 2048
"""Peaks that come back with their number, in one copy; a second one brings any others."""

FIRST_SUM = 2
"""Of statistics.cu's: of values, their squares' the next."""


class CraterScales:
    """The scales of one search over an image of a shape, as crater.cu takes them.

    shapes: (rows, columns) of each scale. levels: (rows, columns) of each level of the pyramid
    from level 1 on. table: int64 (scales, 7), see Scale in crater.cu. blocks: thread blocks of a
    launch. pixels: of all scales together. most_peaks: that there can be, as no two touch; most: of
    each scale, those that are kept.
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
        self.most = np.array([cpu_crater.most_peaks(*shape) for shape in self.shapes])

    def __len__(self) -> int:
        return len(self.shapes)

    def peaks_of(self, found: NDArray[np.float64], sun_px: float | None) -> CraterPeaks:
        """Peaks of crater.cu, float64 (N, 4) in any order, as places in the image in order."""
        found = found[np.argsort(found[:, 0])]
        pixel = found[:, 0].astype(np.int64)
        first_pixel, shapes = self.table[:, 6], self.table[:, 1:3]
        scale = np.searchsorted(first_pixel, pixel, side="right") - 1
        places = np.empty((len(found), 5))
        places[:, 1], places[:, 0] = np.divmod(pixel - first_pixel[scale], shapes[scale, 1])
        places[:, 2:] = found[:, 1:]
        kept = np.arange(len(found)) - np.searchsorted(pixel, first_pixel)[scale] < self.most[scale]
        return cpu_crater.placed_peaks(
            places[kept], scale[kept], self.image_shape, shapes, self.radii_px, sun_px
        )


@lru_cache(maxsize=16)
def crater_scales(shape: tuple[int, ...], radii_px: tuple[float, ...]) -> CraterScales:
    """The scales of searches over images (rows, columns), kept: they are the same every frame."""
    return CraterScales((shape[0], shape[1]), np.array(radii_px))


def peaks(
    device: CudaDevice, image: CudaImage, scales: CraterScales, sun_px: float | None, least: float
) -> CraterPeaks:
    """See Backend.crater_response; there is a scale."""
    kernel = cpu_crater.kernel_for(sun_px)
    response, table, room = responses(device, image, scales, kernel)
    found = find_peaks(device, response, table, room, scales, len(kernel), least)
    return scales.peaks_of(found, sun_px)


def responses(
    device: CudaDevice, image: CudaImage, scales: CraterScales, kernel: NDArray[np.float32]
) -> tuple[Any, Any, Any]:
    """The response of every scale on the device, the scales' table there, and room for peaks.

    The response is float32, (parts, rows, columns) of each scale one after the other. The room is
    uint8: the number of peaks in its first 8 bytes, 32 for each peak.
    """
    pixels, brightness = image.on_device(), _brightness(device, image)
    levels = device.empty(max(int(scales.level_starts[-1]), 1), np.float32)
    fine, fine_columns, is_image = pixels, scales.image_shape[1], 1
    for start, (rows, columns) in zip(scales.level_starts, scales.levels):
        coarse = levels[int(start) : int(start) + rows * columns]
        device.launch_over(
            "crater_halve",
            (rows, columns),
            (
                fine,
                np.int32(fine_columns),
                np.int32(is_image),
                brightness,
                np.int32(rows),
                np.int32(columns),
                coarse,
            ),
        )
        fine, fine_columns, is_image = coarse, columns, 0
    # Table and kernel in one buffer: one upload.
    table_bytes = scales.table.nbytes
    given = device.upload(np.frombuffer(scales.table.tobytes() + kernel.tobytes(), dtype=np.uint8))
    table = given[:table_bytes].view(np.int64)
    response = device.empty(len(kernel) * scales.pixels, np.float32)
    room = device.empty(8 + 32 * scales.most_peaks, np.uint8)
    device.launch(
        "crater_response",
        (scales.blocks,),
        (TILE_THREADS,),
        (
            pixels,
            levels,
            brightness,
            table,
            np.int32(len(scales)),
            given[table_bytes:].view(np.float32),
            np.int32(len(kernel)),
            response,
            room[:4].view(np.uint32),
        ),
    )
    return response, table, room


def _brightness(device: CudaDevice, image: CudaImage) -> Any:
    """cpu_crater.brightness on the device, the spread squared."""
    rows, columns = image.shape
    sums = device.empty(SUM_BLOCKS * PIXEL_SUMS, np.float64)
    pixel_sums(device, image, 0.0, 0.0, sums)
    brightness = device.empty(2, np.float32)
    device.launch(
        "crater_brightness",
        (1,),
        (TILE_THREADS,),
        (
            sums,
            np.int32(PIXEL_SUMS),
            np.int32(FIRST_SUM),
            image.on_device(),
            np.int32(rows * columns),
            np.float64(cpu_crater.SPREAD_FLOOR),
            np.float64(cpu_crater.ROUNDING),
            np.float64(cpu_crater.LEAST_SPREAD),
            brightness,
        ),
    )
    return brightness


def find_peaks(
    device: CudaDevice,
    response: Any,
    table: Any,
    room: Any,
    scales: CraterScales,
    parts: int,
    least: float,
) -> NDArray[np.float64]:
    """Peaks of the response, float64 (N, 4) in any order; see crater_peaks in crater.cu."""
    device.launch(
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
    head = device.to_host(room[: 8 + 32 * FIRST_PEAKS])
    count = min(int(head[:4].view(np.uint32)[0]), scales.most_peaks)
    if count > FIRST_PEAKS:
        head = device.to_host(room[: 8 + 32 * count])
    return np.asarray(head[8 : 8 + 32 * count].view(np.float64).reshape(count, 4))
