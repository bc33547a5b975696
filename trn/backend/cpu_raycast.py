"""Rays against terrain on a gnomonic grid: the CPU's kernels.

A ray o + t d has the grid coordinates X = (o_x + t d_x) / (o_z + t d_z), so the t at which it
crosses a grid line X = c is (o_x - c o_z) / (c d_z - d_x): cells are visited exactly. A node of the
max-height pyramid is skipped when the ray stays above it everywhere, else it is opened; in a single
cell the clearance above the bilinear surface is nearly a quadratic of t, so its first root decides:
no ridge is stepped over, however grazing the ray. It is off by centimetres where a steep ray takes
a kilometre through a cell; a Newton step mends that.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.backend.protocol import HIT, HOLE, OUTSIDE, SKY, PixelGrid, Surface
from trn.camera import Camera

FAR = 1.0e300
TINY = 1.0e-13
START_LEVEL = 4
NEWTON_SHARE = 0.01
"""Most of the way through a cell that a Newton step may go: a ray that grazes is left as it is."""


def pack_pyramid(
    maxima: tuple[NDArray[np.float32], ...],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All levels in one array; for each level its offset, rows and columns, int64 (levels, 3)."""
    shapes = np.zeros((len(maxima), 3), dtype=np.int64)
    offset = 0
    for level, values in enumerate(maxima):
        shapes[level] = (offset, values.shape[0], values.shape[1])
        offset += values.size
    return np.concatenate([values.ravel() for values in maxima]), shapes


def grid_of(surface: Surface) -> NDArray[np.float64]:
    """x0, y0, step and radius of a surface as the kernels take them."""
    return np.array([surface.x0, surface.y0, surface.step, surface.radius_m])


@lru_cache(maxsize=8)
def pixel_rays(camera: Camera) -> NDArray[np.float64]:
    """Unit rays of every pixel's centre, camera axes, float64 (height * width, 3), row by row.

    NaN where the lens sees nothing. Read-only: it is kept, for a view at every scale.
    """
    return PixelGrid(0, 0, 1, camera.height, camera.width).rays(camera)


@njit(cache=True, nogil=True)
def turned_rays(rays: NDArray[np.float64], turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rays (N, 3) as a rotation (3, 3) takes them: far faster than the product of such matrices."""
    result = np.empty_like(rays)
    for n in range(rays.shape[0]):
        x, y, z = rays[n, 0], rays[n, 1], rays[n, 2]
        for i in range(3):
            result[n, i] = turn[i, 0] * x + turn[i, 1] * y + turn[i, 2] * z
    return result


@njit(cache=True, nogil=True)
def _clearance(
    t: float,
    along: float,
    origin_squared: float,
    o: Any,
    dx: float,
    dy: float,
    dz: float,
    heights: Any,
    grid: Any,
    ix: int,
    iy: int,
) -> float:
    """Height of the ray's point above the bilinear surface of one cell, in metres."""
    z = o[2] + t * dz
    u = ((o[0] + t * dx) / z - grid[0]) / grid[2] - ix
    v = ((o[1] + t * dy) / z - grid[1]) / grid[2] - iy
    h00 = heights[iy, ix]
    h01 = heights[iy, ix + 1]
    h10 = heights[iy + 1, ix]
    h11 = heights[iy + 1, ix + 1]
    h = h00 + u * (h01 - h00) + v * (h10 - h00) + u * v * (h11 - h10 - h01 + h00)
    above: float = np.sqrt(origin_squared + t * (2.0 * along + t)) - grid[3] - h
    return above


@njit(cache=True, nogil=True)
def _cast(
    o: Any,
    dx: float,
    dy: float,
    dz: float,
    t_from: float,
    heights: Any,
    maxima: Any,
    shapes: Any,
    grid: Any,
) -> tuple[float, int]:
    """Range of the first hit beyond t_from, and the state (HIT, SKY, OUTSIDE)."""
    levels = shapes.shape[0]
    rows = shapes[0, 1]
    columns = shapes[0, 2]
    radius = grid[3]
    top = radius + maxima[shapes[levels - 1, 0]]
    along = o[0] * dx + o[1] * dy + o[2] * dz
    origin_squared = o[0] * o[0] + o[1] * o[1] + o[2] * o[2]
    discriminant = along * along - origin_squared + top * top
    if discriminant <= 0.0:
        return np.nan, SKY
    root = np.sqrt(discriminant)
    t_last = -along + root
    t = max(-along - root, t_from)
    if t >= t_last:
        return np.nan, SKY
    # The grid holds the half-space in front of its centre only.
    z = o[2] + t * dz
    if z <= 0.0:
        return np.nan, OUTSIDE
    if dz < 0.0:
        t_last = min(t_last, (1.0e-3 * radius - o[2]) / dz)
    # Directions of travel over the grid do not change: (X', Y') ~ (dx z - x dz, dy z - y dz).
    travel_x = dx * o[2] - o[0] * dz
    travel_y = dy * o[2] - o[1] * dz
    fx = ((o[0] + t * dx) / z - grid[0]) / grid[2]
    fy = ((o[1] + t * dy) / z - grid[1]) / grid[2]
    ix = int(np.floor(fx))
    iy = int(np.floor(fy))
    if ix < 0 or iy < 0 or ix >= columns or iy >= rows:
        return np.nan, OUTSIDE
    level = min(START_LEVEL, levels - 1)
    while True:
        cx = ix >> level
        cy = iy >> level
        size = 1 << level
        # Where the ray leaves this node of the pyramid.
        t_x = FAR
        if travel_x != 0.0:
            edge = min(cx * size + size, columns) if travel_x > 0.0 else cx * size
            c = grid[0] + edge * grid[2]
            slope = c * dz - dx
            if slope != 0.0:
                t_x = (o[0] - c * o[2]) / slope
                if t_x < t:
                    # Behind: at the edge already, or an edge that the ray only tends to.
                    gap = (o[0] + t * dx) / (o[2] + t * dz) - c
                    t_x = t if gap * travel_x >= -TINY * abs(travel_x) else FAR
        t_y = FAR
        if travel_y != 0.0:
            edge = min(cy * size + size, rows) if travel_y > 0.0 else cy * size
            c = grid[1] + edge * grid[2]
            slope = c * dz - dy
            if slope != 0.0:
                t_y = (o[1] - c * o[2]) / slope
                if t_y < t:
                    # Behind: at the edge already, or an edge that the ray only tends to.
                    gap = (o[1] + t * dy) / (o[2] + t * dz) - c
                    t_y = t if gap * travel_y >= -TINY * abs(travel_y) else FAR
        leaves_x = t_x <= t_y
        t_exit = min(max(min(t_x, t_y), t), t_last)
        nearest = min(max(-along, t), t_exit)
        lowest = origin_squared + nearest * (2.0 * along + nearest)
        ceiling = radius + maxima[shapes[level, 0] + cy * shapes[level, 2] + cx]
        if lowest <= ceiling * ceiling:
            if level > 0:
                level -= 1
                continue
            if t_exit > t:
                middle = 0.5 * (t + t_exit)
                c0 = _clearance(t, along, origin_squared, o, dx, dy, dz, heights, grid, ix, iy)
                cm = _clearance(middle, along, origin_squared, o, dx, dy, dz, heights, grid, ix, iy)
                c1 = _clearance(t_exit, along, origin_squared, o, dx, dy, dz, heights, grid, ix, iy)
                if c0 <= 0.0:
                    return t, HIT
                a = 2.0 * (c0 + c1 - 2.0 * cm)
                b = -3.0 * c0 + 4.0 * cm - c1
                square = b * b - 4.0 * a * c0
                if square >= 0.0:
                    fall = np.sqrt(square)
                    below = -b + fall
                    if below > 0.0:
                        s = 2.0 * c0 / below
                        if s <= 1.0:
                            through = t_exit - t
                            hit = t + s * through
                            c = _clearance(
                                hit, along, origin_squared, o, dx, dy, dz, heights, grid, ix, iy
                            )
                            # The quadratic falls by so much, over the cell, at its root.
                            if abs(c) < NEWTON_SHARE * fall:
                                hit += c * through / fall
                            return hit, HIT
        if t_exit >= t_last:
            return np.nan, SKY
        # Step into the neighbour; the other index follows the ray, kept inside this node.
        t = t_exit
        z = o[2] + t * dz
        if leaves_x:
            ix = cx * size + size if travel_x > 0.0 else cx * size - 1
            iy_new = int(np.floor(((o[1] + t * dy) / z - grid[1]) / grid[2]))
            iy = min(max(iy_new, cy * size), min(cy * size + size, rows) - 1)
        else:
            iy = cy * size + size if travel_y > 0.0 else cy * size - 1
            ix_new = int(np.floor(((o[0] + t * dx) / z - grid[0]) / grid[2]))
            ix = min(max(ix_new, cx * size), min(cx * size + size, columns) - 1)
        if ix < 0 or iy < 0 or ix >= columns or iy >= rows:
            return np.nan, OUTSIDE
        # Widen the step only on leaving the parent: inside it the parent is known to be too high.
        left_parent = (ix >> level + 1) != (cx >> 1) or (iy >> level + 1) != (cy >> 1)
        if left_parent and level < levels - 1:
            level += 1


@njit(cache=True, nogil=True)
def cast_rays(
    origins: Any,
    rays: Any,
    heights: Any,
    hole: Any,
    maxima: Any,
    shapes: Any,
    grid: Any,
    range_m: Any,
    column: Any,
    row: Any,
    state: Any,
) -> None:
    """Fill range, node coordinates and state for each ray, (N, 3), from its origin, (N or 1, 3)."""
    for k in range(rays.shape[0]):
        origin = origins[min(k, origins.shape[0] - 1)]
        dx, dy, dz = rays[k, 0], rays[k, 1], rays[k, 2]
        range_m[k] = np.nan
        column[k] = np.nan
        row[k] = np.nan
        if not np.isfinite(dx + dy + dz):
            state[k] = SKY
            continue
        t, what = _cast(origin, dx, dy, dz, 0.0, heights, maxima, shapes, grid)
        if what == HIT:
            z = origin[2] + t * dz
            fx = ((origin[0] + t * dx) / z - grid[0]) / grid[2]
            fy = ((origin[1] + t * dy) / z - grid[1]) / grid[2]
            ix = min(max(int(np.floor(fx)), 0), heights.shape[1] - 2)
            iy = min(max(int(np.floor(fy)), 0), heights.shape[0] - 2)
            if hole[iy, ix] or hole[iy, ix + 1] or hole[iy + 1, ix] or hole[iy + 1, ix + 1]:
                what = HOLE
            else:
                range_m[k] = t
                column[k] = fx
                row[k] = fy
        state[k] = what


@njit(cache=True, nogil=True)
def cast_shadows(
    first_row: int,
    sun: Any,
    heights: Any,
    maxima: Any,
    shapes: Any,
    grid: Any,
    lit: Any,
) -> None:
    """Fill the rows of `lit` (a band from first_row on): 1 where the Sun is seen, else 0."""
    rows, columns = heights.shape
    o = np.empty(3)
    for i in range(lit.shape[0]):
        iy = first_row + i
        y = grid[1] + iy * grid[2]
        for ix in range(columns):
            x = grid[0] + ix * grid[2]
            h = heights[iy, ix]
            norm = 1.0 / np.sqrt(1.0 + x * x + y * y)
            # Attached shadow: the surface itself faces away from the Sun.
            left, right = max(ix - 1, 0), min(ix + 1, columns - 1)
            above, below = max(iy - 1, 0), min(iy + 1, rows - 1)
            scale = (grid[3] + h) * norm
            slope_x = (heights[iy, right] - heights[iy, left]) / ((right - left) * grid[2] * scale)
            slope_y = (heights[below, ix] - heights[above, ix]) / (
                (below - above) * grid[2] * scale
            )
            facing = (
                (x * norm - slope_x) * sun[0]
                + (y * norm - slope_y) * sun[1]
                + (norm + slope_x * x + slope_y * y) * sun[2]
            )
            if facing <= 0.0:
                lit[i, ix] = 0.0
                continue
            # A ray that starts on the surface must not hit the very cell it starts in.
            radius = grid[3] + h + 0.5
            o[0] = x * norm * radius
            o[1] = y * norm * radius
            o[2] = norm * radius
            start = 0.5 * grid[2] * grid[3]
            _, what = _cast(o, sun[0], sun[1], sun[2], start, heights, maxima, shapes, grid)
            lit[i, ix] = 0.0 if what == HIT else 1.0


@njit(cache=True, nogil=True)
def shade_hits(
    origin: Any,
    sun: Any,
    heights: Any,
    lit: Any,
    grid: Any,
    column: Any,
    row: Any,
    state: Any,
    radiance: Any,
    lit_at: Any,
) -> None:
    """Lunar-Lambert radiance factor at hits (McEwen 1991; phase polynomial McEwen 1996)."""
    rows, columns = heights.shape
    for k in range(column.size):
        radiance[k] = np.nan
        lit_at[k] = np.nan
        if state[k] != HIT:
            continue
        ix = min(max(int(column[k]), 0), columns - 2)
        iy = min(max(int(row[k]), 0), rows - 2)
        u = column[k] - ix
        v = row[k] - iy
        # Height and its central differences at the four corners, blended: continuous slopes.
        h = 0.0
        slope_x = 0.0
        slope_y = 0.0
        light = 0.0
        for j in range(2):
            for i in range(2):
                weight = (u if i else 1.0 - u) * (v if j else 1.0 - v)
                cx, cy = ix + i, iy + j
                left, right = max(cx - 1, 0), min(cx + 1, columns - 1)
                above, below = max(cy - 1, 0), min(cy + 1, rows - 1)
                h += weight * heights[cy, cx]
                slope_x += weight * (heights[cy, right] - heights[cy, left]) / (right - left)
                slope_y += weight * (heights[below, cx] - heights[above, cx]) / (below - above)
                light += weight * lit[cy, cx]
        x = grid[0] + column[k] * grid[2]
        y = grid[1] + row[k] * grid[2]
        norm = 1.0 / np.sqrt(1.0 + x * x + y * y)
        radius = grid[3] + h
        slope_x /= grid[2] * radius * norm
        slope_y /= grid[2] * radius * norm
        # Gradient of |p| - R - h(X(p), Y(p)), with grad X = (1, 0, -X) / p_z.
        nx = x * norm - slope_x
        ny = y * norm - slope_y
        nz = norm + slope_x * x + slope_y * y
        length = np.sqrt(nx * nx + ny * ny + nz * nz)
        ex = origin[0] - x * norm * radius
        ey = origin[1] - y * norm * radius
        ez = origin[2] - norm * radius
        distance = np.sqrt(ex * ex + ey * ey + ez * ez)
        cos_i = (nx * sun[0] + ny * sun[1] + nz * sun[2]) / length
        cos_e = (nx * ex + ny * ey + nz * ez) / (length * distance)
        cos_phase = (ex * sun[0] + ey * sun[1] + ez * sun[2]) / distance
        lit_at[k] = light
        if cos_i <= 0.0:
            radiance[k] = 0.0
            continue
        phase = np.degrees(np.arccos(min(max(cos_phase, -1.0), 1.0)))
        share = 1.0 + phase * (-0.019 + phase * (2.42e-4 - 1.46e-6 * phase))
        share = min(max(share, 0.0), 1.0)
        cos_e = max(cos_e, 0.02)
        radiance[k] = light * (2.0 * share * cos_i / (cos_i + cos_e) + (1.0 - share) * cos_i)
