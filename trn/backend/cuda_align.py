"""How the alignment of a whole view is laid out for align.cu, and launched."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend import cpu_align
from trn.backend.cpu_align import BLOCK_PX, PATCH_PX
from trn.backend.cuda_average import averaged, known_planes
from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_kernels import blocks
from trn.backend.protocol import Alignment

SPECTRA_THREADS = 256
TILE = (32, 8)
"""Pixels of a block's tile in align_filtered, as in align_filtered.cu."""
SUMS, AVERAGES = 7, 2


def align(device: CudaDevice, image: Any, predicted: Any) -> Alignment | None:
    """See Backend.align. Both are on the device, float32 (rows, columns)."""
    starts = cpu_align.patch_starts(predicted.shape)
    if len(starts) < cpu_align.LEAST_PATCHES:
        return None
    planes = known_planes(device, image, predicted)
    relative = _relative(device, planes)
    spectra, patches = _spectra(device, planes[2], relative, starts)
    if patches < cpu_align.LEAST_PATCHES:
        return None
    filters = cpu_align.filters_of(spectra, patches)
    if filters is None:
        return None
    whiten, respond, band = filters
    sums = _block_sums(device, planes[2], relative, np.stack([whiten, respond]))
    grid = cpu_align.block_grid(predicted.shape)
    return cpu_align.alignment_of(sums[:SUMS], sums[SUMS:], grid, band)


def _relative(device: CudaDevice, planes: Any) -> Any:
    """Image and prediction over their local means, (2, rows, columns), from known_planes'."""
    _, rows, columns = planes.shape
    pixels, launch = rows * columns, device.launch_each
    means = device.empty((2, rows, columns), np.float32)
    relative = device.empty((2, rows, columns), np.float32)
    averages = averaged(device, planes, cpu_align.BACKGROUND_PX)
    launch("align_means", pixels, (averages, np.int32(pixels), means))
    highest = device.highest(means)
    bounds = np.float32(cpu_align.DARKEST), np.float32(cpu_align.BRIGHTEST)
    launch("align_relative", pixels, (planes, means, highest, *bounds, np.int32(pixels), relative))
    return relative


def _spectra(
    device: CudaDevice, known: Any, relative: Any, starts: NDArray[np.int32]
) -> tuple[NDArray[np.float32], int]:
    """Mean spectra of the patches that are known, (3, PATCH_PX, PATCH_PX), and their number.

    starts: (N, 2), where patches begin, an array that never changes. On the host.
    """
    _, rows, columns = relative.shape
    patches = np.int32(len(starts))
    counts = device.empty(len(starts), np.int32)
    spectra = device.empty((len(starts), 3, PATCH_PX, PATCH_PX), np.float32)
    device.launch(
        "align_spectra",
        (len(starts),),
        (SPECTRA_THREADS,),
        (
            relative,
            known,
            np.int32(rows * columns),
            np.int32(columns),
            device.constant(starts),
            np.int32(cpu_align.LEAST_KNOWN_PX),
            device.constant(cpu_align.taper()),
            device.constant(_waves()),
            counts,
            spectra,
        ),
    )
    size = 3 * PATCH_PX**2
    mean = device.empty(size + 1, np.float32)
    device.launch_each(
        "align_mean_spectra",
        size,
        (spectra, counts, patches, np.int32(cpu_align.LEAST_KNOWN_PX), mean),
    )
    back = device.to_host(mean)
    return back[:size].reshape(3, PATCH_PX, PATCH_PX), int(back[size])


def _block_sums(
    device: CudaDevice, known: Any, relative: Any, filters: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What alignment_of takes of each block of pixels, sums and then averages around it.

    (SUMS + AVERAGES, rows, columns) of blocks, on the host, in one copy.
    """
    _, rows, columns = relative.shape
    shape = rows // BLOCK_PX, columns // BLOCK_PX
    size = np.int32(rows), np.int32(columns)
    block_size = np.int32(shape[0]), np.int32(shape[1])
    usable = device.empty((rows, columns), np.float32)
    device.launch_over("align_usable", (rows, columns), (known, *size, usable))
    filtered = device.empty(relative.shape, np.float32)
    device.launch(
        "align_filtered",
        (blocks(columns, TILE[0]), blocks(rows, TILE[1]), 2),
        TILE,
        (relative, *size, device.upload(filters), filtered),
    )
    products = device.empty((2, *shape), np.float32)
    device.launch_over("align_products", shape, (filtered, usable, *size, *block_size, products))
    averages = averaged(device, products, cpu_align.RESPONSE_RADIUS_BLOCKS)
    device.launch_over(
        "align_respond",
        (rows, columns),
        (averages, *size, *block_size, np.float32(cpu_align.MOST_RESPONSE), filtered[1]),
    )
    sums = device.empty((SUMS + AVERAGES, *shape), np.float32)
    slope = device.constant(_slope())
    device.launch_over(
        "align_equations", shape, (filtered, usable, slope, *size, *block_size, sums)
    )
    averaged(device, sums[:AVERAGES], cpu_align.NOISE_RADIUS_BLOCKS, into=sums[SUMS:])
    return device.to_host(sums)


@lru_cache(maxsize=1)
def _waves() -> NDArray[np.float32]:
    """Cosines and sines of whole turns over a patch's side, (2, PATCH_PX)."""
    turn = 2.0 * np.pi * np.arange(PATCH_PX) / PATCH_PX
    return np.stack([np.cos(turn), np.sin(turn)]).astype(np.float32)


@lru_cache(maxsize=1)
def _slope() -> NDArray[np.float32]:
    """Weights of the pixels after the one that a slope is taken at."""
    return cpu_align.DERIVATIVE[4:].astype(np.float32)
