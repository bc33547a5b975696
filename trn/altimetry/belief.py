"""What the cross-check is told of the navigation at one moment, and of image fixes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CHANNEL_STRAY = 10.0


@dataclass(frozen=True, eq=False)
class Belief:
    """The navigation that no range has touched, and the inertial witness beside it.

    position_m, velocity_m_per_s: (3,), MOON_ME. rotation: (3, 3), body-fixed to vehicle.
    covariance: (6, 6), of position (MOON_ME) and attitude (vehicle axes). velocity_sigma_m_per_s:
    an axis. witness_m: (3,), where dead reckoning from the last verified state has come.
    witness_sigma_m: by how much the two may honestly differ, 1 sigma an axis. unaided_s: since the
    last accepted fix.
    """

    time_s: float
    position_m: Array
    velocity_m_per_s: Array
    rotation: Array
    covariance: Array
    velocity_sigma_m_per_s: float
    witness_m: Array
    witness_sigma_m: float
    unaided_s: float


@dataclass(frozen=True, eq=False)
class FixEvidence:
    """An image fix against navigation and witness.

    from_navigation_m, from_witness_m: (3,), fix minus place, less what earlier fixes have shown
    that it shares with them. covariance_m2: (3, 3), of the first, both sides' errors (an
    innovation's). fix_covariance_m2: (3, 3), of the fix alone. velocity_m_per_s: (3,). up: (3,).
    channel_separation: squared, over its covariance, of the fix and what landmarks or craters alone
    say, three degrees of freedom; 0 for a fix of one channel.
    """

    time_s: float
    from_navigation_m: Array
    from_witness_m: Array
    covariance_m2: Array
    fix_covariance_m2: Array
    velocity_m_per_s: Array
    up: Array
    unaided_s: float
    channel_separation: float = 0.0

    @property
    def channel_doubt(self) -> float:
        """Log odds that landmarks and craters disagree because one of them is wrong.

        A wrong channel is taken to stray CHANNEL_STRAY times as far as its covariance says.
        """
        gained = 0.5 * self.channel_separation * (1.0 - CHANNEL_STRAY**-2)
        return max(gained - 3.0 * math.log(CHANNEL_STRAY), 0.0)
