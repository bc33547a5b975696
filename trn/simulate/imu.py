"""An inertial measurement unit: what it reports of the true specific force and angular rate.

Each triad of sensors reports (1 + scale + misalignment) truth + bias + bias random walk + white
noise, summed up and rounded to whole counts as increments of velocity and angle are, so that
quantisation does not drift (Groves 2013, Principles of GNSS, Inertial, and Multisensor Integrated
Navigation Systems, chapter 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trn.errors import InputError

Array = NDArray[np.float64]

_G = 9.80665
_DEG_PER_H = np.deg2rad(1.0) / 3600.0
_DEG_PER_ROOT_H = np.deg2rad(1.0) / 60.0


@dataclass(frozen=True)
class Triad:
    """Errors of three sensors, 1 sigma, drawn anew for each unit and axis.

    In the sensor's unit u (m/s^2 or rad/s): bias in u, bias_walk in u per root second, noise in u
    per root hertz, scale as a share, misalignment in radians, count: the increment of one count,
    in u times seconds (0: not quantised).
    """

    bias: float = 0.0
    bias_walk: float = 0.0
    noise: float = 0.0
    scale: float = 0.0
    misalignment_rad: float = 0.0
    count: float = 0.0

    def __post_init__(self) -> None:
        """Raises InputError naming the field that is negative or not a number."""
        for name, value in vars(self).items():
            if not value >= 0.0 or not np.isfinite(value):
                raise InputError(f"imu: {name} must be zero or more, not {value}")

    def measured(self, truth: Array, step_s: float, rng: np.random.Generator) -> Array:
        """What the triad reports, (N, 3), of the true averages over N steps, (N, 3)."""
        steps = truth.shape[0]
        scale = np.diag(rng.normal(0.0, self.scale, 3))
        tilt = rng.normal(0.0, self.misalignment_rad, (3, 3))
        np.fill_diagonal(tilt, 0.0)
        bias = rng.normal(0.0, self.bias, 3)
        walk = np.cumsum(rng.normal(0.0, self.bias_walk * np.sqrt(step_s), (steps, 3)), axis=0)
        noise = rng.normal(0.0, self.noise / np.sqrt(step_s), (steps, 3))
        felt = truth @ (np.eye(3) + scale + tilt).T + bias + walk + noise
        if self.count == 0.0:
            return np.asarray(felt)
        counts = np.round(np.cumsum(felt * step_s, axis=0) / self.count)
        return np.asarray(np.diff(counts, axis=0, prepend=0.0) * self.count / step_s)


@dataclass(frozen=True)
class Imu:
    """Accelerometers (m/s^2) and gyroscopes (rad/s) of one unit."""

    accelerometer: Triad
    gyroscope: Triad

    def measured(
        self, specific_force: Array, angular_rate: Array, step_s: float, seed: int
    ) -> tuple[Array, Array]:
        """What the unit reports of averages over each step, in its own axes; the same for a seed.

        specific_force: (N, 3), m/s^2. angular_rate: (N, 3), rad/s. Raises InputError where their
        shapes differ.
        """
        if specific_force.shape != angular_rate.shape or specific_force.shape[1:] != (3,):
            raise InputError(
                f"imu: specific force {specific_force.shape} and angular rate "
                f"{angular_rate.shape} must both have the shape (N, 3)"
            )
        force_rng, rate_rng = (np.random.default_rng([seed, part]) for part in range(2))
        return (
            self.accelerometer.measured(specific_force, step_s, force_rng),
            self.gyroscope.measured(angular_rate, step_s, rate_rng),
        )


PERFECT = Imu(Triad(), Triad())

NAVIGATION_GRADE = Imu(
    Triad(25e-6 * _G, 1e-7, 10e-6 * _G, 100e-6, 50e-6, 1e-5),
    Triad(0.0035 * _DEG_PER_H, 1e-11, 0.002 * _DEG_PER_ROOT_H, 5e-6, 50e-6, 5e-7),
)
"""Bias, angular random walk and scale of the Honeywell HG9900 (brochure N61-1638); accelerometer
noise, walks, misalignment and counts, which it does not give, are of the usual size for the grade
(Groves 2013, chapter 4)."""

TACTICAL_GRADE = Imu(
    Triad(1e-3 * _G, 1e-5, 100e-6 * _G, 300e-6, 200e-6, 1e-4),
    Triad(1.0 * _DEG_PER_H, 1e-9, 0.125 * _DEG_PER_ROOT_H, 150e-6, 200e-6, 5e-6),
)
"""Bias, angular random walk and scale of the Honeywell HG1700AG58 (data sheet); the rest of the
usual size for the grade (Groves 2013, chapter 4)."""

PRESETS = {"perfect": PERFECT, "navigation": NAVIGATION_GRADE, "tactical": TACTICAL_GRADE}
