"""The state that the navigation filter estimates, and where its errors stand in the covariance.

Errors are of the truth against the estimate: position and velocity in MOON_ME, attitude on the
left in vehicle axes, R_true = exp([theta]x) R, as in `trn.moon.pose.Pose`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]

POSITION, VELOCITY, ATTITUDE = slice(0, 3), slice(3, 6), slice(6, 9)
ACCELEROMETER_BIAS, GYROSCOPE_BIAS, MOUNTING = slice(9, 12), slice(12, 15), slice(15, 18)
TERRAIN = 18
FIX_ERROR = slice(19, 25)
VIEW_ERROR = slice(19, 22)
SIZE = 25


@dataclass(eq=False)
class NavigationState:
    """Estimate and covariance at one moment.

    time_s: since the start of the descent. position_m, velocity_m_per_s: (3,), MOON_ME, over
    ground. rotation: (3, 3), body-fixed to vehicle. accelerometer_bias, gyroscope_bias: (3,),
    vehicle axes. mounting_rad: (3,), of the star tracker. terrain_m: how much higher the ground is
    than the map where the altimeter looks. fix_error: (6,), MOON_ME, of image fixes: the parts
    that fixes share whose views overlap, and that all share, each in its own 1 sigma.
    covariance: (SIZE, SIZE), in that order.
    """

    time_s: float
    position_m: Array
    velocity_m_per_s: Array
    rotation: Array
    accelerometer_bias: Array
    gyroscope_bias: Array
    mounting_rad: Array
    terrain_m: float
    fix_error: Array
    covariance: Array

    def copy(self) -> NavigationState:
        """A state that shares no array with this one."""
        return NavigationState(
            self.time_s,
            self.position_m.copy(),
            self.velocity_m_per_s.copy(),
            self.rotation.copy(),
            self.accelerometer_bias.copy(),
            self.gyroscope_bias.copy(),
            self.mounting_rad.copy(),
            self.terrain_m,
            self.fix_error.copy(),
            self.covariance.copy(),
        )

    @property
    def quaternion_xyzw(self) -> Array:
        """The attitude as a unit quaternion, body-fixed to vehicle."""
        return np.asarray(Rotation.from_matrix(self.rotation).as_quat(canonical=True))

    def correct(self, error: Array) -> None:
        """Add an estimated error, (SIZE,), to the estimate, in place."""
        self.position_m = self.position_m + error[POSITION]
        self.velocity_m_per_s = self.velocity_m_per_s + error[VELOCITY]
        self.rotation = Rotation.from_rotvec(error[ATTITUDE]).as_matrix() @ self.rotation
        self.accelerometer_bias = self.accelerometer_bias + error[ACCELEROMETER_BIAS]
        self.gyroscope_bias = self.gyroscope_bias + error[GYROSCOPE_BIAS]
        self.mounting_rad = self.mounting_rad + error[MOUNTING]
        self.terrain_m = self.terrain_m + float(error[TERRAIN])
        self.fix_error = self.fix_error + error[FIX_ERROR]

    def error_of(self, estimate: NavigationState) -> Array:
        """The error, (SIZE,), that another estimate needs corrected to become this one."""
        error = np.empty(SIZE)
        error[POSITION] = self.position_m - estimate.position_m
        error[VELOCITY] = self.velocity_m_per_s - estimate.velocity_m_per_s
        error[ATTITUDE] = rotation_vector(self.rotation @ estimate.rotation.T)
        error[ACCELEROMETER_BIAS] = self.accelerometer_bias - estimate.accelerometer_bias
        error[GYROSCOPE_BIAS] = self.gyroscope_bias - estimate.gyroscope_bias
        error[MOUNTING] = self.mounting_rad - estimate.mounting_rad
        error[TERRAIN] = self.terrain_m - estimate.terrain_m
        error[FIX_ERROR] = self.fix_error - estimate.fix_error
        return error


def rotation_vector(rotation: Array) -> Array:
    """Rotation vector, (3,), of a matrix (3, 3) that hardly turns; SciPy's is ten times slower."""
    sine = 0.5 * np.array(
        [rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0],
         rotation[1, 0] - rotation[0, 1]]
    )  # fmt: skip
    length = math.sqrt(float(sine @ sine))
    cosine = 0.5 * (float(np.trace(rotation)) - 1.0)
    if cosine < 0.5:
        # Too far for the sine to tell.
        return np.asarray(Rotation.from_matrix(rotation).as_rotvec())
    return sine * (math.atan2(length, cosine) / length if length > 1e-12 else 1.0)
