"""How the alignment of a whole view is laid out for align.cu, and launched."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend import cpu_align
from trn.backend.cpu_align import BLOCK_PX, PATCH_PX
from trn.backend.cuda_average import averaging, gaussian, known_means, launch_around
from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_kernels import blocks, int32
from trn.backend.protocol import Alignment

SPECTRA_THREADS = 256
TILE = (32, 8)
"""Pixels of a block's tile in align_filtered, as in align_filtered.cu."""
WEIGHTS_THREADS = 1024
SUMS, EQUATIONS = 7, 5
FILTER_PX = PATCH_PX - 1


def align(device: CudaDevice, image: Any, predicted: Any) -> Alignment | None:
    """See Backend.align. Both are on the device, float32 (rows, columns)."""
    starts = cpu_align.patch_starts(predicted.shape)
    if len(starts) < cpu_align.LEAST_PATCHES:
        return None
    relative, usable = _relative(device, image, predicted)
    filters, band = _filters(device, _spectra(device, predicted, relative, starts))
    sums, noise = _block_sums(device, relative, usable, filters)
    weighed = device.empty(EQUATIONS * noise.size + 1, np.float32)
    device.launch(
        "align_weights",
        (1,),
        (WEIGHTS_THREADS,),
        (
            sums,
            noise,
            int32(noise.size),
            band,
            np.float32(cpu_align.LEAST_NOISE_SHARE),
            weighed,
        ),
    )
    back = device.to_host(weighed)
    if not back[-1] > 0.0:
        return None
    return cpu_align.alignment_of(back[:-1].reshape(-1, EQUATIONS), predicted.shape)


def _relative(device: CudaDevice, image: Any, predicted: Any) -> tuple[Any, Any]:
    """Image and prediction over their local means, (2, rows, columns), and which pixels to use."""
    rows, columns = shape = predicted.shape
    means, highest = known_means(device, image, predicted, gaussian(cpu_align.BACKGROUND_PX))
    relative = device.empty((2, rows, columns), np.float32)
    usable = device.empty(shape, np.float32)
    bounds = np.float32(cpu_align.DARKEST), np.float32(cpu_align.BRIGHTEST)
    size = int32(rows), int32(columns)
    device.launch_over(
        "align_relative",
        shape,
        (image, predicted, means, highest, *bounds, *size, relative, usable),
    )
    return relative, usable


def _spectra(device: CudaDevice, predicted: Any, relative: Any, starts: NDArray[np.int32]) -> Any:
    """Mean spectra of the patches that are known, 3 x PATCH_PX x PATCH_PX, and their number.

    starts: (N, 2), where patches begin, an array that never changes.
    """
    rows, columns = predicted.shape
    counts = device.empty(len(starts), np.int32)
    spectra = device.empty((len(starts), 3, PATCH_PX, PATCH_PX), np.float32)
    least_known = int32(cpu_align.LEAST_KNOWN_PX)
    device.launch(
        "align_spectra",
        (len(starts),),
        (SPECTRA_THREADS,),
        (
            relative,
            predicted,
            int32(rows * columns),
            int32(columns),
            device.constant(starts),
            least_known,
            device.constant(cpu_align.taper()),
            device.constant(_waves()),
            counts,
            spectra,
        ),
    )
    size = 3 * PATCH_PX**2
    mean = device.empty(size + 1, np.float32)
    device.launch_each(
        "align_mean_spectra", size, (spectra, counts, int32(len(starts)), least_known, mean)
    )
    return mean


def _filters(device: CudaDevice, mean: Any) -> tuple[Any, Any]:
    """Filters of image and view, (2, FILTER_PX, FILTER_PX), and their band, (1,); see _spectra."""
    filters = device.empty((2, FILTER_PX, FILTER_PX), np.float32)
    band = device.empty(1, np.float32)
    device.launch(
        "align_filters",
        (2,),
        (PATCH_PX**2,),
        (
            mean,
            device.constant(_waves()),
            int32(cpu_align.LEAST_PATCHES),
            np.float32(cpu_align.EFFECTIVE_PATCHES),
            *(np.float32(limit) for limit in cpu_align.SIGNIFICANCE),
            np.float32(cpu_align.MOST_COHERENCE),
            filters,
            band,
        ),
    )
    return filters, band


def _block_sums(device: CudaDevice, relative: Any, usable: Any, filters: Any) -> tuple[Any, Any]:
    """Of each block of pixels its sums, (SUMS, rows, columns), and the noise around it."""
    rows, columns = usable.shape
    shape = rows // BLOCK_PX, columns // BLOCK_PX
    size = int32(rows), int32(columns)
    block_size = int32(shape[0]), int32(shape[1])
    filtered = device.empty(relative.shape, np.float32)
    device.launch(
        "align_filtered",
        (blocks(columns, TILE[0]), blocks(rows, TILE[1]), 2),
        TILE,
        (relative, *size, filters, filtered),
    )
    products = device.empty((2, *shape), np.float32)
    device.launch_over("align_products", shape, (filtered, usable, *size, *block_size, products))
    response, noise = device.empty(shape, np.float32), device.empty(shape, np.float32)
    weights, most = gaussian(cpu_align.RESPONSE_RADIUS_BLOCKS), np.float32(cpu_align.MOST_RESPONSE)
    taken = (products, *averaging(device, shape, weights), most, response)
    launch_around(device, "align_response", shape, taken, weights, 2)
    device.launch_over(
        "align_respond", (rows, columns), (response, *size, *block_size, filtered[1])
    )
    sums = device.empty((SUMS, *shape), np.float32)
    slope = device.constant(_slope())
    device.launch_over(
        "align_equations", shape, (filtered, usable, slope, *size, *block_size, sums)
    )
    weights = gaussian(cpu_align.NOISE_RADIUS_BLOCKS)
    taken = (sums, *averaging(device, shape, weights), noise)
    launch_around(device, "align_noise", shape, taken, weights, 2)
    return sums, noise


@lru_cache(maxsize=1)
def _waves() -> NDArray[np.float32]:
    """Cosines and sines of whole turns over a patch's side, (2, PATCH_PX)."""
    turn = 2.0 * np.pi * np.arange(PATCH_PX) / PATCH_PX
    return np.stack([np.cos(turn), np.sin(turn)]).astype(np.float32)


@lru_cache(maxsize=1)
def _slope() -> NDArray[np.float32]:
    """Weights of the pixels after the one that a slope is taken at."""
    return cpu_align.DERIVATIVE[4:].astype(np.float32)
