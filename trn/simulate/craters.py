"""Impact craters: how many, how deep, and their shape stamped into a grid of heights.

Small craters follow the production function of Neukum et al. (2001) up to where they reach
the equilibrium density of Trask (1966). Fresh shapes follow Pike (1977): bowls below about
15 km, flat floors and central peaks above. Impacts too small to see wear them as diffusion would
(Soderblom 1970; Fassett and Thomson 2014, JGR Planets 119, 2255): the bowl shallows, the rim rounds
and sinks. The measure of age is wear = kappa t / D^2.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_banded

from trn.moon.constants import REFERENCE_RADIUS_M

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

OLDEST_WEAR = 0.04
"""Wear (kappa t / D^2) at which a crater is no longer counted, its depth 0.066 D of once 0.2 D.

Ages even up to there give a mean depth of 0.11 D; 0.11 to 0.13 D are measured at 40 to 200 m
(Mahanti et al. 2018, Icarus 299, 475; Stopar et al. 2017, Icarus 298, 34).
"""


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


def oldest_wear(diameter_km: float, age_gyr: float) -> float:
    """Wear of the oldest craters of a size on a surface of an age.

    In equilibrium that is when a crater stops being counted. Larger ones are as old as the surface,
    and the time for which they would be counted is to its age as equilibrium to production.
    """
    made = production_per_km2(diameter_km, age_gyr)
    return OLDEST_WEAR * min(made / equilibrium_per_km2(diameter_km), 1.0)


def _worn_shapes() -> Array:
    """Unit crater parts after diffusion, shape (wears, squared radii, 2): rim and bowl.

    Samples are evenly spaced in the root of wear (the length that diffusion has reached) and in
    the square of the radius (in which the bowl is straight). dh/dt = kappa lap(h) is linear, so
    that rim with ejecta and bowl are worn apart, and summed with the depths of any crater. Solved
    by implicit steps on rings of volume, rim radius 1, no flow through the outer one.
    """
    outer, ring = 8.0, 1.0 / 128.0
    count = round(outer / ring)
    radius = (np.arange(count) + 0.5) * ring
    fade = np.clip((EJECTA_REACH - radius) / (EJECTA_REACH - 1.0), 0.0, 1.0)
    # Ejecta fall off with the cube (McGetchin et al. 1973), brought smoothly to zero.
    rim = np.where(radius < 1.0, 1.0, radius**-3.0 * fade**2 * (3.0 - 2.0 * fade))
    bowl = np.maximum(1.0 - radius**2, 0.0)
    height = np.stack([rim, bowl], axis=1)
    edge = np.arange(1, count) * ring
    outward = np.append(edge / (radius[:-1] * ring**2), 0.0)
    inward = np.append(0.0, edge / (radius[1:] * ring**2))

    squared = np.linspace(0.0, EJECTA_REACH**2, RADIUS_SAMPLES)
    # Diffusion reaches past the ejecta, where a crater is cut off.
    beyond = np.clip((np.sqrt(squared) - 1.5) / (EJECTA_REACH - 1.5), 0.0, 1.0)
    taper = 1.0 - beyond**2 * (3.0 - 2.0 * beyond)
    # The fresh crater from its formula, rim and all: the rings stand beside the crest.
    fade = np.minimum((EJECTA_REACH - np.sqrt(squared)) / (EJECTA_REACH - 1.0), 1.0)
    fresh_rim = np.maximum(squared, 1.0) ** -1.5 * fade**2 * (3.0 - 2.0 * fade)
    shapes = [np.stack([fresh_rim, np.maximum(1.0 - squared, 0.0)], axis=1)]
    wears = _MOST_WEAR * np.linspace(0.0, 1.0, WEAR_SAMPLES) ** 2
    for worn in np.diff(wears):
        # Lengths are radii here, half of D: kappa t / R^2 is 4 wear.
        step = 4.0 * worn / _STEPS
        bands = np.zeros((3, count))
        bands[0, 1:], bands[2, :-1] = -step * outward[:-1], -step * inward[1:]
        bands[1] = 1.0 + step * (outward + inward)
        for _ in range(_STEPS):
            height = solve_banded((1, 1), bands, height)
        parts = [taper * np.interp(np.sqrt(squared), radius, part) for part in height.T]
        shapes.append(np.stack(parts, axis=1))
    return np.array(shapes)


_MOST_WEAR = 0.09
WEAR_SAMPLES = 33
RADIUS_SAMPLES = 401  # The rim, at a squared radius of 1, is one of them.
_STEPS = 4
WORN_SHAPES = _worn_shapes()
"""Rim and bowl of a unit crater, float64 (WEAR_SAMPLES, RADIUS_SAMPLES, 2): see `_worn_shapes`."""


@numba.njit(cache=True, nogil=True)
def _depths(diameter_m: float) -> Any:
    """Depth and rim height (metres) of a fresh crater, floor's share of the radius, peak height.

    Pike (1977), km: simple d = 0.196 D^1.01, h = 0.036 D^1.014; complex d = 1.044 D^0.301,
    h = 0.236 D^0.399, floor 0.187 D^1.249. A simple crater's floor is no share.
    """
    diameter_km = diameter_m * 1e-3
    depth = 1e3 * min(0.196 * diameter_km**1.01, 1.044 * diameter_km**0.301)
    rim = 36.0 * diameter_km**1.014 if diameter_km < 17.0 else 236.0 * diameter_km**0.399
    if diameter_km < 15.0:
        return depth, rim, 0.0, 0.0
    peak = 0.2 * depth if diameter_km > 25.0 else 0.0
    return depth, rim, min(0.187 * diameter_km**0.249, 0.8), peak


@numba.njit(cache=True, nogil=True)
def _worn(wear: float) -> float:
    """Place of a wear among the shapes."""
    return math.sqrt(min(wear / _MOST_WEAR, 1.0)) * (WEAR_SAMPLES - 1)


@numba.njit(cache=True, nogil=True)
def _height_m(
    squared: float, worn: float, depth: float, rim: float, floor: float, peak: float
) -> float:
    """Height at a squared distance, in rim radii, from the centre of a crater of given depths."""
    at = squared * ((RADIUS_SAMPLES - 1) / (EJECTA_REACH * EJECTA_REACH))
    k = int(at)
    if k >= RADIUS_SAMPLES - 1:
        return 0.0
    f = at - k
    j = min(int(worn), WEAR_SAMPLES - 2)
    g = worn - j
    w00, w01, w10, w11 = (1.0 - g) * (1.0 - f), (1.0 - g) * f, g * (1.0 - f), g * f
    near, far = WORN_SHAPES[j], WORN_SHAPES[j + 1]
    ring = w00 * near[k, 0] + w01 * near[k + 1, 0] + w10 * far[k, 0] + w11 * far[k + 1, 0]
    if floor == 0.0:
        bowl = w00 * near[k, 1] + w01 * near[k + 1, 1] + w10 * far[k, 1] + w11 * far[k + 1, 1]
        return float(rim * ring - depth * bowl)
    if squared >= 1.0:
        return float(rim * ring)
    # Diffusion hardly reaches the walls of so wide a crater, but what fills it makes it shallower.
    left = (1.0 - g) * near[0, 1] + g * far[0, 1]
    r = math.sqrt(squared)
    # Terraced walls, smoothed: steep under the rim, gentle at the foot.
    bowl = 1.0 - ((r - floor) / (1.0 - floor)) ** 1.6 if r > floor else 1.0
    return float(rim * ring + left * (peak * math.exp(-squared / 0.0144) - depth * bowl))


@numba.njit(cache=True, nogil=True)
def profile_m(radius_fraction: float, diameter_m: float, wear: float) -> float:
    """Height of a crater against its surroundings at a distance from its centre.

    radius_fraction: distance over rim radius; zero from EJECTA_REACH on. wear: kappa t / D^2,
    0 fresh.
    """
    depth, rim, floor, peak = _depths(diameter_m)
    return _height_m(radius_fraction * radius_fraction, _worn(wear), depth, rim, floor, peak)


@numba.njit(cache=True, nogil=True)
def laid_out(
    frame: Any,
    u0: float,
    v0: float,
    step: float,
    first: int,
    last: int,
    columns: int,
    centre: Any,
    diameter_m: float,
    strength: float,
    wear: float,
    shape: Any,
    reach: Any,
) -> bool:
    """How one crater lies on rows first <= row < last of a gnomonic grid; False where it does not.

    frame: rows east, north, up of the grid's centre; sample (row, column) lies in the direction
    up + (u0 + column step) east + (v0 + row step) north. centre: unit vector. strength: factor of
    all heights. wear: see `profile_m`. shape: float64 (9,), filled with the centre in the grid's
    frame, squared rim radii a squared sine, place between the worn shapes, and depth, rim, floor
    and peak. reach: int64 (4,), filled with its first and last row and column.
    """
    radius_m = 0.5 * diameter_m
    east = frame[0, 0] * centre[0] + frame[0, 1] * centre[1] + frame[0, 2] * centre[2]
    north = frame[1, 0] * centre[0] + frame[1, 1] * centre[1] + frame[1, 2] * centre[2]
    up = frame[2, 0] * centre[0] + frame[2, 1] * centre[1] + frame[2, 2] * centre[2]
    if up <= 0.1:
        return False
    u, v = east / up, north / up
    stretch = 1.0 + u * u + v * v
    wide = EJECTA_REACH * radius_m / REFERENCE_RADIUS_M * stretch * 1.01
    reach[0] = max(first, math.ceil((v - wide - v0) / step))
    reach[1] = min(last - 1, math.floor((v + wide - v0) / step))
    reach[2] = max(0, math.ceil((u - wide - u0) / step))
    reach[3] = min(columns - 1, math.floor((u + wide - u0) / step))
    if reach[0] > reach[1] or reach[2] > reach[3]:
        return False
    depth, rim, floor, peak = _depths(diameter_m)
    shape[0], shape[1], shape[2] = east, north, up
    shape[3], shape[4] = (REFERENCE_RADIUS_M / radius_m) ** 2, _worn(wear)
    shape[5], shape[6], shape[7], shape[8] = (
        strength * depth,
        strength * rim,
        floor,
        strength * peak,
    )
    return True


@numba.njit(cache=True, nogil=True)
def stamp_laid_out(
    height_m: Any, u0: float, v0: float, step: float, shape: Any, reach: Any
) -> None:
    """Add one crater, as `laid_out` has it, to a grid of heights, in place."""
    east, north, up, scale, worn = shape[0], shape[1], shape[2], shape[3], shape[4]
    depth, rim, floor, peak = shape[5], shape[6], shape[7], shape[8]
    for row in range(reach[0], reach[1] + 1):
        sv = v0 + row * step
        for column in range(reach[2], reach[3] + 1):
            su = u0 + column * step
            # Angle between sample and centre from the cross product: exact for small angles.
            cross_x = su * up - east
            cross_y = sv * up - north
            cross_z = su * north - sv * east
            cross = cross_x * cross_x + cross_y * cross_y + cross_z * cross_z
            sine2 = cross / (1.0 + su * su + sv * sv)
            # The square of the arc sine, to 1e-5 for an angle of 0.2.
            squared = scale * sine2 * (1.0 + sine2 / 3.0 + sine2 * sine2 * (8.0 / 45.0))
            if squared < EJECTA_REACH * EJECTA_REACH:
                height_m[row, column] += _height_m(squared, worn, depth, rim, floor, peak)


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
    wear: float,
    first: int,
    last: int,
) -> None:
    """Add one crater to rows first <= row < last of a gnomonic grid of heights, in place.

    Arguments as in `laid_out`.
    """
    shape, reach = np.empty(9), np.empty(4, np.int64)
    columns = height_m.shape[1]
    if laid_out(frame, u0, v0, step, first, last, columns, centre, diameter_m, strength, wear,
                shape, reach):  # fmt: skip
        stamp_laid_out(height_m, u0, v0, step, shape, reach)
