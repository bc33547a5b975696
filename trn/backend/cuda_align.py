"""How the alignment of a whole view is laid out for align.cu, and launched."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend import cpu_align
from trn.backend.cpu_align import BLOCK_PX, PATCH_PX
from trn.backend.cuda_average import averaged
from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_kernels import SQUARE, blocks
from trn.backend.protocol import Alignment

SPECTRA_THREADS = 256
TILE = (32, 8)
"""Pixels of a block's tile in align_filtered, as in align_filtered.cu."""
SUMS = 7


def align(device: CudaDevice, image: Any, predicted: NDArray[np.float32]) -> Alignment | None:
    """See Backend.align. image: float32, on the device, of the prediction's shape."""
    starts = cpu_align.patch_starts(np.isfinite(predicted))
    if starts is None:
        return None
    planes, relative = _relative(device, image, predicted)
    spectra = _spectra(device, relative, starts)
    filters = cpu_align.filters_of(spectra, len(starts))
    if filters is None:
        return None
    whiten, respond, band = filters
    sums = _block_sums(device, planes[2], relative, np.stack([whiten, respond]))
    around = averaged(device, sums[:2], cpu_align.NOISE_RADIUS_BLOCKS)
    return cpu_align.alignment_of(device.to_host(sums), device.to_host(around), band)


def _relative(device: CudaDevice, image: Any, predicted: NDArray[np.float32]) -> tuple[Any, Any]:
    """Image, prediction and mask (3, rows, columns), and both over their local means (2, ...)."""
    pixels, launch = predicted.size, device.launch_each
    planes = device.empty((3, *predicted.shape), np.float32)
    means = device.empty((2, *predicted.shape), np.float32)
    relative = device.empty((2, *predicted.shape), np.float32)
    launch("align_known", pixels, (image, device.upload(predicted), np.int32(pixels), planes))
    averages = averaged(device, planes, cpu_align.BACKGROUND_PX)
    launch("align_means", pixels, (averages, np.int32(pixels), means))
    highest = means.reshape(2, pixels).max(axis=1)
    bounds = np.float32(cpu_align.DARKEST), np.float32(cpu_align.BRIGHTEST)
    launch("align_relative", pixels, (planes, means, highest, *bounds, np.int32(pixels), relative))
    return planes, relative


def _spectra(device: CudaDevice, relative: Any, starts: NDArray[np.intp]) -> NDArray[np.float32]:
    """Mean spectra of the patches that begin at starts, (3, PATCH_PX, PATCH_PX), on the host."""
    _, rows, columns = relative.shape
    spectra = device.empty((len(starts), 3, PATCH_PX, PATCH_PX), np.float32)
    device.launch(
        "align_spectra",
        (len(starts),),
        (SPECTRA_THREADS,),
        (
            relative,
            np.int32(rows * columns),
            np.int32(columns),
            device.upload(starts.astype(np.int32)),
            device.constant(cpu_align.taper()),
            device.constant(_waves()),
            spectra,
        ),
    )
    mean = device.empty((3, PATCH_PX, PATCH_PX), np.float32)
    device.launch_each("align_mean_spectra", mean.size, (spectra, np.int32(len(starts)), mean))
    return device.to_host(mean)


def _block_sums(device: CudaDevice, known: Any, relative: Any, filters: NDArray[np.float32]) -> Any:
    """What alignment_of takes of each block of pixels, (SUMS, rows, columns) of blocks."""
    _, rows, columns = relative.shape
    shape = rows // BLOCK_PX, columns // BLOCK_PX
    of_pixels = blocks(columns, SQUARE[0]), blocks(rows, SQUARE[1])
    of_blocks = blocks(shape[1], SQUARE[0]), blocks(shape[0], SQUARE[1])
    size = np.int32(rows), np.int32(columns)
    block_size = np.int32(shape[0]), np.int32(shape[1])
    usable = device.empty((rows, columns), np.float32)
    device.launch("align_usable", of_pixels, SQUARE, (known, *size, usable))
    filtered = device.empty(relative.shape, np.float32)
    device.launch(
        "align_filtered",
        (blocks(columns, TILE[0]), blocks(rows, TILE[1]), 2),
        TILE,
        (relative, *size, device.upload(filters), filtered),
    )
    products = device.empty((2, *shape), np.float32)
    device.launch(
        "align_products", of_blocks, SQUARE, (filtered, usable, *size, *block_size, products)
    )
    averages = averaged(device, products, cpu_align.RESPONSE_RADIUS_BLOCKS)
    device.launch(
        "align_respond",
        of_pixels,
        SQUARE,
        (averages, *size, *block_size, np.float32(cpu_align.MOST_RESPONSE), filtered[1]),
    )
    sums = device.empty((SUMS, *shape), np.float32)
    slope = device.constant(_slope())
    device.launch(
        "align_equations", of_blocks, SQUARE, (filtered, usable, slope, *size, *block_size, sums)
    )
    return sums


@lru_cache(maxsize=1)
def _waves() -> NDArray[np.float32]:
    """Cosines and sines of whole turns over a patch's side, (2, PATCH_PX)."""
    turn = 2.0 * np.pi * np.arange(PATCH_PX) / PATCH_PX
    return np.stack([np.cos(turn), np.sin(turn)]).astype(np.float32)


@lru_cache(maxsize=1)
def _slope() -> NDArray[np.float32]:
    """Weights of the pixels after the one that a slope is taken at."""
    return cpu_align.DERIVATIVE[4:].astype(np.float32)
