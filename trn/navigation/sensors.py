"""What the data sheets of the inertial unit and the star tracker say, as the filter needs it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImuModel:
    """Errors of an inertial measurement unit, 1 sigma, SI units.

    noise: per root hertz. walk: of the bias, per root second. bias: at the start. scale: a share.
    misalignment: of the axes.
    """

    rate_hz: float
    gyroscope_noise: float
    gyroscope_walk: float
    gyroscope_bias: float
    accelerometer_noise: float
    accelerometer_walk: float
    accelerometer_bias: float
    gyroscope_scale: float = 0.0
    gyroscope_misalignment_rad: float = 0.0
    accelerometer_scale: float = 0.0
    accelerometer_misalignment_rad: float = 0.0


@dataclass(frozen=True)
class StarTrackerModel:
    """Errors of a star tracker whose boresight is the vehicle's x axis, 1 sigma, radians.

    across_rad: of the boresight's direction, anew at each reading. roll_rad: about the boresight.
    mounting_rad: constant misalignment, each axis.
    """

    across_rad: float
    roll_rad: float
    mounting_rad: float = 0.0
