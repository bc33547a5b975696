"""Which ground the Sun reaches: each patch is swept once, away from the Sun, along its rays.

Seen from the Moon's centre, sunlight that grazes one point stays in one plane: a straight line in
the patch's gnomonic grid. In that plane rays are parallel, and one that passes over a point at
radius r, where the Sun's elevation is e, keeps the distance r cos(e) from the centre's own ray. So
the largest r cos(e) so far, carried from grid line to grid line away from the Sun, is the edge of
the shadow, the Moon's curvature included; nothing is approximated but the ground between two grid
lines (horizons by scans: Dozier and Frew 1990; along lines instead of grid neighbours, which would
blur them: Timonen and Westerholm 2010). Swept for both limbs of the Sun: between is penumbra.

A finer patch takes the shadow's edge at its border from the patch around it, and lends its own
heights to it, whose shadows may leave it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from trn.moon.constants import REFERENCE_RADIUS_M
from trn.simulate.bands import over_bands
from trn.simulate.raycast import MOST_PATCHES
from trn.simulate.surface import Surface

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

SUN_RADIUS_RAD = math.radians(0.2666)
"""Angular radius of the Sun's disc at 1 astronomical unit."""

# Columns that a ray may pass from one row to the next: more, and the Sun stands overhead, where
# neighbouring rays run in all directions.
_STEEPEST = 3.0


@dataclass(frozen=True)
class Shadows:
    """How far ground is from the edges of the Sun's shadows.

    clearance: a (rows, columns, 3) float32 array a patch (`MOST_PATCHES` of them, as in
    `Surface.packed`): metres by which a sample lies over the ray to the Sun's lower limb that all
    ground towards the Sun lets pass, at right angles to it (negative: that limb is hidden); metres
    along it to the ground that hides it; and the first for the upper limb.
    transposed: rows and columns are those of the patch's transposed grid. backwards: swept towards
    smaller rows.
    """

    clearance: tuple[Array32, ...]
    transposed: bool
    backwards: bool


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _offsets(u: float, v: float, height: float, sun: Any) -> Any:
    """Where a point lies on its ray to the Sun's lower limb, and aside of that to its upper one.

    Metres: beside the ray through the Moon's centre and along it, beside that to the upper limb.
    """
    rise = (u * sun[0] + v * sun[1] + sun[2]) / math.sqrt(1.0 + u * u + v * v)
    level = math.sqrt(max(1.0 - rise * rise, 0.0))
    radius = REFERENCE_RADIUS_M + height
    return (
        radius * (level * sun[3] + rise * sun[4]),
        radius * (rise * sun[3] - level * sun[4]),
        radius * (level * sun[3] - rise * sun[4]),
    )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _edge_outside(
    u: float, v: float, sun: Any, h: Any, geo: Any, clearance: Any, edge: Any
) -> None:
    """Shadow's edge (as `_offsets`) at a place of a patch that has been swept.

    It is the same all along a ray, so it is read where the ray meets the next row: all ground up
    to the place has been passed there.
    """
    row = (v - geo[1]) / geo[2]
    column = (u - geo[0]) / geo[2]
    toward = sun[1] - v * sun[2]
    at = math.floor(row) if toward > 0.0 else math.ceil(row)
    column += (at - row) * (sun[0] - u * sun[2]) / toward
    r = min(max(int(at), 0), h.shape[0] - 1)
    c = min(max(int(column), 0), h.shape[1] - 2)
    f = min(max(column - c, 0.0), 1.0)
    edge[:] = 0.0
    for k in range(2):
        lower, along, upper = _offsets(
            geo[0] + (c + k) * geo[2], geo[1] + r * geo[2], h[r, c + k], sun
        )
        weight = f if k == 1 else 1.0 - f
        edge[0] += weight * (lower - clearance[r, c + k, 0])
        edge[1] += weight * (along + clearance[r, c + k, 1])
        edge[2] += weight * (upper - clearance[r, c + k, 2])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _lines(shape: Any, geo: Any, sun: Any) -> Any:
    """The rays that sweep a grid: column of ray j in row i is (first + j) p + (i - at) m with
    p = 1 - (i - at) k. Returns their number, first, at, k and m; one sample apart where widest.
    """
    rows, columns = shape
    at, k, m = 0, 0.0, 0.0
    for at in (0, rows - 1):
        toward = sun[1] - (geo[1] + at * geo[2]) * sun[2]
        k = geo[2] * sun[2] / toward
        m = (sun[0] - geo[0] * sun[2]) / toward
        if (k >= 0.0) == (at == 0):
            break
    low, high = np.inf, -np.inf
    for row in (0, rows - 1):
        for column in (-1.0, float(columns)):
            ray = (column - (row - at) * m) / (1.0 - (row - at) * k)
            low, high = min(low, ray), max(high, ray)
    first = math.floor(low) - 1.0
    return int(math.ceil(high) - first) + 2, first, at, k, m


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sweep(
    first: int,
    last: int,
    lines: Any,
    sun: Any,
    h: Any,
    geo: Any,
    outer_h: Any,
    outer_geo: Any,
    outer_clearance: Any,
    has_outer: bool,
    clearance: Any,
) -> None:
    """Clearance of the samples between rays first and last.

    sun: towards the Sun, along the grid's columns, rows and up; then cosine and sine of its radius.
    geo: coordinates of sample (0, 0) along columns and rows, and step.
    """
    rows, columns = h.shape
    _, first_ray, at, k, m = lines
    lower, along, upper = np.empty(columns), np.empty(columns), np.empty(columns)
    # Of each ray: as `_offsets`, of the ground that reaches highest.
    edge, edges = np.empty(3), np.zeros((last - first + 1, 3))
    entered = np.zeros(last - first + 1, np.bool_)
    backwards = sun[1] - geo[1] * sun[2] > 0.0
    for i in range(rows):
        row = rows - 1 - i if backwards else i
        v = geo[1] + row * geo[2]
        p, shift = 1.0 - (row - at) * k, (row - at) * m
        start = (first_ray + first) * p + shift
        stop = (first_ray + last) * p + shift
        if stop < -1.0 or start > columns:
            continue
        for c in range(max(0, int(start) - 1), min(columns, int(max(stop, 0.0)) + 3)):
            lower[c], along[c], upper[c] = _offsets(geo[0] + c * geo[2], v, h[row, c], sun)
        near = max(0, int((-1.0 - start) / p))
        far = min(last - first, int((columns - start) / p) + 1)
        if has_outer:
            # The patch around has what lies behind its border.
            for j in range(near, far + 1):
                column = (first_ray + (first + j)) * p + shift
                inside = 0.0 <= column <= columns - 1
                if -1.0 <= column <= columns and not (inside and entered[j]):
                    entered[j] = inside
                    _edge_outside(
                        geo[0] + column * geo[2], v, sun, outer_h, outer_geo, outer_clearance, edge
                    )
                    if edge[0] > edges[j, 0]:
                        edges[j, 0], edges[j, 1] = edge[0], edge[1]
                    edges[j, 2] = max(edges[j, 2], edge[2])
        for c in range(max(0, math.ceil(start)), min(columns, math.ceil(stop))):
            ray = (c - shift) / p - first_ray
            j = min(max(int(ray) - first, 0), last - first - 1)
            f = ray - (first + j)
            clearance[row, c, 0] = lower[c] - (edges[j, 0] + f * (edges[j + 1, 0] - edges[j, 0]))
            clearance[row, c, 1] = edges[j, 1] + f * (edges[j + 1, 1] - edges[j, 1]) - along[c]
            clearance[row, c, 2] = upper[c] - (edges[j, 2] + f * (edges[j + 1, 2] - edges[j, 2]))
        for j in range(near, far + 1):
            column = (first_ray + (first + j)) * p + shift
            if 0.0 <= column <= columns - 1:
                c = min(int(column), columns - 2)
                f = column - c
                reach = lower[c] + f * (lower[c + 1] - lower[c])
                if reach >= edges[j, 0]:
                    edges[j, 0], edges[j, 1] = reach, along[c] + f * (along[c + 1] - along[c])
                edges[j, 2] = max(edges[j, 2], upper[c] + f * (upper[c + 1] - upper[c]))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def visible_fraction(clearance: Any, row: float, column: float, backwards: bool) -> float:
    """Fraction of the Sun's disc seen from a fractional place of a patch, its horizon level.

    backwards: the sweep went towards smaller rows.
    """
    r = min(max(int(row), 0), clearance.shape[0] - 2)
    c = min(max(int(column), 0), clearance.shape[1] - 2)
    fr, fc = row - r, column - c
    # Samples of the row towards the Sun are ground that shades, too: there clearance ends at none.
    if backwards:
        behind, ahead, f = r, r + 1, 1.0 - fr
    else:
        behind, ahead, f = r + 1, r, fr
    w00, w01, w10, w11 = (1 - f) * (1 - fc), (1 - f) * fc, f * (1 - fc), f * fc
    lower = w10 * clearance[behind, c, 0] + w11 * clearance[behind, c + 1, 0]
    upper = w10 * clearance[behind, c, 2] + w11 * clearance[behind, c + 1, 2]
    away = w10 * clearance[behind, c, 1] + w11 * clearance[behind, c + 1, 1]
    for k in range(2):
        weight = w01 if k == 1 else w00
        if clearance[ahead, c + k, 0] < 0.0:
            lower += weight * clearance[ahead, c + k, 0]
            away += weight * clearance[ahead, c + k, 1]
            upper += weight * min(clearance[ahead, c + k, 2], np.float32(0.0))
    if lower >= 0.0:
        return 1.0
    if upper <= 0.0 or away <= 0.0:
        return 0.0
    # Where between the limbs, in radii from the centre, the disc is cut.
    x = min(-1.0 - lower / (away * SUN_RADIUS_RAD), 1.0)
    return float((math.acos(x) - x * math.sqrt(max(1.0 - x * x, 0.0))) / math.pi)


def cast_shadows(surface: Surface, sun: Array, workers: int | None = None) -> Shadows | None:
    """Shadows of the Sun on a surface; None where it stands so high that rays have no one way.

    sun: unit vector towards it, in the surface's axes.
    """
    transposed = _transposed(surface, sun)
    if transposed is None:
        return None
    order = (1, 0, 2) if transposed else (0, 1, 2)
    radius = [math.cos(SUN_RADIUS_RAD), math.sin(SUN_RADIUS_RAD)]
    light = np.concatenate([sun[list(order)], radius])
    heights: list[Array32] = []
    geos: list[Array] = []
    for patch in reversed(surface.patches):
        height = np.array(patch.height_m.T if transposed else patch.height_m, order="C")
        origin = (patch.v0, patch.u0) if transposed else (patch.u0, patch.v0)
        geo = np.array([*origin, patch.step])
        if heights:
            _lend(heights[0], geos[0], height, geo)
        heights.insert(0, height)
        geos.insert(0, geo)
    found: list[Array32] = []
    for k, (height, geo) in enumerate(zip(heights, geos, strict=True)):
        outer = max(k - 1, 0)
        clearance = np.empty((*height.shape, 3), np.float32)
        around = found[outer] if found else clearance
        lines = _lines(height.shape, geo, light)

        def sweep(
            first: int, last: int, k: int = k, outer: int = outer, lines: Any = lines,
            around: Array32 = around, clearance: Array32 = clearance,
        ) -> None:  # fmt: skip
            _sweep(first, last, lines, light, heights[k], geos[k], heights[outer], geos[outer],
                   around, k > 0, clearance)  # fmt: skip

        over_bands(sweep, lines[0] - 1, workers)
        found.append(clearance)
    found += found[:1] * (MOST_PATCHES - len(found))
    return Shadows(tuple(found), transposed, light[1] > geos[0][1] * light[2])


def _transposed(surface: Surface, sun: Array) -> bool | None:
    """Whether columns are to be swept instead of rows; None where neither can be."""
    u_low, u_high, v_low, v_high = surface.patches[0].box
    along_u = sun[0] - np.array([u_low, u_high]) * sun[2]
    along_v = sun[1] - np.array([v_low, v_high]) * sun[2]
    for transposed, (along, across) in enumerate([(along_v, along_u), (along_u, along_v)]):
        one_way = along[0] * along[1] > 0.0
        slant = np.abs(across).max() / max(float(np.abs(along).min()), 1e-12)
        best = np.abs(along).sum() >= np.abs(across).sum()
        if one_way and slant <= _STEEPEST and best:
            return bool(transposed)
    return None


def _lend(finer: Array32, finer_geo: Array, height: Array32, geo: Array) -> None:
    """Put a finer patch's heights into the samples of the patch around it that it has too.

    All samples lie on whole multiples of their step, which are powers of two of one another.
    """
    ratio = round(geo[2] / finer_geo[2])
    inner, outer = [], []
    for axis in (0, 1):
        first = round(geo[1 - axis] / geo[2])
        finer_first = round(finer_geo[1 - axis] / finer_geo[2])
        begin = max(-(-finer_first // ratio), first)
        finer_last = finer_first + finer.shape[axis] - 1
        end = min(finer_last // ratio + 1, first + height.shape[axis])
        outer.append(slice(begin - first, end - first))
        inner.append(slice(begin * ratio - finer_first, (end - 1) * ratio - finer_first + 1, ratio))
    height[tuple(outer)] = finer[tuple(inner)]
