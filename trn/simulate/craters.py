"""Impact craters: how many, how deep, and their shape stamped into a grid of heights.

Small craters follow the production function of Neukum et al. (2001) up to where they reach
the equilibrium density of Trask (1966); each is given an age, fresh to nearly gone. Shapes follow
Pike (1977): bowls below about 15 km, flat floors and central peaks above.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from trn.moon.constants import REFERENCE_RADIUS_M
from trn.simulate.noise import mix, next_uniform

Array = NDArray[np.float64]

# Neukum, Ivanov and Hartmann (2001), Table 1: log10 of the number of craters larger than D km
# per km2 after 1 Gyr is the polynomial in log10 D.
_PRODUCTION = (
    -3.0876, -3.557528, 0.781027, 1.021521, -0.156012, -0.444058,
    0.019977, 0.086850, -0.005874, -0.006809, 8.25e-4, 5.54e-5,
)  # fmt: skip

_LEAST_PRODUCTION_KM = 0.01

EJECTA_REACH = 2.5
"""Radii from a crater's centre beyond which its ejecta are left out."""


def production_per_km2(diameter_km: float, age_gyr: float) -> float:
    """Craters larger than a diameter per km2 on a surface of an age (Neukum et al. 2001).

    Below 10 m, where their polynomial ends, the number goes on with D^-3.
    """
    x = math.log10(max(diameter_km, _LEAST_PRODUCTION_KM))
    after_1_gyr = 10.0 ** sum(a * x**k for k, a in enumerate(_PRODUCTION))
    after_1_gyr *= min(diameter_km / _LEAST_PRODUCTION_KM, 1.0) ** -3
    # Their Eq. 5: cumulative number of 1 km craters against age.
    chronology = 5.44e-14 * (math.exp(6.93 * age_gyr) - 1.0) + 8.38e-4 * age_gyr
    return float(after_1_gyr * chronology / 8.38e-4)


def equilibrium_per_km2(diameter_km: float) -> float:
    """Craters larger than a diameter per km2 where new ones wipe out old ones (Trask 1966)."""
    return float(10.0**-1.1 * (diameter_km * 1e3) ** -2.0 * 1e6)


def density_per_km2(diameter_km: float, age_gyr: float) -> float:
    """Craters larger than a diameter per km2: production, held down to equilibrium."""
    return min(production_per_km2(diameter_km, age_gyr), equilibrium_per_km2(diameter_km))


@numba.njit(cache=True, nogil=True)
def profile_m(radius_fraction: float, diameter_m: float) -> float:
    """Height of a fresh crater against its surroundings at a distance from its centre.

    radius_fraction: distance over rim radius. Depth, rim height, floor and peak after
    Pike (1977): simple d = 0.196 D^1.01, h = 0.036 D^1.014; complex d = 1.044 D^0.301,
    h = 0.236 D^0.399, floor 0.187 D^1.249 (km). Zero beyond EJECTA_REACH.
    """
    r = radius_fraction
    if r >= EJECTA_REACH:
        return 0.0
    diameter_km = diameter_m * 1e-3
    depth = 1e3 * min(0.196 * diameter_km**1.01, 1.044 * diameter_km**0.301)
    rim = 36.0 * diameter_km**1.014 if diameter_km < 17.0 else 236.0 * diameter_km**0.399
    if r >= 1.0:
        # Ejecta fall off with the cube (McGetchin et al. 1973), brought smoothly to zero.
        fade = (EJECTA_REACH - r) / (EJECTA_REACH - 1.0)
        return float(rim * r**-3.0 * fade * fade * (3.0 - 2.0 * fade))
    if diameter_km < 15.0:
        return float(rim - depth * (1.0 - r * r))
    floor = min(0.187 * diameter_km**0.249, 0.8)
    if r > floor:
        s = (r - floor) / (1.0 - floor)
        # Terraced walls, smoothed: steep under the rim, gentle at the foot.
        return float(rim - depth * (1.0 - s**1.6))
    peak = 0.0
    if diameter_km > 25.0:
        peak = 0.2 * depth * math.exp(-((r / 0.12) ** 2))
    return float(rim - depth + peak)


@numba.njit(cache=True, nogil=True)
def stamp(
    height_m: Any,
    frame: Any,
    u0: float,
    v0: float,
    step: float,
    centre: Any,
    diameter_m: float,
    strength: float,
    first: int,
    last: int,
) -> None:
    """Add one crater to rows first <= row < last of a gnomonic grid of heights, in place.

    frame: rows east, north, up of the grid's centre; sample (row, column) lies in the direction
    up + (u0 + column step) east + (v0 + row step) north. centre: unit vector. strength: 1
    fresh, towards 0 worn.
    """
    radius_m = 0.5 * diameter_m
    east = frame[0, 0] * centre[0] + frame[0, 1] * centre[1] + frame[0, 2] * centre[2]
    north = frame[1, 0] * centre[0] + frame[1, 1] * centre[1] + frame[1, 2] * centre[2]
    up = frame[2, 0] * centre[0] + frame[2, 1] * centre[1] + frame[2, 2] * centre[2]
    if up <= 0.1:
        return
    u, v = east / up, north / up
    stretch = 1.0 + u * u + v * v
    reach = EJECTA_REACH * radius_m / REFERENCE_RADIUS_M * stretch * 1.01
    row_a = max(first, math.ceil((v - reach - v0) / step))
    row_b = min(last - 1, math.floor((v + reach - v0) / step))
    column_a = max(0, math.ceil((u - reach - u0) / step))
    column_b = min(height_m.shape[1] - 1, math.floor((u + reach - u0) / step))
    for row in range(row_a, row_b + 1):
        sv = v0 + row * step
        for column in range(column_a, column_b + 1):
            su = u0 + column * step
            # Angle between sample and centre from the cross product: exact for small angles.
            cross_x = su * up - east
            cross_y = sv * up - north
            cross_z = su * north - sv * east
            norm = math.sqrt(1.0 + su * su + sv * sv)
            sine = math.sqrt(cross_x * cross_x + cross_y * cross_y + cross_z * cross_z) / norm
            r = REFERENCE_RADIUS_M * math.asin(min(sine, 1.0)) / radius_m
            if r < EJECTA_REACH:
                height_m[row, column] += strength * profile_m(r, diameter_m)


@numba.njit(cache=True, nogil=True)
def poisson(mean: float, state: Any) -> int:
    """A Poisson draw by multiplication of uniforms (Knuth 1969); mean below about 50."""
    limit = math.exp(-mean)
    count = 0
    product = next_uniform(state)
    while product > limit:
        count += 1
        product *= next_uniform(state)
    return count


@numba.njit(cache=True, nogil=True)
def place_seed(seed: np.uint64, level: int, band: int, cell: int) -> np.uint64:
    """The random stream's seed of one cell of the crater lattice."""
    word = mix(seed ^ np.uint64(level + 1))
    word = mix(word ^ np.uint64(band + 2**20))
    return mix(word ^ np.uint64(cell + 2**40))
