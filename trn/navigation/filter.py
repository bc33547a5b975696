"""The error-state filter: inertial samples carry the state, aids correct it.

Multiplicative extended Kalman filter (Sola 2017, arXiv:1711.02508; Groves 2013, chapter 14) in the
rotating body-fixed frame with the gravity of `trn.moon.gravity`. Scale and misalignment of the
inertial unit are not estimated: their share of the force counts as error of the bias.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.navigation.sensors import ImuModel, StarTrackerModel
from trn.navigation.state import (
    ACCELEROMETER_BIAS,
    ATTITUDE,
    FIX_ERROR,
    GYROSCOPE_BIAS,
    MOUNTING,
    POSITION,
    SIZE,
    TERRAIN,
    VELOCITY,
    VIEW_ERROR,
    NavigationState,
    rotation_vector,
)
from trn.navigation.strapdown import carry, chunks

Array = NDArray[np.float64]

VIEW_SHARE, ALL_SHARE = 0.5, 0.4
"""Shares of a fix's variance that it has in common with fixes whose views overlap (the map's errors
there), and with all fixes (light and shade shift them all one way). `python -m bench.fix_errors`
prints correlations of rendered descents beside them."""


@dataclass(frozen=True)
class MapErrorModel:
    """Errors that the map gives to measurements after one another: Gauss-Markov over distance.

    sigma_m: 1 sigma, of the ground under the beam, which fades by a factor e over length_m of
    ground. view_length_m: the same of what image fixes share, whose views overlap; 0 for nothing.
    """

    sigma_m: float
    length_m: float
    view_length_m: float


@dataclass(frozen=True, eq=False)
class Innovation:
    """What a measurement added to what was known: residual (n,), its covariance (n, n)."""

    residual: Array
    covariance: Array

    @property
    def nis(self) -> float:
        """Normalised innovation squared: chi-square with n degrees of freedom where all is well."""
        return float(self.residual @ np.linalg.solve(self.covariance, self.residual))


class NavigationFilter:
    """One navigation state with its covariance, carried by inertial samples."""

    def __init__(
        self, state: NavigationState, imu: ImuModel, star_tracker: StarTrackerModel
    ) -> None:
        self.state = state
        self.imu = imu
        self.star_tracker = star_tracker
        self._force_of_bias = self._turn_of_error = 0.0
        self._turned_rad = np.zeros(3)

    @classmethod
    def started(
        cls,
        time_s: float,
        position_m: Array,
        position_sigma_m: float,
        velocity_m_per_s: Array,
        velocity_sigma_m_per_s: float,
        quaternion_xyzw: Array,
        imu: ImuModel,
        star_tracker: StarTrackerModel,
        terrain_sigma_m: float,
    ) -> NavigationFilter:
        """A filter at a handed-over position and velocity and a first star tracker reading."""
        covariance = np.zeros((SIZE, SIZE))
        roll, across = star_tracker.roll_rad, star_tracker.across_rad
        mounting = star_tracker.mounting_rad**2
        for part, variance in (
            (POSITION, position_sigma_m**2),
            (VELOCITY, velocity_sigma_m_per_s**2),
            (ACCELEROMETER_BIAS, imu.accelerometer_bias**2),
            (GYROSCOPE_BIAS, imu.gyroscope_bias**2),
            (MOUNTING, mounting),
        ):
            covariance[part, part] = variance * np.eye(3)
        reading = np.array([roll, across, across]) ** 2
        covariance[ATTITUDE, ATTITUDE] = np.diag(reading + mounting)
        # The first reading is off by the mounting: the attitude's error is minus it.
        covariance[ATTITUDE, MOUNTING] = covariance[MOUNTING, ATTITUDE] = -mounting * np.eye(3)
        covariance[TERRAIN, TERRAIN] = terrain_sigma_m**2
        covariance[FIX_ERROR, FIX_ERROR] = np.eye(6)
        state = NavigationState(
            time_s,
            np.array(position_m, dtype=np.float64),
            np.array(velocity_m_per_s, dtype=np.float64),
            np.asarray(Rotation.from_quat(quaternion_xyzw).as_matrix()),
            np.zeros(3),
            np.zeros(3),
            np.zeros(3),
            0.0,
            np.zeros(6),
            covariance,
        )
        return cls(state, imu, star_tracker)

    def copy(self) -> NavigationFilter:
        """A filter that goes its own way from here."""
        twin = NavigationFilter(self.state, self.imu, self.star_tracker)
        twin.adopt(self)
        return twin

    def adopt(self, other: NavigationFilter) -> None:
        """Become what another filter of the same sensors is, and share nothing with it."""
        self.state = other.state.copy()
        self._force_of_bias, self._turn_of_error = other._force_of_bias, other._turn_of_error
        self._turned_rad = other._turned_rad

    def propagate(
        self, rates: Array, forces: Array, step_s: float, map_errors: MapErrorModel
    ) -> None:
        """Carry the state over inertial samples, (N, 3) each, vehicle axes, each a step long."""
        for chunk in chunks(len(rates), step_s):
            self._chunk(rates[chunk], forces[chunk], step_s, map_errors)

    def _chunk(self, rates: Array, forces: Array, step_s: float, map_errors: MapErrorModel) -> None:
        state = self.state
        rates = rates - state.gyroscope_bias
        forces = forces - state.accelerometer_bias
        state.covariance, keep, seen = carry(
            state.position_m, state.velocity_m_per_s, state.rotation, state.covariance,
            rates, forces, step_s, map_errors.length_m, map_errors.view_length_m,
        )  # fmt: skip
        duration_s = step_s * len(rates)
        self._turned_rad = self._turned_rad + duration_s * rates.mean(axis=0)
        self._add_noise(
            duration_s,
            float(np.linalg.norm(forces.mean(axis=0))),
            float(np.linalg.norm(self._turned_rad)),
        )
        state.covariance[TERRAIN, TERRAIN] += (1.0 - keep**2) * map_errors.sigma_m**2
        state.covariance[VIEW_ERROR, VIEW_ERROR] += (1.0 - seen**2) * np.eye(3)
        state.terrain_m *= keep
        state.fix_error = state.fix_error * np.repeat([seen, 1.0], 3)
        state.time_s += duration_s

    def _add_noise(self, duration_s: float, force: float, turned_rad: float) -> None:
        imu, diagonal = self.imu, np.zeros(SIZE)
        diagonal[VELOCITY] = imu.accelerometer_noise**2 * duration_s
        diagonal[POSITION] = diagonal[VELOCITY] * duration_s**2 / 3.0
        turning = imu.gyroscope_misalignment_rad**2 + imu.gyroscope_scale**2
        diagonal[ATTITUDE] = imu.gyroscope_noise**2 * duration_s + turning * abs(
            turned_rad**2 - self._turn_of_error**2
        )
        pushing = imu.accelerometer_misalignment_rad**2 + imu.accelerometer_scale**2
        diagonal[ACCELEROMETER_BIAS] = imu.accelerometer_walk**2 * duration_s + pushing * abs(
            force**2 - self._force_of_bias**2
        )
        diagonal[GYROSCOPE_BIAS] = imu.gyroscope_walk**2 * duration_s
        # What grows with force and turn is one error, not many: its sigma grows with them.
        self._force_of_bias, self._turn_of_error = force, turned_rad
        self.state.covariance.flat[:: SIZE + 1] += diagonal

    def widen(
        self, velocity_sigma_m_per_s: float, attitude_sigma_rad: float, over_s: float = 0.0
    ) -> None:
        """Add what a gap in the inertial data, over_s long, leaves unknown at its end, 1 sigma.

        What is unknown of the velocity grew evenly over the gap, and moved the position with it.
        """
        covariance = self.state.covariance
        variance = velocity_sigma_m_per_s**2 * np.eye(3)
        covariance[VELOCITY, VELOCITY] += variance
        covariance[POSITION, VELOCITY] += 0.5 * over_s * variance
        covariance[VELOCITY, POSITION] += 0.5 * over_s * variance
        covariance[POSITION, POSITION] += 0.25 * over_s**2 * variance
        covariance[ATTITUDE, ATTITUDE] += attitude_sigma_rad**2 * np.eye(3)

    def doubt_accelerometers(
        self, bias_sigma_m_per_s2: float, velocity_sigma_m_per_s: float
    ) -> None:
        """Let the accelerometers' biases, and what they did to the velocity, be found anew."""
        covariance = self.state.covariance
        covariance[ACCELEROMETER_BIAS, :] = covariance[:, ACCELEROMETER_BIAS] = 0.0
        covariance[ACCELEROMETER_BIAS, ACCELEROMETER_BIAS] = bias_sigma_m_per_s2**2 * np.eye(3)
        self.widen(velocity_sigma_m_per_s, 0.0)

    def move(self, offset_m: Array, sigma_m: float) -> None:
        """Shift the position, (3,), and make it uncertain by sigma_m an axis."""
        self.state.position_m = self.state.position_m + offset_m
        self.state.covariance[POSITION, POSITION] += sigma_m**2 * np.eye(3)

    def reset_position(
        self, position_m: Array, covariance_m2: Array, velocity_sigma_m_per_s: float
    ) -> None:
        """Put the state at a fix, (3,), of known covariance, whatever was believed before.

        What took it astray may have touched the velocity: that much, 1 sigma, is added to it.
        """
        covariance = self.state.covariance
        for part in (POSITION, FIX_ERROR):
            covariance[part, :] = covariance[:, part] = 0.0
        self.state.fix_error = np.zeros(6)
        # What the fix shares with the next ones is in the place now, with the other sign.
        shared = -_shared_roots(covariance_m2)
        covariance[POSITION, POSITION] = covariance_m2
        covariance[FIX_ERROR, FIX_ERROR] = np.eye(6)
        covariance[POSITION, FIX_ERROR] = shared
        covariance[FIX_ERROR, POSITION] = shared.T
        self.state.position_m = np.array(position_m, dtype=np.float64)
        self.widen(velocity_sigma_m_per_s, 0.0)

    # --- aids ------------------------------------------------------------------------------------

    def attitude_innovation(self, quaternion_xyzw: Array) -> Innovation:
        """What a star tracker reading, body-fixed to vehicle, says against the state."""
        measured = Rotation.from_quat(quaternion_xyzw).as_matrix()
        turn = rotation_vector(measured @ self.state.rotation.T)
        jacobian = self._attitude_jacobian()
        covariance = jacobian @ self.state.covariance @ jacobian.T + self._star_tracker_noise()
        return Innovation(turn - self.state.mounting_rad, covariance)

    def update_attitude(self, quaternion_xyzw: Array) -> Innovation:
        """Correct the state with a star tracker reading."""
        innovation = self.attitude_innovation(quaternion_xyzw)
        self._update(innovation, self._attitude_jacobian(), self._star_tracker_noise())
        return innovation

    def position_innovation(self, position_m: Array, covariance_m2: Array) -> Innovation:
        """What a position fix, (3,), MOON_ME, says against the state."""
        jacobian = _fix_jacobian(covariance_m2)
        own = (1.0 - VIEW_SHARE - ALL_SHARE) * covariance_m2
        return Innovation(
            position_m - self.state.position_m - jacobian[:, FIX_ERROR] @ self.state.fix_error,
            jacobian @ self.state.covariance @ jacobian.T + own,
        )

    def update_position(self, position_m: Array, covariance_m2: Array) -> Innovation:
        """Correct the state with a position fix and its covariance, and learn what fixes share."""
        innovation = self.position_innovation(position_m, covariance_m2)
        own = (1.0 - VIEW_SHARE - ALL_SHARE) * covariance_m2
        self._update(innovation, _fix_jacobian(covariance_m2), own)
        return innovation

    def velocity_innovation(
        self, velocity_m_per_s: Array, covariance: Array, place_m: Array, height_m: float
    ) -> Innovation:
        """What a velocity over ground, (3,), MOON_ME, seen in images says against the state.

        Images tell velocity over height. place_m: (3,), the place it was taken for when
        velocity_m_per_s was made of that, height_m over the map's ground: the higher the lander
        truly is, the faster it is.
        """
        jacobian, seen = self._velocity_jacobian(velocity_m_per_s, place_m, height_m)
        return Innovation(
            seen - self.state.velocity_m_per_s,
            jacobian @ self.state.covariance @ jacobian.T + covariance,
        )

    def update_velocity(
        self, velocity_m_per_s: Array, covariance: Array, place_m: Array, height_m: float
    ) -> Innovation:
        """Correct the state with a velocity seen in images, see `velocity_innovation`."""
        innovation = self.velocity_innovation(velocity_m_per_s, covariance, place_m, height_m)
        jacobian, _ = self._velocity_jacobian(velocity_m_per_s, place_m, height_m)
        self._update(innovation, jacobian, covariance)
        return innovation

    def _velocity_jacobian(
        self, velocity_m_per_s: Array, place_m: Array, height_m: float
    ) -> tuple[Array, Array]:
        """Velocity by the errors of the state, (3, SIZE), and as it is at the state's height."""
        state = self.state
        up = state.position_m / np.linalg.norm(state.position_m)
        higher_m = float(up @ (state.position_m - place_m))
        jacobian = np.zeros((3, SIZE))
        jacobian[:, VELOCITY] = np.eye(3)
        jacobian[:, POSITION] = -np.outer(velocity_m_per_s, up) / height_m
        return jacobian, velocity_m_per_s * (1.0 + higher_m / height_m)

    def update_range(self, residual_m: float, jacobian: Array, variance_m2: float) -> Innovation:
        """Correct the state with a range's residual; jacobian: (SIZE,), range by error."""
        row = jacobian[None, :]
        noise = np.array([[variance_m2]])
        innovation = Innovation(np.array([residual_m]), row @ self.state.covariance @ row.T + noise)
        self._update(innovation, row, noise)
        return innovation

    def _attitude_jacobian(self) -> Array:
        jacobian = np.zeros((3, SIZE))
        jacobian[:, ATTITUDE] = jacobian[:, MOUNTING] = np.eye(3)
        return jacobian

    def _star_tracker_noise(self) -> Array:
        unit = self.star_tracker
        return np.diag(np.array([unit.roll_rad, unit.across_rad, unit.across_rad]) ** 2)

    def _update(self, innovation: Innovation, jacobian: Array, noise: Array) -> None:
        """Joseph's form, which keeps the covariance positive."""
        covariance = self.state.covariance
        gain = np.linalg.solve(innovation.covariance, jacobian @ covariance).T
        rest = np.eye(SIZE) - gain @ jacobian
        covariance = rest @ covariance @ rest.T + gain @ noise @ gain.T
        self.state.covariance = 0.5 * (covariance + covariance.T)
        self.state.correct(gain @ innovation.residual)


def _shared_roots(covariance_m2: Array) -> Array:
    """Symmetric roots, side by side (3, 6), of the parts of a fix's covariance that fixes share."""
    square, axes = np.linalg.eigh(covariance_m2)
    root = (axes * np.sqrt(np.maximum(square, 0.0))) @ axes.T
    return np.hstack([math.sqrt(VIEW_SHARE) * root, math.sqrt(ALL_SHARE) * root])


def _fix_jacobian(covariance_m2: Array) -> Array:
    """A position fix by the errors of the state, (3, SIZE)."""
    jacobian = np.zeros((3, SIZE))
    jacobian[:, POSITION] = np.eye(3)
    jacobian[:, FIX_ERROR] = _shared_roots(covariance_m2)
    return jacobian
