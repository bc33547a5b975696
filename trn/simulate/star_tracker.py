"""A star tracker: the attitude it reports of the true one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.errors import InputError

Array = NDArray[np.float64]

_ARCSECOND = np.deg2rad(1.0) / 3600.0


@dataclass(frozen=True)
class StarTracker:
    """Errors of one unit, 1 sigma, radians; its boresight is the vehicle's x axis.

    across_rad: of the boresight's direction, each axis, anew at each measurement. roll_rad: about
    the boresight. mounting_rad: misalignment to the vehicle, each axis, constant.
    """

    across_rad: float
    roll_rad: float
    mounting_rad: float = 0.0

    def __post_init__(self) -> None:
        """Raises InputError naming the field that is negative or not a number."""
        for name, value in vars(self).items():
            if not value >= 0.0 or not np.isfinite(value):
                raise InputError(f"star tracker: {name} must be zero or more, not {value}")

    @property
    def sigma_rad(self) -> float:
        """One sigma an axis that covers noise and mounting, for the record beside each reading."""
        return float(np.hypot(max(self.across_rad, self.roll_rad), self.mounting_rad))

    def measured(self, quaternions_xyzw: Array, seed: int) -> Array:
        """Reported attitudes, (N, 4), of true ones, (N, 4), body-fixed to vehicle; same for a seed.

        The error turns about vehicle axes after the true rotation; the scalar part is not negative.
        """
        rng = np.random.default_rng([seed, 2])
        mounting = rng.normal(0.0, self.mounting_rad, 3)
        noise = rng.normal(size=(len(quaternions_xyzw), 3)) * [
            self.roll_rad,
            self.across_rad,
            self.across_rad,
        ]
        error = Rotation.from_rotvec(noise) * Rotation.from_rotvec(mounting)
        reported = error * Rotation.from_quat(quaternions_xyzw)
        return np.asarray(reported.as_quat(canonical=True))


TYPICAL = StarTracker(across_rad=5.0 * _ARCSECOND, roll_rad=35.0 * _ARCSECOND, mounting_rad=5e-5)
"""A small-satellite unit of the ST-16RT2 class (Rocket Lab; 5 arc seconds across, some
tens about the boresight); mounting calibrated to 10 arc seconds."""
