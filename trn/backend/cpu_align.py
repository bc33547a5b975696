"""The whole view against the image at once, what landmarks leave unsaid: the CPU's way.

Landmarks find the view within a fraction of a pixel; their templates weigh every scale of texture
alike. Here image and predicted view, already aligned to a fraction of a pixel, tell by their
coherence which scales of relief they have in common, and each scale counts by what it is worth:
the maximum-likelihood weighting of Hannan and Thomson (1973, Biometrika 60) in two dimensions,
linear in the displacement that is left.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft

from trn.backend.protocol import Alignment, PixelGrid

PATCH_PX = 32
MOST_PATCHES = 400
LEAST_PATCHES = 6
LEAST_KNOWN_PX = math.floor(0.9 * PATCH_PX**2) + 1
"""Of a patch."""
BACKGROUND_PX = 12.0
"""Gaussian radius of the mean that both sides are divided by: exposure, albedo, vignetting."""
DARKEST, BRIGHTEST = 0.5, 3.0
NOISE_RADIUS_BLOCKS = 3.0
RESPONSE_RADIUS_BLOCKS = 6.0
MOST_RESPONSE = 2.0
LEAST_NOISE_SHARE = 0.1
"""Of the median noise; what a calm place is trusted at most."""
BLOCK_PX = 4
HOLE_MARGIN_PX = 4
BORDER_PX = 4
MOST_COHERENCE = 0.98
EFFECTIVE_PATCHES = 1.5
"""Independent samples of the spectra a patch: half overlap takes away half, smoothing gives 3."""
SIGNIFICANCE = (3.0, 6.0)
"""Coherence over what chance gives, 2.4 to 3.5 sigma of its real part: none counts below, all from
the second on. A hard limit makes frequencies come and go from round to round."""
BINOMIAL = np.array([0.25, 0.5, 0.25])
DERIVATIVE = np.array([-1.0, 9.0, -45.0, 0.0, 45.0, -9.0, 1.0]) / 60.0


def align_view(image: NDArray[np.float32], predicted: NDArray[np.float32]) -> Alignment | None:
    """See Backend.align."""
    known = np.isfinite(predicted)
    seen = _relative(image, known)
    expected = _relative(predicted, known)
    filters = _filters(seen, expected, known)
    if filters is None:
        return None
    whiten, respond, band = filters
    weight = _usable(known)
    found = _filtered(seen, whiten)
    template = _filtered(expected, respond)
    template *= _local_response(found, template, weight)
    residual = found - template
    along_x = cv2.filter2D(template, cv2.CV_32F, DERIVATIVE[None])
    along_y = cv2.filter2D(template, cv2.CV_32F, DERIVATIVE[:, None])
    products = (
        weight,
        weight * residual * residual,
        weight * along_x * along_x,
        weight * along_x * along_y,
        weight * along_y * along_y,
        weight * along_x * residual,
        weight * along_y * residual,
    )
    sums = [_in_blocks(product) for product in products]
    around = [_blurred(each, NOISE_RADIUS_BLOCKS) for each in sums[:2]]
    return alignment_of(_weighed(np.stack(sums), np.stack(around), band), image.shape)


def alignment_of(weighed: NDArray[np.floating], shape: tuple[int, ...]) -> Alignment | None:
    """The blocks of an image (rows, columns) that count; None where none does.

    weighed: (blocks, 5), information (xx, xy, yy) and pull (x, y) of each block, NaN where it does
    not count.
    """
    cells, information, pull = _counted(weighed)
    if not cells.size:
        return None
    middle = BLOCK_PX // 2
    grid = PixelGrid(middle, middle, BLOCK_PX, shape[0] // BLOCK_PX, shape[1] // BLOCK_PX)
    return Alignment(grid, cells, information, pull)


@njit(cache=True, nogil=True, error_model="numpy")
def _counted(
    weighed: NDArray[np.floating],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Cells (N,), information (N, 2, 2) and pull (N, 2) of the blocks that count."""
    count = weighed.shape[0]
    cells = np.empty(count, dtype=np.int64)
    information = np.empty((count, 2, 2))
    pull = np.empty((count, 2))
    found = 0
    for block in range(count):
        if math.isnan(weighed[block, 0]):
            continue
        cells[found] = block
        information[found, 0, 0] = weighed[block, 0]
        information[found, 0, 1] = information[found, 1, 0] = weighed[block, 1]
        information[found, 1, 1] = weighed[block, 2]
        pull[found, 0], pull[found, 1] = weighed[block, 3], weighed[block, 4]
        found += 1
    return cells[:found], information[:found], pull[:found]


def _weighed(
    sums: NDArray[np.floating], around: NDArray[np.floating], band: float
) -> NDArray[np.float64]:
    """Normal equations from what blocks of pixels sum up to, as alignment_of takes them.

    sums: (7, rows, columns) of blocks: pixels that count, squared residuals, products of the
    slopes (xx, xy, yy), and of slopes (x, y) and residuals. around: (2, rows, columns), averages of
    the first two over NOISE_RADIUS_BLOCKS. band: share of frequencies that are not filtered out.
    """
    share, square = around.reshape(2, -1)
    noise = square / np.maximum(share, 1e-6)
    counts = sums[0].ravel() > 0.5 * BLOCK_PX**2
    weighed = np.full((counts.size, 5), np.nan)
    if counts.any():
        # Noise of unit density over the band has the band's share as variance.
        scale = band / (noise[counts] + LEAST_NOISE_SHARE * float(np.median(noise[counts])))
        weighed[counts] = (sums[2:].reshape(5, -1)[:, counts] * scale).T
        weighed[:, 3:] *= -1.0
    return weighed


def _in_blocks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sums over blocks of pixels; a rest at the right and lower border is left out."""
    rows, columns = values.shape[0] // BLOCK_PX, values.shape[1] // BLOCK_PX
    whole = values[: rows * BLOCK_PX, : columns * BLOCK_PX]
    mean = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(BLOCK_PX**2 * mean, dtype=np.float64)


def _local_response(
    found: NDArray[np.float32], template: NDArray[np.float32], weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    """How strongly the image shows the prediction around each pixel, 0 to MOST_RESPONSE.

    On plains much of what a noisy map predicts is its noise, which the image does not have.
    """
    shared = _blurred(_in_blocks(weight * found * template), RESPONSE_RADIUS_BLOCKS)
    own = _blurred(_in_blocks(weight * template * template), RESPONSE_RADIUS_BLOCKS)
    response = np.clip(shared / np.maximum(own, 1e-9), 0.0, MOST_RESPONSE).astype(np.float32)
    size = (template.shape[1], template.shape[0])
    return np.asarray(cv2.resize(response, size, interpolation=cv2.INTER_LINEAR))


def _relative(values: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Values over their local mean, minus one; 0 where unknown.

    Cut off at DARKEST: shadows, whose length a smoothed map gets wrong, would pull towards the Sun.
    """
    filled = np.where(known, values, np.float32(0)).astype(np.float32)
    mean = _blurred(filled, BACKGROUND_PX)
    if not known.all():
        mean = mean / (_blurred(known.astype(np.float32), BACKGROUND_PX) + np.float32(1e-6))
    floor = np.float32(1e-3 * max(float(mean.max()), 1e-9))
    relative = np.clip(filled / np.maximum(mean, floor), DARKEST, BRIGHTEST) - np.float32(1)
    return np.where(known, relative, np.float32(0)).astype(np.float32)


def _blurred(values: NDArray[np.floating], radius: float) -> NDArray[np.floating]:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), radius))


def _filters(
    seen: NDArray[np.float32], expected: NDArray[np.float32], known: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32], float] | None:
    """As _filters_of, from patches of both."""
    starts = patch_starts(known.shape)
    starts = starts[_known_pixels(known, starts) >= LEAST_KNOWN_PX]
    if len(starts) < LEAST_PATCHES:
        return None
    rows, columns = starts.T
    shape = (PATCH_PX, PATCH_PX)
    a, b = (
        fft.fft2(
            np.lib.stride_tricks.sliding_window_view(values, shape)[rows, columns] * taper(),
            workers=-1,
        )
        for values in (seen, expected)
    )
    spectra = (
        (a.real**2 + a.imag**2).mean(axis=0),
        (b.real**2 + b.imag**2).mean(axis=0),
        (a.real * b.real + a.imag * b.imag).mean(axis=0),
    )
    return _filters_of(np.stack(spectra), len(starts))


@lru_cache(maxsize=32)
def patch_starts(shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Row and column, (N, 2), where the patches of an image (rows, columns) begin; read-only."""
    height, width = shape
    stride = PATCH_PX // 2
    while (height // stride) * (width // stride) > MOST_PATCHES:
        stride += PATCH_PX // 8
    rows, columns = (np.arange(0, side - PATCH_PX + 1, stride) for side in (height, width))
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    starts: NDArray[np.int32] = np.ascontiguousarray(places.reshape(-1, 2), dtype=np.int32)
    starts.setflags(write=False)
    return starts


def _known_pixels(known: NDArray[np.bool_], starts: NDArray[np.int32]) -> NDArray[np.int_]:
    """How many pixels of each patch are known, (N,)."""
    # Pixels known above and left of each corner: four of these give a patch's.
    before = cv2.integral(known.astype(np.uint8))
    rows, columns = starts.T
    upper, lower = before[rows], before[rows + PATCH_PX]
    every = np.arange(len(starts))
    right, left = columns + PATCH_PX, columns
    counted = lower[every, right] - lower[every, left] - upper[every, right] + upper[every, left]
    return np.asarray(counted)


@lru_cache(maxsize=1)
def taper() -> NDArray[np.float32]:
    """Weights of a patch's pixels, Hann's along both axes, read-only."""
    profile = np.hanning(PATCH_PX + 1)[:-1]
    weights = np.outer(profile, profile).astype(np.float32)
    weights.setflags(write=False)
    return weights


def _filters_of(
    spectra: NDArray[np.floating], count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], float] | None:
    """Kernels that whiten the image's noise and turn the prediction into its like; their band.

    spectra: (3, PATCH_PX, PATCH_PX), power of seen (a) and expected (b) and the real part of their
    cross spectrum, means over `count` patches of the same places: the response is the real part of
    S_ab / S_bb (a shift's phase must stay in the residual), the noise S_aa (1 - coherence), and the
    band the share of frequencies that have any coherence. None where none has.
    """
    s_aa, s_bb, s_ab = (_smoothed(spectrum) for spectrum in spectra)
    s_ab = np.maximum(s_ab, 0.0)
    chance = 1.0 / max(4.0, EFFECTIVE_PATCHES * count)
    measured = s_ab**2 / np.maximum(s_aa * s_bb, 1e-30)
    sure = np.interp(measured / chance, SIGNIFICANCE, (0.0, 1.0))
    coherence = np.clip(sure * (measured - chance), 0.0, MOST_COHERENCE)
    coherence[_too_long()] = 0.0
    if not (coherence > 0.0).any():
        return None
    whiten = np.where(coherence > 0.0, 1.0 / np.sqrt(s_aa * (1.0 - coherence) + 1e-30), 0.0)
    respond = whiten * np.sqrt(coherence * s_aa / np.maximum(s_bb, 1e-30))
    return _kernel(whiten), _kernel(respond), float((coherence > 0.0).mean())


def _smoothed(spectrum: NDArray[np.floating]) -> NDArray[np.float64]:
    """A periodic spectrum averaged over 3 x 3 frequencies, binomial weights."""
    padded = cv2.copyMakeBorder(spectrum.astype(np.float64), 1, 1, 1, 1, cv2.BORDER_WRAP)
    return np.asarray(cv2.sepFilter2D(padded, cv2.CV_64F, BINOMIAL, BINOMIAL)[1:-1, 1:-1])


@lru_cache(maxsize=1)
def _too_long() -> NDArray[np.bool_]:
    """Frequencies of waves longer than a patch, (PATCH_PX, PATCH_PX), read-only."""
    frequency = np.fft.fftfreq(PATCH_PX)
    long = np.hypot(*np.meshgrid(frequency, frequency)) < 1.0 / PATCH_PX
    long.setflags(write=False)
    return np.asarray(long)


def _kernel(response: NDArray[np.float64]) -> NDArray[np.float32]:
    """The convolution kernel, odd size, of a real and even frequency response."""
    centred = np.fft.fftshift(np.fft.ifft2(response).real)
    return np.asarray(centred[1:, 1:], dtype=np.float32)


def _filtered(values: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.filter2D(values, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT))


def _usable(known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """1 where a filtered pixel stems from known ones, 0 near holes and the frame's border.

    Both sides are zero in a hole: its edge would hold the view where it is.
    """
    side = 2 * HOLE_MARGIN_PX + 1
    usable = cv2.erode(
        known.astype(np.uint8), np.ones((side, side), np.uint8), borderType=cv2.BORDER_REFLECT
    ).astype(np.float32)
    usable[:BORDER_PX], usable[-BORDER_PX:] = 0, 0
    usable[:, :BORDER_PX], usable[:, -BORDER_PX:] = 0, 0
    return usable
