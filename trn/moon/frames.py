"""MOON_ME, latitude and longitude, and local tangent frames.

Latitudes are planetocentric, longitudes east-positive; all angles in radians here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.moon.constants import REFERENCE_RADIUS_M

Array = NDArray[np.float64]


def position_from_geographic(latitude_rad: Any, longitude_rad: Any, height_m: Any) -> Array:
    """Body-fixed position, shape (..., 3), metres, of a point at a height above the sphere."""
    latitude, longitude, height = np.broadcast_arrays(latitude_rad, longitude_rad, height_m)
    radius = REFERENCE_RADIUS_M + np.asarray(height, dtype=np.float64)
    return np.stack(
        [
            radius * np.cos(latitude) * np.cos(longitude),
            radius * np.cos(latitude) * np.sin(longitude),
            radius * np.sin(latitude),
        ],
        axis=-1,
    )


def geographic_from_position(position_m: Any) -> tuple[Array, Array, Array]:
    """Latitude and longitude (radians, longitude in (-pi, pi]) and height (metres) of points.

    position_m: shape (..., 3). At the Moon's centre the latitude is 0 by convention.
    """
    p = np.asarray(position_m, dtype=np.float64)
    x, y, z = p[..., 0], p[..., 1], p[..., 2]
    longitude = np.arctan2(y, x)
    longitude = np.where(longitude == -np.pi, np.pi, longitude)
    return np.arctan2(z, np.hypot(x, y)), longitude, np.linalg.norm(p, axis=-1) - REFERENCE_RADIUS_M


def east_north_up_at(latitude_rad: Any, longitude_rad: Any) -> tuple[Array, Array, Array]:
    """Unit vectors to east, north and up, shape (..., 3) each, at latitudes and longitudes."""
    sin_lat, cos_lat = np.sin(latitude_rad), np.cos(latitude_rad)
    sin_lon, cos_lon = np.sin(longitude_rad), np.cos(longitude_rad)
    return (
        np.stack([-sin_lon, cos_lon, np.zeros_like(sin_lon)], axis=-1),
        np.stack([-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat], axis=-1),
        np.stack([cos_lat * cos_lon, cos_lat * sin_lon, sin_lat], axis=-1),
    )


def east_north_up(position_m: Any) -> Array:
    """Rotation matrix whose rows are east, north and up at a body-fixed point, shape (3, 3).

    At a pole, where east is undefined, it is the direction of longitude 90 degrees.
    """
    x, y, z = (float(value) for value in position_m)
    level = math.hypot(x, y)
    radius = math.hypot(level, z)
    sin_lon, cos_lon = (y / level, x / level) if level > 0.0 else (0.0, 1.0)
    sin_lat, cos_lat = (z / radius, level / radius) if radius > 0.0 else (0.0, 1.0)
    return np.array(
        [
            [-sin_lon, cos_lon, 0.0],
            [-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat],
            [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat],
        ]
    )


def wrap_axis(angle_rad: Any) -> Array:
    """Directions of axes, which have no sense, brought into (-pi/2, pi/2] radians."""
    wrapped = 0.5 * np.pi - np.mod(0.5 * np.pi - np.asarray(angle_rad), np.pi)
    # Just above pi/2 the remainder rounds up to a whole pi.
    return np.where(wrapped == -0.5 * np.pi, 0.5 * np.pi, wrapped)


def wrap_longitude_deg(longitude_deg: Any) -> Array:
    """Longitudes brought into (-180, 180] degrees."""
    wrapped = np.mod(np.asarray(longitude_deg, dtype=np.float64) + 180.0, 360.0) - 180.0
    return np.where(wrapped == -180.0, 180.0, wrapped)
