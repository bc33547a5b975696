"""Whether the numbers of a crater catalogue can be degrees and kilometres.

Craters erase one another, so no ground holds more than a certain number of them for its area. Where
coordinates are in radians, the same craters seem to share 1/3283 of the ground; where diameters are
in metres, they seem to need 10^6 times as much. Both are far beyond what any ground can hold.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import wrap_longitude_deg

Array = NDArray[np.float64]

RADIUS_KM = REFERENCE_RADIUS_M / 1000.0
MOON_KM2 = 4.0 * math.pi * RADIUS_KM**2

SATURATION = 1.54
"""Geometric saturation: craters of D and more in an area of D^2 (Gault 1970, Radio Sci. 5, 273)."""

FILLED = 0.5
"""Share of saturation that no list exceeds. Heavily cratered ground is in equilibrium at 0.01 to
0.1 (Gault 1970); the rest is left to chains, clusters and lists merged with their doubles."""

FILLED_SUSPECT = 0.15
"""The same where all latitudes or longitudes would also do as radians, or craters are basins."""

SLACK = 6
SLACK_BASINS = 2
BASIN_KM = 300.0
"""Craters allowed whatever the area: a few lie in one another. From the last size on each one on
the Moon is known (Neumann et al. 2015, Sci. Adv. 1, e1500852: 43), and twins of equal size are not.
"""


def implausible_units(latitude: Array, longitude: Array, diameter: Array) -> str | None:
    """What speaks against degrees and kilometres, and what to do; None where nothing does.

    latitude, longitude, diameter: (N,), finite, taken as degrees and kilometres. For every
    diameter D the number of craters of D and more is held against geometric saturation of the
    region that their centres span, widened by D on all sides.

    Few craters far apart stay undecided: a handful in radians is a possible handful near 0 N 0 E.
    """
    excess, at_km = _excess(latitude, longitude, diameter)
    if excess <= 1.0:
        return None
    turned = _is_like_radians(latitude, longitude)
    degrees = [np.degrees(v) if t else v for v, t in zip((latitude, longitude), turned)]
    smaller = diameter / 1000.0
    start = f"its craters of {at_km:.3g} km and more would overlap {excess:.3g} times too densely"
    if any(turned) and _excess(degrees[0], degrees[1], diameter)[0] <= 1.0:
        return f"{start}; the coordinates look like radians: convert them to degrees"
    if _excess(latitude, longitude, smaller)[0] <= 1.0:
        return f"{start}; the diameters look like metres: convert them to kilometres"
    if any(turned) and _excess(degrees[0], degrees[1], smaller)[0] <= 1.0:
        return (
            f"{start}; coordinates look like radians and diameters like metres: convert them to "
            "degrees and kilometres"
        )
    return f"{start}; give latitude and longitude in degrees, diameters in kilometres"


def _is_like_radians(latitude: Array, longitude: Array) -> tuple[bool, bool]:
    """Whether all latitudes, and all longitudes, would also do as radians."""
    return (
        bool(np.abs(latitude).max() <= 0.5 * math.pi),
        bool(longitude.min() >= -math.pi and longitude.max() <= 2.0 * math.pi),
    )


def _excess(latitude: Array, longitude: Array, diameter: Array) -> tuple[float, float]:
    """How far the densest size exceeds what ground can hold, as a ratio, and that size."""
    if not diameter.size:
        return 0.0, 0.0
    sizes = np.sort(diameter)[::-1]
    count = np.arange(1, sizes.size + 1)
    wide, high = _spanned_km(latitude, longitude)
    area = np.minimum((wide + 2.0 * sizes) * (high + 2.0 * sizes), MOON_KM2)
    basin = sizes >= BASIN_KM
    suspect = any(_is_like_radians(latitude, longitude)) | basin
    filled = np.where(suspect, FILLED_SUSPECT, FILLED)
    most = filled * SATURATION * area / sizes**2 + np.where(basin, SLACK_BASINS, SLACK)
    ratio = count / most
    worst = int(np.argmax(ratio))
    return float(ratio[worst]), float(sizes[worst])


def _spanned_km(latitude: Array, longitude: Array) -> tuple[float, float]:
    """Mean width and height of the box of latitudes and longitudes that holds all points."""
    turned = np.sort(wrap_longitude_deg(longitude))
    gaps = np.diff(turned, append=turned[0] + 360.0)
    arc = math.radians(360.0 - float(gaps.max()))
    south, north = np.radians([latitude.min(), latitude.max()])
    high = float(north - south)
    if high < 1e-9:
        return RADIUS_KM * arc * math.cos(float(south)), 0.0
    return RADIUS_KM * arc * float(np.sin(north) - np.sin(south)) / high, RADIUS_KM * high
