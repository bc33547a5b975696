"""Rays onto the true ground: exact crossings with patches of heights, one inside the other.

A ray runs through the gnomonic grid of a `Patch` with a pyramid of maximum heights above it
(maximum mipmaps, Tevs et al. 2008): a block whose highest ground stays under the ray is crossed in
one step, and no ridge can be stepped over. Inside a cell the crossing with the bilinear surface
is bracketed, grazing double crossings included, and bisected to a millimetre along the ray.

Patches of one `Surface` share their gnomonic frame, in which a straight ray is a straight line and
a patch's outline a rectangle: the ray is cut where it enters and leaves each.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from trn.moon.constants import REFERENCE_RADIUS_M

Array32 = NDArray[np.float32]

MOST_PATCHES = 6

BASE = 2
"""The pyramid's smallest blocks are 2^BASE by 2^BASE cells."""
# Steps over a block's edge, metres along the ray, so that it counts as crossed.
_NUDGE_M = 1e-4


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _highest_in_blocks(h: Any, size: int, out: Any) -> None:
    """Highest sample of each block of size x size cells, the samples on its edges included."""
    for block_row in range(out.shape[0]):
        for block_column in range(out.shape[1]):
            highest = h[block_row * size, block_column * size]
            for row in range(block_row * size, min((block_row + 1) * size + 1, h.shape[0])):
                for column in range(
                    block_column * size, min((block_column + 1) * size + 1, h.shape[1])
                ):
                    highest = max(highest, h[row, column])
            out[block_row, block_column] = highest


def pyramid(height_m: Array32) -> tuple[Array32, NDArray[np.int64]]:
    """Highest ground in blocks of 2^k cells, k = 2 up, in one array, and where each level lies.

    The second array has a row (offset, rows, columns) a level.
    """
    size = 1 << BASE
    rows, columns = height_m.shape
    level = np.empty((-(-(rows - 1) // size), -(-(columns - 1) // size)), np.float32)
    _highest_in_blocks(height_m, size, level)
    return pyramid_above(level)


def pyramid_above(level: Array32, outside: float = -math.inf) -> tuple[Array32, NDArray[np.int64]]:
    """The pyramid over its smallest blocks, in the form of `pyramid`; outside: height around."""
    levels, shapes, offset = [level.ravel()], [(0, *level.shape)], level.size
    while max(level.shape) > 1:
        odd = [(0, side % 2) for side in level.shape]
        level = np.pad(level, odd, constant_values=np.float32(outside))
        level = np.maximum(level[::2], level[1::2])
        level = np.maximum(level[:, ::2], level[:, 1::2])
        levels.append(level.ravel())
        shapes.append((offset, *level.shape))
        offset += level.size
    return np.concatenate(levels), np.array(shapes, dtype=np.int64)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _above(
    t: float,
    o: Any,
    d: Any,
    along: float,
    square: float,
    h: Any,
    row: int,
    column: int,
    u0: float,
    v0: float,
    step: float,
) -> float:
    """Height of the ray's point t over the bilinear surface of one cell."""
    z = o[2] + t * d[2]
    fc = ((o[0] + t * d[0]) / z - u0) / step - column
    fr = ((o[1] + t * d[1]) / z - v0) / step - row
    near = h[row, column] + fc * (h[row, column + 1] - h[row, column])
    far = h[row + 1, column] + fc * (h[row + 1, column + 1] - h[row + 1, column])
    radius = math.sqrt(square + t * (2.0 * along + t))
    return float(radius - REFERENCE_RADIUS_M - (near + fr * (far - near)))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _cross_cell(
    t0: float,
    t1: float,
    o: Any,
    d: Any,
    along: float,
    square: float,
    h: Any,
    row: int,
    column: int,
    u0: float,
    v0: float,
    step: float,
) -> float:
    """Where between t0 and t1 the ray first meets one cell's surface, or -1."""
    at_0 = _above(t0, o, d, along, square, h, row, column, u0, v0, step)
    if at_0 <= 0.0:
        return t0
    tm = 0.5 * (t0 + t1)
    at_m = _above(tm, o, d, along, square, h, row, column, u0, v0, step)
    at_1 = _above(t1, o, d, along, square, h, row, column, u0, v0, step)
    if at_m <= 0.0:
        high = tm
    elif at_1 <= 0.0:
        t0, high = tm, t1
    else:
        # A straight ray over a bilinear cell is a parabola: look at its lowest point.
        bend = at_0 - 2.0 * at_m + at_1
        if bend <= 0.0:
            return -1.0
        lowest = 0.5 + 0.25 * (at_0 - at_1) / bend
        if lowest <= 0.0 or lowest >= 1.0:
            return -1.0
        high = t0 + lowest * (t1 - t0)
        if _above(high, o, d, along, square, h, row, column, u0, v0, step) > 0.0:
            return -1.0
    low = t0
    while high - low > 1e-3:
        middle = 0.5 * (low + high)
        if _above(middle, o, d, along, square, h, row, column, u0, v0, step) > 0.0:
            low = middle
        else:
            high = middle
    return high


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _exit(
    t: float,
    o: Any,
    d: Any,
    u_low: float,
    u_high: float,
    v_low: float,
    v_high: float,
    turn_u: float,
    turn_v: float,
) -> float:
    """Where the ray, at t inside a box of gnomonic coordinates, leaves it (inf: never)."""
    leave = np.inf
    if turn_u != 0.0:
        edge = u_high if turn_u > 0.0 else u_low
        slope = d[0] - edge * d[2]
        if slope != 0.0:
            at = (edge * o[2] - o[0]) / slope
            if at > t:
                leave = at
    if turn_v != 0.0:
        edge = v_high if turn_v > 0.0 else v_low
        slope = d[1] - edge * d[2]
        if slope != 0.0:
            at = (edge * o[2] - o[1]) / slope
            if at > t and at < leave:
                leave = at
    return leave


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _march(
    o: Any,
    d: Any,
    start: float,
    stop: float,
    h: Any,
    pyramid: Any,
    shapes: Any,
    u0: float,
    v0: float,
    step: float,
    h_min: float,
    h_max: float,
) -> float:
    """Distance between start and stop along a ray, both over the patch, to its ground, or -1.

    o, d: origin and unit direction, patch axes.
    """
    along = o[0] * d[0] + o[1] * d[1] + o[2] * d[2]
    square = o[0] * o[0] + o[1] * o[1] + o[2] * o[2]
    closest = square - along * along
    top = REFERENCE_RADIUS_M + h_max
    if closest >= top * top:
        return -1.0
    half_chord = math.sqrt(top * top - closest)
    t = max(-along - half_chord, start)
    t_end = min(-along + half_chord, stop)
    bottom = REFERENCE_RADIUS_M + h_min - 1.0
    if closest < bottom * bottom:
        to_bottom = -along - math.sqrt(bottom * bottom - closest)
        if to_bottom > 0.0:
            t_end = min(t_end, to_bottom)
    turn_u = d[0] * o[2] - o[0] * d[2]
    turn_v = d[1] * o[2] - o[1] * d[2]
    rows, columns = h.shape
    levels = shapes.shape[0]
    level = 0
    while t < t_end:
        at = t + _NUDGE_M
        z = o[2] + at * d[2]
        if z <= 0.0:
            return -1.0
        column = min(max(int(((o[0] + at * d[0]) / z - u0) / step), 0), columns - 2)
        row = min(max(int(((o[1] + at * d[1]) / z - v0) / step), 0), rows - 2)
        while True:
            shift = level + BASE
            block_column, block_row = column >> shift, row >> shift
            size = 1 << shift
            leave = _exit(
                t, o, d,
                u0 + block_column * size * step, u0 + (block_column + 1) * size * step,
                v0 + block_row * size * step, v0 + (block_row + 1) * size * step,
                turn_u, turn_v,
            )  # fmt: skip
            leave = min(leave, t_end)
            lowest_at = min(max(-along, t), leave)
            lowest = math.sqrt(square + lowest_at * (2.0 * along + lowest_at)) - REFERENCE_RADIUS_M
            highest = pyramid[shapes[level, 0] + block_row * shapes[level, 2] + block_column]
            if lowest > highest or level == 0:
                break
            level -= 1
        if lowest > highest:
            t = max(leave, at)
            level = min(level + 1, levels - 1)
            continue
        # Walk the cells of one smallest block.
        while t < leave:
            at = t + _NUDGE_M
            z = o[2] + at * d[2]
            column = min(max(int(((o[0] + at * d[0]) / z - u0) / step), 0), columns - 2)
            row = min(max(int(((o[1] + at * d[1]) / z - v0) / step), 0), rows - 2)
            out = min(
                _exit(
                    t, o, d,
                    u0 + column * step, u0 + (column + 1) * step,
                    v0 + row * step, v0 + (row + 1) * step,
                    turn_u, turn_v,
                ),
                t_end,
            )  # fmt: skip
            highest = max(
                max(h[row, column], h[row, column + 1]),
                max(h[row + 1, column], h[row + 1, column + 1]),
            )
            lowest_at = min(max(-along, t), out)
            lowest = math.sqrt(square + lowest_at * (2.0 * along + lowest_at)) - REFERENCE_RADIUS_M
            if lowest <= highest:
                hit = _cross_cell(t, out, o, d, along, square, h, row, column, u0, v0, step)
                if hit >= 0.0:
                    return hit
            t = max(out, at)
    return -1.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _clip(o: Any, d: Any, geo: Any, span: Any) -> None:
    """Cut span (start, stop) of a ray to where it is over a patch's outline; empty: stop < start.

    geo: a row of `pack`'s table.
    """
    for axis in range(2):
        low, high = geo[2 * axis], geo[2 * axis + 1]
        for side in range(2):
            # How far inside the edge the ray is, as a + b t (times its positive height).
            if side == 0:
                a, b = o[axis] - low * o[2], d[axis] - low * d[2]
            else:
                a, b = high * o[2] - o[axis], high * d[2] - d[axis]
            if b > 0.0:
                span[0] = max(span[0], -a / b)
            elif b < 0.0:
                span[1] = min(span[1], -a / b)
            elif a < 0.0:
                span[1] = -np.inf


@numba.njit(cache=True, nogil=True, error_model="numpy")
def cast(
    o: Any, d: Any, heights: Any, pyramids: Any, shapes: Any, table: Any, spans: Any, found: Any
) -> float:
    """Distance along a ray to the first ground it meets, or -1; found[0] is the patch it lies in.

    o, d: origin and unit direction in the axes of the surface. heights, pyramids, shapes, table: of
    the surface's patches, coarse to fine (`Surface.packed`). spans (MOST_PATCHES, 2) float64 is
    scratch. Where patches overlap the finest is the ground.
    """
    count = table.shape[0]
    spans[0, 0], spans[0, 1] = 0.0, np.inf
    # A ray that rises or falls past the edge of the hemisphere leaves the gnomonic plane.
    if d[2] < 0.0:
        spans[0, 1] = -o[2] / d[2]
    innermost = -1
    for k in range(count):
        if k > 0:
            spans[k, 0], spans[k, 1] = spans[k - 1, 0], spans[k - 1, 1]
        _clip(o, d, table[k], spans[k])
        if spans[k, 1] <= spans[k, 0]:
            break
        innermost = k
    if innermost < 0:
        return -1.0
    for turn in range(2 * innermost + 1):
        if turn < innermost:
            k = turn
            start, stop = spans[k, 0], spans[k + 1, 0]
        elif turn == innermost:
            k = innermost
            start, stop = spans[k, 0], spans[k, 1]
        else:
            k = 2 * innermost - turn
            start, stop = spans[k + 1, 1], spans[k, 1]
        if stop <= start:
            continue
        t = _march(
            o, d, start, stop, heights[k], pyramids[k], shapes[k],
            table[k, 0], table[k, 2], table[k, 4], table[k, 5], table[k, 6],
        )  # fmt: skip
        if t >= 0.0:
            found[0] = k
            return t
    return -1.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def cast_many(
    o: Any, directions: Any, heights: Any, pyramids: Any, shapes: Any, table: Any, out: Any
) -> None:
    """Distances along rays (N, 3) from one origin, all in the axes of the surface; NaN: none."""
    spans = np.empty((MOST_PATCHES, 2))
    found = np.zeros(1, np.int64)
    for i in range(directions.shape[0]):
        t = cast(o, directions[i], heights, pyramids, shapes, table, spans, found)
        out[i] = t if t >= 0.0 else np.nan


@numba.njit(cache=True, nogil=True, error_model="numpy")
def normal(p: Any, h: Any, u0: float, v0: float, step: float, n: Any) -> None:
    """Unit normal into n at a surface point p (patch axes), from smoothed central differences."""
    u, v = p[0] / p[2], p[1] / p[2]
    gu, gv = (u - u0) / step, (v - v0) / step
    rows, columns = h.shape
    c = min(max(int(gu), 1), columns - 3)
    r = min(max(int(gv), 1), rows - 3)
    fc, fr = min(max(gu - c, 0.0), 1.0), min(max(gv - r, 0.0), 1.0)
    w00, w01 = (1 - fr) * (1 - fc), (1 - fr) * fc
    w10, w11 = fr * (1 - fc), fr * fc
    slope_u = (
        w00 * (h[r, c + 1] - h[r, c - 1])
        + w01 * (h[r, c + 2] - h[r, c])
        + w10 * (h[r + 1, c + 1] - h[r + 1, c - 1])
        + w11 * (h[r + 1, c + 2] - h[r + 1, c])
    ) / (2.0 * step)
    slope_v = (
        w00 * (h[r + 1, c] - h[r - 1, c])
        + w01 * (h[r + 1, c + 1] - h[r - 1, c + 1])
        + w10 * (h[r + 2, c] - h[r, c])
        + w11 * (h[r + 2, c + 1] - h[r, c + 1])
    ) / (2.0 * step)
    # Position is radius * (u, v, 1) / q with q = sqrt(1 + u^2 + v^2): its two derivatives.
    q2 = 1.0 + u * u + v * v
    q = math.sqrt(q2)
    radius = math.sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2])
    a = slope_u / q - radius * u / (q2 * q)
    ax, ay, az = a * u + radius / q, a * v, a
    b = slope_v / q - radius * v / (q2 * q)
    bx, by, bz = b * u, b * v + radius / q, b
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    length = math.sqrt(nx * nx + ny * ny + nz * nz)
    n[0], n[1], n[2] = nx / length, ny / length, nz / length
