"""Lunar gravity in body-fixed axes: the point mass and the degree-2 field."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trn.moon.constants import GM_M3_PER_S2

FIELD_RADIUS_M = 1_738_000.0
C20 = -2.0321e-4
C22 = 2.2382e-5
"""Unnormalised, for FIELD_RADIUS_M; GRAIL, Williams et al. (2014, JGR Planets 119). The
field's principal axes stand within 0.03 degrees of MOON_ME, which is left out."""

ROTATION_RATE_RAD_PER_S = 2.661_699_5e-6
"""Sidereal, about +z of MOON_ME: 27.321661 days a turn."""


def potential(position_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gravitational potential (positive, force is its gradient), m^2/s^2.

    position_m: (..., 3), MOON_ME.
    """
    x, y, z = np.moveaxis(np.asarray(position_m, dtype=np.float64), -1, 0)
    r2 = x * x + y * y + z * z
    shape = C20 * (z * z - 0.5 * (x * x + y * y)) + 3.0 * C22 * (x * x - y * y)
    return np.asarray(GM_M3_PER_S2 / np.sqrt(r2) * (1.0 + FIELD_RADIUS_M**2 * shape / r2**2))


def gravity(position_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gravitational acceleration, m/s^2, shape (..., 3), MOON_ME axes, without centrifugal part."""
    position = np.asarray(position_m, dtype=np.float64)
    x, y, z = np.moveaxis(position, -1, 0)
    r2 = x * x + y * y + z * z
    shape = C20 * (z * z - 0.5 * (x * x + y * y)) + 3.0 * C22 * (x * x - y * y)
    slope = np.stack([(6.0 * C22 - C20) * x, -(6.0 * C22 + C20) * y, 2.0 * C20 * z], axis=-1)
    radial = 1.0 + 5.0 * FIELD_RADIUS_M**2 * shape / r2**2
    pull = FIELD_RADIUS_M**2 * slope / r2[..., None] - radial[..., None] * position
    return np.asarray(GM_M3_PER_S2 / r2[..., None] ** 1.5 * pull)


def apparent_acceleration(
    position_m: NDArray[np.float64], velocity_m_per_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Acceleration of free fall in the rotating body-fixed frame: gravity, Coriolis, centrifugal.

    position_m, velocity_m_per_s: (..., 3), MOON_ME.
    """
    spin = np.array([0.0, 0.0, ROTATION_RATE_RAD_PER_S])
    coriolis = 2.0 * np.cross(spin, velocity_m_per_s)
    centrifugal = np.cross(spin, np.cross(spin, position_m))
    return np.asarray(gravity(position_m) - coriolis - centrifugal)
