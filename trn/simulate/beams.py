"""A camera's rays onto the true ground, many at a time.

Rays of neighbouring pixels run side by side almost to the ground. A block of them is marched once,
as one beam: the rays differ from its axis by at most a share of the distance, so where the axis is
higher than that over all ground as near to it, no ray of the block has met ground. From there each
ray goes on alone, to the exact crossing that `raycast.cast` finds.

Both march in s = t / z (t: distance along the ray, z: height over the centre of the gnomonic
plane), in which grid coordinates are linear. The ray's height is bounded from below by a straight
line in s, which holds for all rays that still come down; others are left to `raycast.cast`.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from trn.moon.constants import REFERENCE_RADIUS_M
from trn.simulate.raycast import BASE, MOST_PATCHES, cast, pyramid_above
from trn.simulate.surface import Surface

Array32 = NDArray[np.float32]

BLOCK, INNER = 16, 4
"""Sides of the blocks of pixels that are marched as one beam, the small ones from where the large
ends."""

# Steps over a block's edge, metres along the ray, so that it counts as crossed.
_NUDGE_M = 1e-4
# Straight-line bounds of a ray's height are renewed after this distance: they are 3 cm off then.
_RENEW_M = 300.0


def beam_pyramids(surface: Surface) -> tuple[Any, Any]:
    """Highest ground in each block of 2^k cells and its eight neighbours, k = 2 up, of each patch.

    In the form of `raycast.pyramid`, `MOST_PATCHES` of them. Ground of finer patches counts too.
    Blocks whose neighbours are not all in the patch are infinitely high, but in the first patch,
    around which there is no ground.
    """
    patches = surface.patches
    levels, shapes = surface.packed[1:3]
    bases = []
    for k in range(len(patches)):
        rows, columns = shapes[k][0, 1:]
        bases.append(levels[k][: rows * columns].reshape(rows, columns).copy())
    for k in range(len(patches) - 1, 0, -1):
        inner, outer = patches[k], patches[k - 1]
        size = inner.step / outer.step
        first_row = (inner.v0 - outer.v0) / outer.step
        first_column = (inner.u0 - outer.u0) / outer.step
        _splat(bases[k], bases[k - 1], first_row, first_column, size)
    out, out_shapes = [], []
    for k, base in enumerate(bases):
        outside = -math.inf
        if k > 0:
            outside = math.inf
            # Blocks that reach past the border of the patch.
            rows, columns = patches[k].shape
            base[(rows - 1) >> BASE :] = outside
            base[:, (columns - 1) >> BASE :] = outside
        flat, shape = pyramid_above(base, outside)
        out.append(_dilated(flat, shape, outside))
        out_shapes.append(shape)
    spare = MOST_PATCHES - len(patches)
    return tuple(out + out[:1] * spare), tuple(out_shapes + out_shapes[:1] * spare)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _splat(inner: Any, outer: Any, first_row: float, first_column: float, size: float) -> None:
    """Raise blocks of a patch to the highest of the finer blocks that reach into them."""
    rows, columns = outer.shape
    cells = 1 << BASE
    for r in range(inner.shape[0]):
        top = (first_row + r * cells * size) / cells
        row_a = max(math.floor(top - 1e-6), 0)
        row_b = min(math.floor(top + size + 1e-6), rows - 1)
        for c in range(inner.shape[1]):
            left = (first_column + c * cells * size) / cells
            column_a = max(math.floor(left - 1e-6), 0)
            column_b = min(math.floor(left + size + 1e-6), columns - 1)
            for row in range(row_a, row_b + 1):
                for column in range(column_a, column_b + 1):
                    outer[row, column] = max(outer[row, column], inner[r, c])


def _dilated(flat: Array32, shapes: NDArray[np.int64], outside: float) -> Array32:
    """Each level's blocks with the highest of their neighbours."""
    out = np.empty_like(flat)
    for offset, rows, columns in shapes:
        level = flat[offset : offset + rows * columns].reshape(rows, columns)
        wide = np.pad(level, 1, constant_values=np.float32(outside))
        wide = np.maximum(np.maximum(wide[:-2], wide[1:-1]), wide[2:])
        wide = np.maximum(np.maximum(wide[:, :-2], wide[:, 1:-1]), wide[:, 2:])
        out[offset : offset + rows * columns] = wide.ravel()
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _sooner(edge: float, leave: float, s: float) -> float:
    """The next place where a ray leaves a block, with one more edge of it.

    An edge that is not ahead is one along which the ray runs: the ground is the same on both sides.
    """
    return edge if s < edge < leave else leave


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _beam_in_patch(
    o: Any, d: Any, width: float, start: float, pyramid: Any, shapes: Any, geo: Any
) -> float:
    """How far along its axis a beam is sure to be clear of ground, from start on, within a patch.

    width: largest distance of two points at unit distance on the axis and on a ray. geo: a row of
    `Surface.packed`'s table.
    """
    u0, u_high, v0, v_high, step = geo[0], geo[1], geo[2], geo[3], geo[4]
    along = o[0] * d[0] + o[1] * d[1] + o[2] * d[2]
    square = o[0] * o[0] + o[1] * o[1] + o[2] * o[2]
    uo, vo = o[0] / o[2], o[1] / o[2]
    turn_u, turn_v = (d[0] - uo * d[2]) / step, (d[1] - vo * d[2]) / step
    at_u, at_v = (uo - u0) / step, (vo - v0) / step
    last_column, last_row = (u_high - u0) / step, (v_high - v0) / step
    nudge = _NUDGE_M / o[2]
    t = start
    s = t / (o[2] + t * d[2])
    levels = shapes.shape[0]
    level = levels - 1
    while True:
        column, row = at_u + (s + nudge) * turn_u, at_v + (s + nudge) * turn_v
        if column < 0.0 or row < 0.0 or column >= last_column or row >= last_row:
            return t
        shift = level + BASE
        size = 1 << shift
        block_column, block_row = int(column) >> shift, int(row) >> shift
        leave = np.inf
        if turn_u != 0.0:
            edge = (block_column + 1) * size if turn_u > 0.0 else block_column * size
            leave = _sooner((edge - at_u) / turn_u, leave, s)
        if turn_v != 0.0:
            edge = (block_row + 1) * size if turn_v > 0.0 else block_row * size
            leave = _sooner((edge - at_v) / turn_v, leave, s)
        if leave == np.inf:
            return t
        t_leave = leave * o[2] / (1.0 - leave * d[2])
        lowest_at = min(max(-along, t), t_leave)
        lowest = math.sqrt(square + lowest_at * (2.0 * along + lowest_at)) - REFERENCE_RADIUS_M
        apart = t_leave * width
        highest = pyramid[shapes[level, 0] + block_row * shapes[level, 2] + block_column]
        z = o[2] + t_leave * d[2] - apart
        # Sideways, in gnomonic coordinates, whose measure grows towards the edge.
        reach = apart * (
            1.0 + max(abs(uo + leave * turn_u * step), abs(vo + leave * turn_v * step))
        )
        fits = reach <= 0.99 * size * step * z
        if fits and lowest - apart > highest:
            t, s = t_leave, leave
            level = min(level + 1, levels - 1)
        elif level == 0 or not fits:
            return t
        else:
            level -= 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _beam(
    o: Any, d: Any, width: float, start: float, pyramids: Any, shapes: Any, table: Any
) -> float:
    """How far along its axis a beam is sure to be clear of ground, from start on."""
    t = start
    if d[2] >= 0.0:
        return t
    for k in range(table.shape[0]):
        t = _beam_in_patch(o, d, width, t, pyramids[k], shapes[k], table[k])
    return t


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _height(s: float, o: Any, d: Any, along: float, square: float) -> float:
    """Height of the ray's point s = t / z over the reference sphere."""
    t = s * o[2] / (1.0 - s * d[2])
    return math.sqrt(square + t * (2.0 * along + t)) - REFERENCE_RADIUS_M


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _march(
    o: Any,
    d: Any,
    along: float,
    square: float,
    start: float,
    stop: float,
    at_u: float,
    at_v: float,
    turn_u: float,
    turn_v: float,
    h: Any,
    pyramid: Any,
    shapes: Any,
) -> float:
    """Where between s = start and stop a ray that comes down meets the ground of a patch, or -1.

    at, turn: grid coordinates of s = 0, and their change with s.
    """
    rows, columns = h.shape
    levels = shapes.shape[0]
    nudge = _NUDGE_M / o[2]
    renew = _RENEW_M / o[2]
    per_u = 1.0 / turn_u if turn_u != 0.0 else np.inf
    per_v = 1.0 / turn_v if turn_v != 0.0 else np.inf
    ahead_u, ahead_v = 1 if turn_u > 0.0 else 0, 1 if turn_v > 0.0 else 0
    s = start
    # The bound: its place, height there and slope.
    known, high, fall = -np.inf, 0.0, 0.0
    level = 0
    while s < stop:
        if s - known > renew:
            w = 1.0 / (1.0 - s * d[2])
            t = s * o[2] * w
            radius = math.sqrt(square + t * (2.0 * along + t))
            known, high = s, radius - REFERENCE_RADIUS_M
            fall = (along + t) / radius * o[2] * w * w
            if fall >= 0.0:
                break
        column = min(max(int(at_u + (s + nudge) * turn_u), 0), columns - 2)
        row = min(max(int(at_v + (s + nudge) * turn_v), 0), rows - 2)
        shift = level + BASE
        block_column, block_row = column >> shift, row >> shift
        leave = stop
        if turn_u != 0.0:
            leave = _sooner((((block_column + ahead_u) << shift) - at_u) * per_u, leave, s)
        if turn_v != 0.0:
            leave = _sooner((((block_row + ahead_v) << shift) - at_v) * per_v, leave, s)
        highest = pyramid[shapes[level, 0] + block_row * shapes[level, 2] + block_column]
        if high + (leave - known) * fall > highest:
            s = max(leave, s + nudge)
            level = min(level + 1, levels - 1)
            continue
        if level > 0:
            level -= 1
            continue
        # Walk the cells of one smallest block; on, too, where rounding puts its edge at s.
        leave = max(leave, s + nudge)
        while s < leave:
            column = min(max(int(at_u + (s + nudge) * turn_u), 0), columns - 2)
            row = min(max(int(at_v + (s + nudge) * turn_v), 0), rows - 2)
            # Over more than a short way a steep ray is no parabola.
            out = min(leave, s + renew)
            if turn_u != 0.0:
                out = _sooner((column + ahead_u - at_u) * per_u, out, s)
            if turn_v != 0.0:
                out = _sooner((row + ahead_v - at_v) * per_v, out, s)
            h00, h01 = h[row, column], h[row, column + 1]
            h10, h11 = h[row + 1, column], h[row + 1, column + 1]
            if high + (out - known) * fall <= max(max(h00, h01), max(h10, h11)):
                # Over a bilinear cell a ray is a parabola a x^2 + b x + c, x from 0 to 1.
                fc, fr = at_u + s * turn_u - column, at_v + s * turn_v - row
                step_c, step_r = (out - s) * turn_u, (out - s) * turn_v
                slope_c, slope_r, twist = h01 - h00, h10 - h00, h00 - h01 - h10 + h11
                from_s = _height(s, o, d, along, square)
                middle = _height(0.5 * (s + out), o, d, along, square)
                to_out = _height(out, o, d, along, square)
                c = from_s - (h00 + fc * slope_c + fr * slope_r + fc * fr * twist)
                if c <= 0.0:
                    return s
                bend = 2.0 * (from_s - 2.0 * middle + to_out)
                a = bend - step_c * step_r * twist
                b = (to_out - from_s - bend) - (
                    step_c * slope_c + step_r * slope_r + (fc * step_r + fr * step_c) * twist
                )
                root = b * b - 4.0 * a * c
                if root >= 0.0:
                    below = math.sqrt(root) - b
                    if below > 0.0 and 2.0 * c <= below:
                        return float(s + 2.0 * c / below * (out - s))
            s = max(out, s + nudge)
    if s < stop:
        # Not coming down any more.
        return -2.0 - s
    return -1.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def first_hit(
    o: Any,
    d: Any,
    start: float,
    heights: Any,
    pyramids: Any,
    shapes: Any,
    table: Any,
    spans: Any,
    found: Any,
) -> float:
    """As `cast`, for a ray that is known to be clear of ground up to a distance."""
    along = o[0] * d[0] + o[1] * d[1] + o[2] * d[2]
    if d[2] >= 0.0 or along + start >= 0.0:
        return cast(o, d, heights, pyramids, shapes, table, spans, found)
    square = o[0] * o[0] + o[1] * o[1] + o[2] * o[2]
    uo, vo = o[0] / o[2], o[1] / o[2]
    turn_u, turn_v = d[0] - uo * d[2], d[1] - vo * d[2]
    count = table.shape[0]
    nudge = _NUDGE_M / o[2]
    s = start / (o[2] + start * d[2])
    # Where it is below all ground.
    deepest = np.inf
    bottom = table[0, 5]
    for k in range(1, count):
        bottom = min(bottom, table[k, 5])
    bottom += REFERENCE_RADIUS_M - 1.0
    under = bottom * bottom - square + along * along
    if under > 0.0:
        t = -along - math.sqrt(under)
        deepest = t / (o[2] + t * d[2])
    while s < deepest:
        # The finest patch here.
        u, v = uo + (s + nudge) * turn_u, vo + (s + nudge) * turn_v
        k = -1
        while k + 1 < count:
            geo = table[k + 1]
            if u < geo[0] or u > geo[1] or v < geo[2] or v > geo[3]:
                break
            k += 1
        if k < 0:
            return -1.0
        geo = table[k]
        stop = min(_leaves(uo, vo, turn_u, turn_v, geo), deepest)
        if k + 1 < count:
            stop = min(stop, _enters(uo, vo, turn_u, turn_v, s, table[k + 1]))
        if stop == np.inf:
            return cast(o, d, heights, pyramids, shapes, table, spans, found)
        per_step = 1.0 / geo[4]
        hit = _march(
            o, d, along, square, s, stop,
            (uo - geo[0]) * per_step, (vo - geo[2]) * per_step,
            turn_u * per_step, turn_v * per_step,
            heights[k], pyramids[k], shapes[k],
        )  # fmt: skip
        if hit >= 0.0:
            found[0] = k
            return float(hit * o[2] / (1.0 - hit * d[2]))
        if hit <= -2.0:
            return cast(o, d, heights, pyramids, shapes, table, spans, found)
        s = max(stop, s + nudge)
    return -1.0


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _leaves(uo: float, vo: float, turn_u: float, turn_v: float, geo: Any) -> float:
    """Where a ray from inside a patch's outline leaves it."""
    at = np.inf
    if turn_u != 0.0:
        at = ((geo[1] if turn_u > 0.0 else geo[0]) - uo) / turn_u
    if turn_v != 0.0:
        at = min(at, ((geo[3] if turn_v > 0.0 else geo[2]) - vo) / turn_v)
    return at


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _enters(uo: float, vo: float, turn_u: float, turn_v: float, s: float, geo: Any) -> float:
    """Where after s a ray from outside a patch's outline enters it; inf: nowhere."""
    enter, leave = s, np.inf
    if turn_u != 0.0:
        a, b = (geo[0] - uo) / turn_u, (geo[1] - uo) / turn_u
        enter, leave = max(enter, min(a, b)), min(leave, max(a, b))
    elif uo < geo[0] or uo > geo[1]:
        return np.inf
    if turn_v != 0.0:
        a, b = (geo[2] - vo) / turn_v, (geo[3] - vo) / turn_v
        enter, leave = max(enter, min(a, b)), min(leave, max(a, b))
    elif vo < geo[2] or vo > geo[3]:
        return np.inf
    return enter if enter < leave else np.inf


@numba.njit(cache=True, nogil=True, error_model="numpy")
def clear_distances(
    first: int,
    last: int,
    rays: Any,
    turn: Any,
    o: Any,
    pyramids: Any,
    shapes: Any,
    table: Any,
    out: Any,
) -> None:
    """Distances up to which rays of blocks of pixels are clear of ground; rows of blocks of out.

    rays: (H, W, 3), camera axes; turn: from there to the surface's. out: (H / BLOCK * 4,
    W / BLOCK * 4), rounded up; pyramids, shapes: `beam_pyramids`. first, last: rows of out, in
    whole blocks of 4.
    """
    inner = BLOCK // INNER
    axis = np.empty(3)
    for row in range(first, last, inner):
        for column in range(0, out.shape[1], inner):
            width = _axis(rays, turn, row * INNER, column * INNER, BLOCK, axis)
            start = _beam(o, axis, width, 0.0, pyramids, shapes, table) if width < 1.0 else 0.0
            for r in range(row, min(row + inner, out.shape[0])):
                for c in range(column, min(column + inner, out.shape[1])):
                    width = _axis(rays, turn, r * INNER, c * INNER, INNER, axis)
                    out[r, c] = start
                    if width < 1.0:
                        out[r, c] = _beam(o, axis, width, start, pyramids, shapes, table)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _axis(rays: Any, turn: Any, row: int, column: int, size: int, axis: Any) -> float:
    """Axis of a block of rays and the largest distance of a ray's unit vector from it."""
    last_row, last_column = min(row + size, rays.shape[0]), min(column + size, rays.shape[1])
    if last_row <= row or last_column <= column:
        return 2.0
    x, y, z = 0.0, 0.0, 0.0
    for r in (row, last_row - 1):
        for c in (column, last_column - 1):
            x, y, z = x + rays[r, c, 0], y + rays[r, c, 1], z + rays[r, c, 2]
    length = math.sqrt(x * x + y * y + z * z)
    x, y, z = x / length, y / length, z / length
    most = 0.0
    for r in range(row, last_row):
        for c in range(column, last_column):
            most = max(
                most, (rays[r, c, 0] - x) ** 2 + (rays[r, c, 1] - y) ** 2 + (rays[r, c, 2] - z) ** 2
            )
    for k in range(3):
        axis[k] = turn[k, 0] * x + turn[k, 1] * y + turn[k, 2] * z
    # A little more, for rounding.
    return math.sqrt(most) * (1.0 + 1e-9) + 1e-12
