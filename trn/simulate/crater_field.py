"""Where small craters lie: a lattice of cells all around the Moon, each with a stream of its own.

An octave of diameters has bands of latitude, a band has cells, a cell draws its craters from place
and seed alone. `draw_craters` draws on the CPU; kernels/cuda/dig.cu takes a thread a cell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from trn.moon.constants import REFERENCE_RADIUS_M
from trn.simulate.craters import EJECTA_REACH, density_per_km2, oldest_wear
from trn.simulate.noise import mix, next_uniform
from trn.simulate.window import Window

Array = NDArray[np.float64]

BAND = np.dtype(
    [("low_sine", "f8"), ("sine_span", "f8"), ("width", "f8"), ("none_drawn", "f8")]
    + [("diameter_m", "f8"), ("most_wear", "f8"), ("box", "f8", 4), ("word", "u8")]
    + [(name, "i8") for name in ("start", "number", "cells", "first")]
)
"""Cells of one band that reach into a window, as dig.cu has them.

low_sine, sine_span: of latitude. width: of a cell, in longitude. none_drawn: chance that a cell is
empty. word: of the band's seeds. start, number: the first cell and how many, of `cells` all around.
first: how many cells the bands before have.
"""

_CELL_DIAMETERS = 20.0
_BOUND_NODES = 33


@dataclass(frozen=True)
class CraterOctave:
    """Craters of diameter_m to twice that.

    level: its number, from which its seeds come. per_km2: how many. most_wear: of the oldest; ages
    are even.
    """

    level: int
    diameter_m: float
    per_km2: float
    most_wear: float
    seed: np.uint64

    @property
    def cell_rad(self) -> float:
        """Width of a cell of the lattice, and height of a band."""
        return _CELL_DIAMETERS * self.diameter_m / REFERENCE_RADIUS_M

    @property
    def mean_per_cell(self) -> float:
        """Craters of a cell on the equator."""
        return self.per_km2 * (_CELL_DIAMETERS * (self.diameter_m * 1e-3)) ** 2

    def box(self, window: Window) -> Array:
        """Gnomonic coordinates within which its craters reach into a window."""
        # The octave's largest is twice as wide; gnomonic stretch within a patch is small.
        margin = 1.2 * EJECTA_REACH * self.diameter_m / REFERENCE_RADIUS_M
        u_min, u_max, v_min, v_max = window.box
        return np.array([u_min - margin, u_max + margin, v_min - margin, v_max + margin])


@lru_cache(maxsize=256)
def crater_octave(level: int, diameter_m: float, age_gyr: float, seed: np.uint64) -> CraterOctave:
    """Craters of diameter_m to twice that on a surface of an age."""
    diameter_km = diameter_m * 1e-3
    per_km2 = density_per_km2(diameter_km, age_gyr) - density_per_km2(2 * diameter_km, age_gyr)
    return CraterOctave(level, diameter_m, per_km2, oldest_wear(diameter_km, age_gyr), seed)


def drawn(window: Window, octaves: Sequence[CraterOctave]) -> Array:
    """Craters of some octaves that reach into a window: unit vector, diameter and wear each."""
    found = []
    for octave in octaves:
        box = octave.box(window)
        area_km2 = (box[1] - box[0]) * (box[3] - box[2]) * (REFERENCE_RADIUS_M * 1e-3) ** 2
        expected = octave.per_km2 * area_km2
        out = np.empty((int(1.2 * expected + 10.0 * math.sqrt(expected) + 100), 5))
        bands = bands_over(window, [octave])
        found.append(out[: _draw_craters(bands, window.frame, out)])
    return np.concatenate(found)


def bands_over(window: Window, octaves: Sequence[CraterOctave]) -> NDArray[Any]:
    """All cells whose craters may reach into a window, as BAND, in the order of their drawing."""
    reaches = []
    for octave in octaves:
        box, bounds = octave.box(window), np.empty(4)
        _geographic_bounds(window.frame, box, bounds)
        least, most = (math.floor(bounds[k] / octave.cell_rad) for k in range(2))
        reaches.append((octave, box, bounds, least, most - least + 1))
    bands = np.zeros(sum(count for *_, count in reaches), BAND)
    used = 0
    for octave, box, bounds, least, count in reaches:
        used = _lay_out(
            least, count, octave.level, octave.cell_rad, octave.mean_per_cell, octave.diameter_m,
            octave.most_wear, octave.seed, box, bounds, bands, used,
        )  # fmt: skip
    return bands[:used]


@numba.njit(cache=True, nogil=True)
def _lay_out(
    least: int,
    count: int,
    level: int,
    cell_rad: float,
    mean_per_cell: float,
    diameter_m: float,
    most_wear: float,
    seed: np.uint64,
    box: Any,
    bounds: Any,
    bands: Any,
    used: int,
) -> int:
    """Fill in an octave's bands from number `least` on, after `used` ones; how many are now."""
    for k in range(count):
        number = least + k
        low = max(number * cell_rad, -0.5 * math.pi)
        high = min((number + 1) * cell_rad, 0.5 * math.pi)
        if high <= low:
            continue
        cosine = max(math.cos(0.5 * (low + high)), 1e-3)
        cells = max(1, round(2.0 * math.pi * cosine / cell_rad))
        width = 2.0 * math.pi / cells
        share = width * (math.sin(high) - math.sin(low)) / (cell_rad * cell_rad)
        reach = math.ceil(bounds[3] / width) + 1
        middle = math.floor(bounds[2] / width)
        band = bands[used]
        if 2 * reach + 1 >= cells:
            band.start, band.number = 0, cells
        else:
            band.start, band.number = middle - reach, 2 * reach + 1
        band.cells, band.width = cells, width
        band.low_sine, band.sine_span = math.sin(low), math.sin(high) - math.sin(low)
        band.none_drawn = math.exp(-(mean_per_cell * share))
        band.word = mix(mix(seed ^ np.uint64(level + 1)) ^ np.uint64(number + 2**20))
        band.diameter_m, band.most_wear = diameter_m, most_wear
        for side in range(4):
            band.box[side] = box[side]
        band.first = 0
        if used > 0:
            band.first = bands[used - 1].first + bands[used - 1].number
        used += 1
    return used


@numba.njit(cache=True, nogil=True)
def _poisson(none_drawn: float, state: Any) -> int:
    """A Poisson draw by multiplication of uniforms (Knuth 1969); the mean is below about 50."""
    count = 0
    product = next_uniform(state)
    while product > none_drawn:
        count += 1
        product *= next_uniform(state)
    return count


@numba.njit(cache=True, nogil=True)
def _draw_craters(bands: Any, frame: Any, out: Any) -> int:
    """Craters of bands within their boxes; how many were put into out.

    out columns: unit vector, diameter, wear.
    """
    count = 0
    state = np.empty(1, np.uint64)
    for k in range(len(bands)):
        band = bands[k]
        for place in range(band.start, band.start + band.number):
            cell = place % band.cells
            state[0] = mix(band.word ^ np.uint64(cell + 2**40))
            for _ in range(_poisson(band.none_drawn, state)):
                sine = band.low_sine + next_uniform(state) * band.sine_span
                longitude = (cell + next_uniform(state)) * band.width
                # Cumulative density falls as D^-2 within the octave.
                size = band.diameter_m / math.sqrt(1.0 - 0.75 * next_uniform(state))
                wear = band.most_wear * next_uniform(state)
                cosine_lat = math.sqrt(1.0 - sine * sine)
                x, y, z = cosine_lat * math.cos(longitude), cosine_lat * math.sin(longitude), sine
                up = frame[2, 0] * x + frame[2, 1] * y + frame[2, 2] * z
                if up <= 0.1:
                    continue
                u = (frame[0, 0] * x + frame[0, 1] * y + frame[0, 2] * z) / up
                v = (frame[1, 0] * x + frame[1, 1] * y + frame[1, 2] * z) / up
                box = band.box
                if u < box[0] or u > box[1] or v < box[2] or v > box[3]:
                    continue
                if count == out.shape[0]:
                    return count
                out[count, 0], out[count, 1], out[count, 2] = x, y, z
                out[count, 3], out[count, 4] = size, wear
                count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _geographic_bounds(frame: Any, box: Any, out: Any) -> None:
    """Lowest and highest latitude, middle longitude and half width of a gnomonic box, radians."""
    across, along = box[1] - box[0], box[3] - box[2]
    u, v = 0.5 * (box[0] + box[1]), 0.5 * (box[2] + box[3])
    middle = math.atan2(
        frame[2, 1] + u * frame[0, 1] + v * frame[1, 1],
        frame[2, 0] + u * frame[0, 0] + v * frame[1, 0],
    )
    low, high, half = math.inf, -math.inf, 0.0
    for row in range(_BOUND_NODES):
        v = box[2] + along * row / (_BOUND_NODES - 1)
        for column in range(_BOUND_NODES):
            u = box[0] + across * column / (_BOUND_NODES - 1)
            x = frame[2, 0] + u * frame[0, 0] + v * frame[1, 0]
            y = frame[2, 1] + u * frame[0, 1] + v * frame[1, 1]
            z = frame[2, 2] + u * frame[0, 2] + v * frame[1, 2]
            latitude = math.atan2(z, math.sqrt(x * x + y * y))
            low, high = min(low, latitude), max(high, latitude)
            apart = abs(math.atan2(y, x) - middle)
            half = max(half, min(apart, 2.0 * math.pi - apart))
    spare = 0.5 * max(across, along)
    low, high = low - spare, high + spare
    # A pole inside the box: every longitude may occur.
    if max(abs(low), abs(high)) > math.radians(89.0) or half > 2.0:
        half = math.pi
        low = -0.5 * math.pi if low < -math.radians(85.0) else low
        high = 0.5 * math.pi if high > math.radians(85.0) else high
    out[0], out[1], out[2] = low, high, middle
    out[3] = half + spare / max(math.cos(max(abs(low), abs(high))), 0.02)
