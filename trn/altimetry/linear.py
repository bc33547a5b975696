"""A range as a linear measurement of the navigation's errors, from the ground around its beam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trn.altimetry.profile import offset_places, spread_points
from trn.altimetry.terrain import MapRanges
from trn.moon.frames import east_north_up

Array = NDArray[np.float64]

_POINTS = spread_points(12)
_LEAST_SIGMA_M = 20.0


@dataclass(frozen=True, eq=False)
class LinearRange:
    """expected_m: range from the believed place. by_position: (3,), MOON_ME. by_attitude: (3,),
    error of the attitude on the left in vehicle axes. by_terrain: per metre of higher ground.
    variance_m2: what the plane through the ranges around leaves over.
    """

    expected_m: float
    by_position: Array
    by_attitude: Array
    by_terrain: float
    variance_m2: float


def linear_range(
    ranges: MapRanges, position_m: Array, rotation: Array, covariance_m2: Array, boresight: Array
) -> LinearRange | None:
    """The plane that fits ranges from where the lander may be; None where the map is missing.

    rotation: (3, 3), body-fixed to vehicle. covariance_m2: (3, 3), of the position. boresight:
    (3,), vehicle axes. Statistical linearisation over the position's spread (Lefebvre et al. 2002,
    IEEE Trans. Automatic Control 47(8)): near a cliff the remainder grows, and the range counts
    less.
    """
    axes = east_north_up(position_m)
    direction = rotation.T @ boresight
    spread = axes[:2] @ covariance_m2 @ axes[:2].T + _LEAST_SIGMA_M**2 * np.eye(2)
    offsets = _POINTS @ np.linalg.cholesky(spread).T
    places = offset_places(position_m, axes, offsets)
    found = ranges.ranges_m(places, np.repeat(direction[None], len(places), axis=0))
    if not np.isfinite(found).all() or float(direction @ axes[2]) > -0.2:
        return None
    design = np.column_stack([np.ones(len(offsets)), offsets])
    fit, *_ = np.linalg.lstsq(design, found, rcond=None)
    rest = found - design @ fit
    # Ground seen along the beam: moving along it by a metre shortens the range by a metre.
    east, north, up = axes @ direction
    rise = (-1.0 - fit[1] * east - fit[2] * north) / up
    by_position = np.array([fit[1], fit[2], rise]) @ axes
    across = np.cross(boresight, rotation @ by_position)
    return LinearRange(
        float(fit[0]),
        by_position,
        float(fit[0]) * -across,
        -float(rise),
        float(rest @ rest / (len(offsets) - 3)),
    )
