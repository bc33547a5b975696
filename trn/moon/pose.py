"""Where the camera is and how it is turned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.moon.quaternions import rotation_of, turned_quaternion

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
        matrix: Array = rotation_of(self.quaternion())
        matrix.setflags(write=False)
        return matrix

    def position(self) -> Array:
        """The position, copied as compiled code takes it: float64 (3,)."""
        return np.array(self.position_m, dtype=np.float64)

    def quaternion(self) -> Array:
        """The quaternion, copied as compiled code takes it: float64 (4,)."""
        return np.array(self.quaternion_xyzw, dtype=np.float64)

    def moved(self, translation_m: Any, rotation_rad: Any) -> Pose:
        """The pose after a correction: metres in MOON_ME, radians about camera axes, shape (3,)."""
        return Pose(
            self.position() + np.asarray(translation_m),
            turned_quaternion(self.quaternion(), np.array(rotation_rad, dtype=np.float64)),
        )

    def to_camera(self, points_m: Array) -> Array:
        """Body-fixed points, shape (..., 3), metres, in camera axes."""
        relative = np.asarray(points_m, dtype=np.float64) - self.position_m
        return np.asarray(relative @ self.rotation_body_to_camera().T, dtype=np.float64)
