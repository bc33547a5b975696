"""Dead reckoning: a state carried by inertial samples alone, as it is without a camera."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.navigation.state import NavigationState
from trn.navigation.strapdown import chunks, dead_reckon

Array = NDArray[np.float64]


class DeadReckoning:
    """Position and velocity from inertial samples as reported; attitude from the star tracker too.

    No covariance is kept, and no bias is known.
    """

    def __init__(self, started: NavigationState) -> None:
        self.position_m: Array = started.position_m.copy()
        self._velocity_m_per_s = started.velocity_m_per_s.copy()
        self._rotation = started.rotation.copy()

    def propagate(self, rates: Array, forces: Array, step_s: float) -> None:
        """Carry on over samples, (N, 3) each, vehicle axes, each a step long."""
        for chunk in chunks(len(rates), step_s):
            dead_reckon(
                self.position_m, self._velocity_m_per_s, self._rotation, rates[chunk],
                forces[chunk], step_s,
            )  # fmt: skip

    def turn_to(self, quaternion_xyzw: Array) -> None:
        """Take a star tracker's attitude, body-fixed to vehicle, as it is."""
        self._rotation = np.ascontiguousarray(Rotation.from_quat(quaternion_xyzw).as_matrix())
