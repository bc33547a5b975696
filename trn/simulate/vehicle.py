"""How the lander is turned along its trajectory, and what its inertial sensors truly feel.

Vehicle axes: z along the thrust (up in the vertical descent), y to the left of the flight, x
completes them. The attitude follows the thrust's direction, smoothed; what thrust still points
elsewhere is the engine's gimbal. All sensors stand at the vehicle's origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation, Slerp

from trn.errors import InputError
from trn.moon.gravity import ROTATION_RATE_RAD_PER_S, apparent_acceleration
from trn.simulate.descent import Trajectory

Array = NDArray[np.float64]

ATTITUDE_SMOOTHING_S = 3.0
"""1 sigma of the smoothing: a step of the commanded thrust by 30 degrees turns the lander at
4 degrees a second at most."""

# Less specific force than this does not set an attitude: the lander stands against its velocity.
_FREE_FALL_M_PER_S2 = 0.1


@dataclass(frozen=True, eq=False)
class Flight:
    """A trajectory with its attitude.

    time_s: (N,), even steps. position_m, velocity_m_per_s: (N, 3), MOON_ME. quaternion_xyzw:
    (N, 4), body-fixed to vehicle. specific_force_m_per_s2, angular_rate_rad_per_s: (N - 1, 3),
    vehicle axes, averages between samples, the rate against inertial space. mass_kg: (N,).
    phase: (N,).
    """

    time_s: Array
    position_m: Array
    velocity_m_per_s: Array
    quaternion_xyzw: Array
    specific_force_m_per_s2: Array
    angular_rate_rad_per_s: Array
    mass_kg: Array
    phase: NDArray[np.str_]

    def at(self, time_s: float) -> tuple[Array, Array, Rotation]:
        """Position, velocity (cubic through both neighbours) and attitude at a time in range."""
        step = float(self.time_s[1] - self.time_s[0])
        k = int(np.clip((time_s - self.time_s[0]) // step, 0, self.time_s.size - 2))
        s = (time_s - float(self.time_s[k])) / step
        p0, p1 = self.position_m[k], self.position_m[k + 1]
        v0, v1 = self.velocity_m_per_s[k] * step, self.velocity_m_per_s[k + 1] * step
        # Hermite's cubic and its derivative.
        bend, twist = 3.0 * (p1 - p0) - 2.0 * v0 - v1, 2.0 * (p0 - p1) + v0 + v1
        position = p0 + s * (v0 + s * (bend + s * twist))
        velocity = (v0 + s * (2.0 * bend + 3.0 * s * twist)) / step
        turn = Slerp([0.0, 1.0], Rotation.from_quat(self.quaternion_xyzw[k : k + 2]))
        return np.asarray(position), np.asarray(velocity), turn(min(max(s, 0.0), 1.0))

    def angular_rate_at(self, time_s: float) -> Array:
        """Rate of the vehicle against MOON_ME at a time, (3,), vehicle axes."""
        step = float(self.time_s[1] - self.time_s[0])
        k = int(np.clip((time_s - self.time_s[0]) // step, 0, self.time_s.size - 2))
        spin = Rotation.from_quat(self.quaternion_xyzw[k]).apply([0, 0, ROTATION_RATE_RAD_PER_S])
        return np.asarray(self.angular_rate_rad_per_s[k] - spin)


def fly_attitude(trajectory: Trajectory) -> Flight:
    """The flight along a trajectory sampled at twice the rate wanted.

    Samples in between serve the integrals of the inertial sensors. Raises InputError where the
    trajectory is too short, or flies straight up or down all the way, so that it has no left.
    """
    size = 2 * ((trajectory.time_s.size - 1) // 2) + 1
    if size < 5:
        raise InputError("trajectory: fewer than five samples; give a longer one")
    time_s = trajectory.time_s[:size]
    step = float(time_s[1] - time_s[0])
    position, velocity = trajectory.position_m[:size], trajectory.velocity_m_per_s[:size]
    force = trajectory.specific_force_m_per_s2[:size]
    speed = np.maximum(np.linalg.norm(velocity, axis=1, keepdims=True), 1e-9)
    pushed = np.linalg.norm(force, axis=1, keepdims=True) > _FREE_FALL_M_PER_S2
    backwards = -velocity / speed
    wanted = np.where(pushed, force / np.maximum(np.linalg.norm(force, axis=1)[:, None], 1e-9),
                      backwards)  # fmt: skip
    axis = gaussian_filter1d(wanted, ATTITUDE_SMOOTHING_S / step, axis=0, mode="nearest")
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    left = np.cross(position, velocity).sum(axis=0)
    if np.linalg.norm(left) < 1e-6 * float(np.sum(np.linalg.norm(position, axis=1) * speed[:, 0])):
        raise InputError("trajectory: it is a straight line through the Moon's centre; tilt it")
    left /= np.linalg.norm(left)
    y = left - (axis @ left)[:, None] * axis
    length = np.linalg.norm(y, axis=1, keepdims=True)
    if length.min() < 0.05:
        raise InputError("trajectory: thrust across the plane of flight; the attitude is undefined")
    y /= length
    matrices = np.stack([np.cross(y, axis), y, axis], axis=1)
    attitude = Rotation.from_matrix(matrices)
    even = attitude[::2]
    quaternions = even.as_quat()
    flips = np.cumprod(np.where(np.sum(quaternions[1:] * quaternions[:-1], axis=1) < 0, -1.0, 1.0))
    quaternions[1:] *= flips[:, None]
    double = 2.0 * step
    apparent = apparent_acceleration(position, velocity)
    fall = (apparent[:-2:2] + 4.0 * apparent[1::2] + apparent[2::2]) / 6.0
    pushed_by = np.diff(velocity[::2], axis=0) / double - fall
    middle = attitude[1::2]
    turned = (even[1:] * even[:-1].inv()).as_rotvec() / double
    spin = middle.apply(np.array([0.0, 0.0, ROTATION_RATE_RAD_PER_S]))
    # The attitude's change from left to right, exp([r]x) R, is a vehicle turning by -r.
    return Flight(
        time_s[::2],
        position[::2],
        velocity[::2],
        quaternions,
        middle.apply(pushed_by),
        spin - turned,
        trajectory.mass_kg[:size:2],
        trajectory.phase[:size:2],
    )


def mounted(tilt_rad: float) -> Rotation:
    """Rotation from vehicle axes to those of a camera or beam that is tilted out of -z.

    The boresight is -z turned by tilt_rad towards -x: at 90 degrees it looks straight down while
    the lander brakes in level flight. Camera axes (x right, y down, z boresight), image up being
    ahead.
    """
    boresight = np.array([-np.sin(tilt_rad), 0.0, -np.cos(tilt_rad)])
    right = np.array([0.0, -1.0, 0.0])
    return Rotation.from_matrix(np.stack([right, np.cross(boresight, right), boresight]))
