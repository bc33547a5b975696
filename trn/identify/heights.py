"""Heights of rims above the sphere: from a map, and what it costs not to know them.

Rims that stand higher than they are taken for look nearer and aside; over a whole view that moves
the camera by kilometres, without a residual that shows it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trn.identify.fit import pull_of
from trn.identify.index import CraterIndex
from trn.maps.catalog import CraterCatalog
from trn.maps.lunar_map import LunarMap
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up_at

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

RIM_POINTS = 12
WIDE_SIGMA_M, WIDE_REACH_M = 2100.0, 1.2e6
NARROW_SIGMA_M, NARROW_REACH_M = 1000.0, 25e3
"""Heights of the Moon above its sphere, as two processes whose correlation falls exponentially. In
GLD100 at 16 pixels a degree the standard deviation is 2.3 km, the correlation 0.91 at 20 km, 0.77
at 100, 0.61 at 400 and 0.23 at 1,200 (`python -m bench.identify heights`)."""
STEP_M = 100.0


def rim_heights(moon_map: LunarMap, catalog: CraterCatalog) -> Array:
    """Median height around each rim, (N,), metres; NaN where the map has less than half of it."""
    east, north, centre = east_north_up_at(catalog.latitude, catalog.longitude)
    turn = np.linspace(0.0, 2.0 * np.pi, RIM_POINTS, endpoint=False)[:, None]
    ring = np.cos(turn) * east[:, None] + np.sin(turn) * north[:, None]
    radius = 0.5 * catalog.diameter_m[:, None, None] / REFERENCE_RADIUS_M
    heights = moon_map.height_at(centre[:, None] + radius * ring)
    holes = np.isnan(heights).mean(axis=1) > 0.5
    median = np.nanmedian(np.where(holes[:, None], 0.0, heights), axis=1)
    return np.where(holes, np.nan, median)


def index_over(moon_map: LunarMap, catalog: CraterCatalog) -> CraterIndex:
    """An index of a catalogue with the map's heights; not known, on the sphere, beyond the map."""
    height_m = rim_heights(moon_map, catalog)
    known = np.isfinite(height_m)
    return CraterIndex.of(catalog, np.where(known, height_m, 0.0), known)


def height_covariance(apart_m: Array) -> Array:
    """Covariance of unknown heights of two places so far apart, square metres."""
    wide = WIDE_SIGMA_M**2 * np.exp(-apart_m / WIDE_REACH_M)
    return np.asarray(wide + NARROW_SIGMA_M**2 * np.exp(-apart_m / NARROW_REACH_M))


def covariance_of_heights(
    rotation: Array,
    position: Array,
    covariance: Array,
    sigma: Array,
    index: CraterIndex,
    lens: Array,
    crater: Indices,
) -> Array:
    """What not knowing the heights of matched rims adds to a fitted pose's covariance, (6, 6).

    rotation, position, covariance: of the pose. sigma: (K, 2), of centre and shape numbers, pixels.
    crater: (K,), of the index. Linear in the heights; zero where all are known.
    """
    guessed = ~index.height_known[crater]
    unknown, weights = crater[guessed], sigma[guessed]
    if not unknown.size:
        return np.zeros((6, 6))
    pulls = np.stack(
        [
            pull_of(
                rotation, position, index.centre[j], index.first[j], index.second[j],
                index.normal[j], lens, weight, STEP_M,
            )
            for j, weight in zip(unknown, weights)
        ],
        axis=-1,
    )  # fmt: skip
    moved = covariance @ pulls
    apart_m = np.linalg.norm(index.centre[unknown, None] - index.centre[unknown], axis=2)
    return np.asarray(moved @ height_covariance(apart_m) @ moved.T)
