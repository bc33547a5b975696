"""Kernels that fill a patch: the interpolated map, fractal octaves, small craters."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from trn.moon.constants import REFERENCE_RADIUS_M
from trn.simulate.craters import laid_out, stamp_laid_out
from trn.simulate.noise import lattice_noise


@numba.njit(cache=True, nogil=True)
def _mirrored(index: int, count: int) -> int:
    """Index folded back into the grid, the edge pixel not repeated."""
    period = 2 * (count - 1)
    index = index % period
    return index if index < count else period - index


@numba.njit(cache=True, nogil=True)
def _cubic(f: float, w: Any) -> None:
    """Weights of Catmull-Rom interpolation (Keys 1981, a = -1/2)."""
    w[0] = f * (-0.5 + f * (1.0 - 0.5 * f))
    w[1] = 1.0 + f * f * (-2.5 + 1.5 * f)
    w[2] = f * (0.5 + f * (2.0 - 1.5 * f))
    w[3] = f * f * (-0.5 + 0.5 * f)


@numba.njit(cache=True, nogil=True)
def fill_map(
    out: Any,
    first: int,
    last: int,
    frame: Any,
    u0: float,
    v0: float,
    step: float,
    native: Any,
    geo: Any,
    periodic: bool,
) -> None:
    """Rows first <= row < last of a patch from the map alone, by Catmull-Rom interpolation.

    geo: latitude and longitude of pixel (0, 0) and their steps, radians. Past the map's border the
    ground goes on as its mirror image.
    """
    rows, columns = native.shape
    middle = geo[1] + 0.5 * (columns - 1) * geo[3]
    wr, wc = np.empty(4), np.empty(4)
    for row in range(first, last):
        v = v0 + row * step
        for column in range(out.shape[1]):
            u = u0 + column * step
            x = frame[2, 0] + u * frame[0, 0] + v * frame[1, 0]
            y = frame[2, 1] + u * frame[0, 1] + v * frame[1, 1]
            z = frame[2, 2] + u * frame[0, 2] + v * frame[1, 2]
            latitude = math.atan2(z, math.sqrt(x * x + y * y))
            from_middle = math.atan2(y, x) - middle
            from_middle -= 2.0 * math.pi * math.floor(from_middle / (2.0 * math.pi) + 0.5)
            at_row = (latitude - geo[0]) / geo[2]
            at_column = 0.5 * (columns - 1) + from_middle / geo[3]
            base_row, base_column = math.floor(at_row), math.floor(at_column)
            _cubic(at_row - base_row, wr)
            _cubic(at_column - base_column, wc)
            ir, ic = int(base_row), int(base_column)
            height = 0.0
            inner = 1 <= ir < rows - 2 and 1 <= ic < columns - 2
            for a in range(4):
                r = ir - 1 + a
                if not inner:
                    r = _mirrored(r, rows)
                line = 0.0
                for b in range(4):
                    c = ic - 1 + b
                    if not inner:
                        c = c % columns if periodic else _mirrored(c, columns)
                    line += wc[b] * native[r, c]
                height += wr[a] * line
            out[row, column] = height


@numba.njit(cache=True, nogil=True)
def refine(coarse: Any, row_shift: int, column_shift: int, out: Any, first: int, last: int) -> None:
    """Rows of a grid of half the step: coarse samples kept, those between them by (-1 9 9 -1) / 16.

    Sample (row, column) of out lies at ((row + row_shift) / 2, (column + column_shift) / 2) of
    coarse, which must reach two samples farther on all sides. Four-point subdivision (Dyn, Levin
    and Gregory 1987).
    """
    lines = np.empty((2, coarse.shape[1]), np.float32)
    near, far = np.float32(9.0 / 16.0), np.float32(-1.0 / 16.0)
    for row in range(first, last):
        line = lines[0]
        r = (row + row_shift) >> 1
        if (row + row_shift) & 1:
            for c in range(coarse.shape[1]):
                line[c] = near * (coarse[r, c] + coarse[r + 1, c]) + far * (
                    coarse[r - 1, c] + coarse[r + 2, c]
                )
        else:
            for c in range(coarse.shape[1]):
                line[c] = coarse[r, c]
        for column in range(out.shape[1]):
            c = (column + column_shift) >> 1
            if (column + column_shift) & 1:
                out[row, column] = near * (line[c] + line[c + 1]) + far * (
                    line[c - 1] + line[c + 2]
                )
            else:
                out[row, column] = line[c]


@numba.njit(cache=True, nogil=True)
def add_octaves(
    out: Any,
    first: int,
    last: int,
    frame: Any,
    u0: float,
    v0: float,
    step: float,
    strength: Any,
    decay: Any,
    first_octave: int,
    octaves: int,
    lattice_m: float,
    regolith_octave: int,
    regolith_decay: float,
    seed: np.uint64,
) -> None:
    """Add fractal relief, octaves first_octave to octaves - 1, to rows of a patch.

    lattice_m: of octave 0, halved with each. strength (metres, of octave 0) and decay (factor from
    each octave to the next, up to regolith_octave; from there regolith_decay) are held at nodes
    that span the patch evenly, corner to corner.
    """
    count = octaves - first_octave
    gradients = np.empty((count, 8, 3))
    cells = np.full((count, 3), np.int64(-(2**62)))
    row_scale = (strength.shape[0] - 1) / max(out.shape[0] - 1, 1)
    column_scale = (strength.shape[1] - 1) / max(out.shape[1] - 1, 1)
    for row in range(first, last):
        v = v0 + row * step
        r = min(int(row * row_scale), strength.shape[0] - 2)
        fr = row * row_scale - r
        for column in range(out.shape[1]):
            u = u0 + column * step
            c = min(int(column * column_scale), strength.shape[1] - 2)
            fc = column * column_scale - c
            w00, w01, w10, w11 = (1 - fr) * (1 - fc), (1 - fr) * fc, fr * (1 - fc), fr * fc
            amplitude = (
                w00 * strength[r, c]
                + w01 * strength[r, c + 1]
                + w10 * strength[r + 1, c]
                + w11 * strength[r + 1, c + 1]
            )
            factor = (
                w00 * decay[r, c]
                + w01 * decay[r, c + 1]
                + w10 * decay[r + 1, c]
                + w11 * decay[r + 1, c + 1]
            )
            per_lattice = REFERENCE_RADIUS_M / lattice_m / math.sqrt(1.0 + u * u + v * v)
            for k in range(first_octave):
                amplitude *= factor if k < regolith_octave else regolith_decay
                per_lattice *= 2.0
            x = frame[2, 0] + u * frame[0, 0] + v * frame[1, 0]
            y = frame[2, 1] + u * frame[0, 1] + v * frame[1, 1]
            z = frame[2, 2] + u * frame[0, 2] + v * frame[1, 2]
            height = 0.0
            for k in range(count):
                height += amplitude * lattice_noise(
                    x * per_lattice,
                    y * per_lattice,
                    z * per_lattice,
                    seed + np.uint64(first_octave + k),
                    gradients[k],
                    cells[k],
                )
                amplitude *= factor if first_octave + k < regolith_octave else regolith_decay
                per_lattice *= 2.0
            out[row, column] += height


@numba.njit(cache=True, nogil=True)
def stamp_all(
    out: Any,
    first: int,
    last: int,
    frame: Any,
    u0: float,
    v0: float,
    step: float,
    craters: Any,
    strength: float,
) -> None:
    """Stamp craters (rows as `crater_field.drawn` has them) into rows of a patch."""
    shape, reach = np.empty(9), np.empty(4, np.int64)
    for k in range(craters.shape[0]):
        if laid_out(frame, u0, v0, step, first, last, out.shape[1], craters[k, :3], craters[k, 3],
                    strength, craters[k, 4], shape, reach):  # fmt: skip
            stamp_laid_out(out, u0, v0, step, shape, reach)
