"""Faults that no sensor's record shows, and a replay applies: displaced states, shifted maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.moon.frames import east_north_up

Array = NDArray[np.float64]


def offset_m(size_m: float, direction_east_north: Sequence[float] | Array, place_m: Array) -> Array:
    """A horizontal offset, (3,), MOON_ME, at a place: size_m towards a unit (east, north)."""
    east, north, _ = east_north_up(place_m)
    return np.asarray(size_m * (direction_east_north[0] * east + direction_east_north[1] * north))


def shifted(offset: Array, place_m: Array) -> Array:
    """Rotation, (3, 3), from believed places to the map's, whose ground lies an offset away."""
    axis = np.cross(place_m, offset) / float(place_m @ place_m)
    return np.asarray(Rotation.from_rotvec(-axis).as_matrix())
