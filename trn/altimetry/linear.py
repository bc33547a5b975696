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
    root = np.linalg.cholesky(spread)
    places = offset_places(position_m, axes, _POINTS @ root.T)
    found = ranges.ranges_m(places, np.broadcast_to(direction, places.shape))
    east, north, up = axes @ direction
    if not np.isfinite(found).all() or up > -0.2:
        return None
    # The points' mean is zero and their covariance a multiple of unity: least squares is a sum.
    middle = float(found.mean())
    slopes = _POINTS.T @ found / float(_POINTS[:, 0] @ _POINTS[:, 0])
    rest = found - middle - _POINTS @ slopes
    by_east, by_north = np.linalg.solve(root.T, slopes)
    # Ground seen along the beam: moving along it by a metre shortens the range by a metre.
    rise = (-1.0 - by_east * east - by_north * north) / up
    by_position = np.array([by_east, by_north, rise]) @ axes
    return LinearRange(
        middle,
        by_position,
        -middle * np.cross(boresight, rotation @ by_position),
        -float(rise),
        float(rest @ rest / (len(_POINTS) - 3)),
    )
