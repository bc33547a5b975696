"""Where the camera is and how it is turned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.moon.quaternions import turned_quaternion

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Position in MOON_ME and attitude of a camera.

    position_m: shape (3,), metres, MOON_ME.
    quaternion_xyzw: shape (4,), unit; takes a vector from the body-fixed frame into camera axes.

    Corrections live on the tangent space and act on the left, in camera axes:
    R' = exp([rotation_rad]x) R, position' = position + translation_m.
    """

    position_m: Array
    quaternion_xyzw: Array

    def rotation_body_to_camera(self) -> Array:
        """Rotation matrix, shape (3, 3), read-only: camera vector = R @ body-fixed vector."""
        return self._rotation

    @cached_property
    def _rotation(self) -> Array:
        matrix = np.asarray(Rotation.from_quat(self.quaternion_xyzw).as_matrix(), dtype=np.float64)
        matrix.setflags(write=False)
        return matrix

    def moved(self, translation_m: Any, rotation_rad: Any) -> Pose:
        """The pose after a correction: metres in MOON_ME, radians about camera axes, shape (3,)."""
        return Pose(
            np.asarray(self.position_m, dtype=np.float64) + np.asarray(translation_m),
            turned_quaternion(np.asarray(self.quaternion_xyzw), np.asarray(rotation_rad)),
        )

    def to_camera(self, points_m: Array) -> Array:
        """Body-fixed points, shape (..., 3), metres, in camera axes."""
        relative = np.asarray(points_m, dtype=np.float64) - self.position_m
        return np.asarray(relative @ self.rotation_body_to_camera().T, dtype=np.float64)
