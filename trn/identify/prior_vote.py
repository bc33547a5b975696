"""Where a prior pose may have to be moved to: pairs of ellipse and crater vote for a common motion.

An error of the prior moves all craters of an image together. Its covariance says how: the three
strongest of six modes of motion in the image (mostly a shift in two directions and a scale) are
searched, the third in layers, the first two by votes in the plane of both (a Hough transform whose
axes are standard deviations of the prior). What is weaker is left to the refinement.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.moon.turns import turned

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

REACH = 4.0
"""Standard deviations of the prior that are searched."""
LAYERS_REACH = 3.0
MOST_LAYERS = 15
MOST_CELLS = 301
SIZE_SIGMA = 0.25
"""Of the logarithm of an ellipse's size over the expected one."""
UNLIKE = 0.55
"""Logarithm of sizes beyond which a pair does not vote."""


@njit(cache=True, nogil=True, error_model="numpy")
def centre_slopes(
    rotation: Array,
    position: Array,
    centre: Array,
    normal: Array,
    radius: Array,
    lens: Array,
    chosen: Indices,
) -> tuple[Array, Array, Array]:
    """Pixels (M, 2), logarithm of size (M,), d pixel / d correction (M, 2, 6) of rim centres.

    The correction is in metres MOON_ME and radians about camera axes. Size is NaN where a crater
    is behind the camera or turned away.
    """
    pixel = np.zeros((chosen.size, 2))
    log_size = np.full(chosen.size, np.nan)
    slopes = np.zeros((chosen.size, 2, 6))
    focal = math.sqrt(lens[0] * lens[1])
    p = np.empty(3)
    d = np.empty((2, 3))
    for k in range(chosen.size):
        j = chosen[k]
        facing, square = 0.0, 0.0
        for i in range(3):
            p[i] = 0.0
            away = centre[j, i] - position[i]
            facing -= away * normal[j, i]
            square += away * away
            for m in range(3):
                p[i] += rotation[i, m] * (centre[j, m] - position[m])
        if p[2] <= 0.0 or facing <= 0.0:
            continue
        x, y = p[0] / p[2], p[1] / p[2]
        pixel[k, 0], pixel[k, 1] = lens[0] * x + lens[2], lens[1] * y + lens[3]
        log_size[k] = math.log(focal * radius[j] / p[2] * math.sqrt(facing / p[2]))
        d[0, 0], d[0, 1], d[0, 2] = lens[0] / p[2], 0.0, -lens[0] * x / p[2]
        d[1, 0], d[1, 1], d[1, 2] = 0.0, lens[1] / p[2], -lens[1] * y / p[2]
        for r in range(2):
            for m in range(3):
                for i in range(3):
                    slopes[k, r, m] -= d[r, i] * rotation[i, m]
            slopes[k, r, 3] = -d[r, 1] * p[2] + d[r, 2] * p[1]
            slopes[k, r, 4] = d[r, 0] * p[2] - d[r, 2] * p[0]
            slopes[k, r, 5] = -d[r, 0] * p[1] + d[r, 1] * p[0]
    return pixel, log_size, slopes


@njit(cache=True, nogil=True, error_model="numpy")
def modes_of(slopes: Array, root: Array) -> tuple[Array, Array]:
    """Modes of motion (6, 6), columns, corrections of one standard deviation, and their pixels.

    root: (6, 6), of the prior's covariance, root root^T. The pixels (6,) are root mean squares over
    all craters, largest first.
    """
    gram = np.zeros((6, 6))
    for k in range(slopes.shape[0]):
        seen = slopes[k] @ root
        gram += seen.T @ seen
    gram /= max(slopes.shape[0], 1)
    values, vectors = np.linalg.eigh(gram)
    order = np.arange(5, -1, -1)
    return root @ vectors[:, order], np.sqrt(np.maximum(values[order], 0.0))


@njit(cache=True, nogil=True, error_model="numpy")
def motions(
    pixel: Array,
    log_size: Array,
    rotation: Array,
    position: Array,
    modes: Array,
    strength: Array,
    cell_px: float,
    centre: Array,
    normal: Array,
    radius: Array,
    lens: Array,
    chosen: Indices,
    most: int,
) -> Array:
    """The best motions (K, 4): votes and the amplitudes of the first three modes; best first.

    pixel (N, 2), log_size (N,): of the ellipses. modes, strength: of `modes_of`.
    """
    # A mode that moves less than half a cell is held to that, so that the plane keeps two axes.
    first = modes[:, 0] * max(1.0, 0.5 * cell_px / max(strength[0], 1e-9))
    second = modes[:, 1] * max(1.0, 0.5 * cell_px / max(strength[1], 1e-9))
    side_1 = max(cell_px / max(strength[0], 0.5 * cell_px), 2.0 * REACH / MOST_CELLS)
    side_2 = max(cell_px / max(strength[1], 0.5 * cell_px), 2.0 * REACH / MOST_CELLS)
    half_1, half_2 = math.ceil(REACH / side_1), math.ceil(REACH / side_2)
    wide, high = 2 * half_1 + 1, 2 * half_2 + 1
    half = min(math.ceil(LAYERS_REACH * strength[2] / (2.0 * cell_px)), MOST_LAYERS // 2)
    if LAYERS_REACH * strength[2] < cell_px:
        half = 0
    layers = 2 * half + 1
    votes = np.zeros((layers, wide, high))
    for layer in range(layers):
        z = LAYERS_REACH * (layer - half) / max(half, 1)
        move = z * modes[:, 2]
        seen, size, slopes = centre_slopes(
            turned(rotation, move[3:]), position + move[:3], centre, normal, radius, lens, chosen
        )
        last = np.full((wide, high), -1, dtype=np.int64)
        best = np.zeros((wide, high))
        inverse = np.zeros((chosen.size, 2, 2))
        usable = np.zeros(chosen.size, dtype=np.bool_)
        for k in range(chosen.size):
            if math.isnan(size[k]):
                continue
            a = b = c = d = 0.0
            for m in range(6):
                a += slopes[k, 0, m] * first[m]
                b += slopes[k, 0, m] * second[m]
                c += slopes[k, 1, m] * first[m]
                d += slopes[k, 1, m] * second[m]
            whole = a * d - b * c
            if abs(whole) < 1e-3 * (a * a + c * c + b * b + d * d) * 0.5:
                continue
            usable[k] = True
            inverse[k, 0, 0], inverse[k, 0, 1] = d / whole, -b / whole
            inverse[k, 1, 0], inverse[k, 1, 1] = -c / whole, a / whole
        for i in range(pixel.shape[0]):
            for k in range(chosen.size):
                unlike = log_size[i] - size[k]
                if not usable[k] or abs(unlike) > UNLIKE:
                    continue
                dx, dy = pixel[i, 0] - seen[k, 0], pixel[i, 1] - seen[k, 1]
                u = inverse[k, 0, 0] * dx + inverse[k, 0, 1] * dy
                v = inverse[k, 1, 0] * dx + inverse[k, 1, 1] * dy
                if abs(u) > REACH or abs(v) > REACH:
                    continue
                p = math.floor(u / side_1 + 0.5) + half_1
                q = math.floor(v / side_2 + 0.5) + half_2
                weight = math.exp(-0.5 * (unlike / SIZE_SIGMA) ** 2)
                # One vote an ellipse and cell: the best.
                if last[p, q] != i:
                    last[p, q] = i
                    best[p, q] = 0.0
                if weight > best[p, q]:
                    votes[layer, p, q] += weight - best[p, q]
                    best[p, q] = weight
    found = np.zeros((most, 4))
    count = 0
    for layer in range(layers):
        z = LAYERS_REACH * (layer - half) / max(half, 1)
        for p in range(wide):
            for q in range(high):
                if votes[layer, p, q] == 0.0:
                    continue
                total, u, v = 0.0, 0.0, 0.0
                for r in range(max(p - 1, 0), min(p + 2, wide)):
                    for s in range(max(q - 1, 0), min(q + 2, high)):
                        total += votes[layer, r, s]
                        u += votes[layer, r, s] * (r - half_1)
                        v += votes[layer, r, s] * (s - half_2)
                if count == most and total <= found[most - 1, 0]:
                    continue
                u, v = u / total, v / total
                # Neighbours of a better one are the same motion.
                same = -1
                for k in range(count):
                    if (
                        abs(found[k, 1] / side_1 - u) < 2.0
                        and abs(found[k, 2] / side_2 - v) < 2.0
                        and abs(found[k, 3] - z) < 1.5 * LAYERS_REACH / max(half, 1)
                    ):
                        same = k
                        break
                if same >= 0:
                    if total <= found[same, 0]:
                        continue
                    place = same
                elif count < most:
                    place = count
                    count += 1
                else:
                    place = most - 1
                while place > 0 and found[place - 1, 0] < total:
                    found[place] = found[place - 1]
                    place -= 1
                found[place, 0], found[place, 3] = total, z
                found[place, 1], found[place, 2] = u * side_1, v * side_2
    held = found[:count].copy()
    # Amplitudes of the modes as they were, not as held.
    held[:, 1] *= max(1.0, 0.5 * cell_px / max(strength[0], 1e-9))
    held[:, 2] *= max(1.0, 0.5 * cell_px / max(strength[1], 1e-9))
    return held
