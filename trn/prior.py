"""What is believed before a frame: pose with its uncertainty, and the Sun."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.errors import InputError, quoted
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.pose import Pose
from trn.moon.sun import sun_direction_moon_me

Array = NDArray[np.float64]

MOST_FILE_BYTES = 1_000_000
DEEPEST_M = -10_000.0
"""Lowest lunar terrain is about 9.1 km below the sphere (Antoniadi)."""
MOST_DISTANCE_M = 1.0e8


@dataclass(frozen=True, eq=False)
class Prior:
    """Believed pose of the camera and direction of the Sun.

    position_m: (3,), MOON_ME. position_sigma_m: 1 sigma an axis. quaternion_xyzw: (4,), body-fixed
    to camera. attitude_sigma_rad: 1 sigma an axis. sun_direction: (3,), unit, MOON_ME.
    """

    position_m: Array
    position_sigma_m: float
    quaternion_xyzw: Array
    attitude_sigma_rad: float
    sun_direction: Array

    @property
    def pose(self) -> Pose:
        """Position and attitude alone."""
        return Pose(self.position_m, self.quaternion_xyzw)

    @classmethod
    def load(cls, path: str | Path) -> Prior:
        """Read prior.json; raises InputError naming file and field."""
        path = Path(path)
        try:
            if path.stat().st_size > MOST_FILE_BYTES:
                raise InputError(f"{path}: too large for a prior; give a JSON of a few kB")
            document = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror}); check the path"
            ) from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: not JSON ({error})") from error
        return cls.from_dict(document, str(path))

    @classmethod
    def from_dict(cls, document: Any, source: str = "prior") -> Prior:
        """A prior from the values of prior.json; raises InputError naming source and field."""
        if not isinstance(document, dict):
            raise InputError(f"{source}: must be one JSON object with position_moon_me_m and so on")
        position = _vector(document, "position_moon_me_m", 3, source)
        distance = float(np.linalg.norm(position))
        if distance < REFERENCE_RADIUS_M + DEEPEST_M:
            raise InputError(
                f"{source}: position_moon_me_m lies inside the Moon ({distance / 1e3:.1f} km from "
                "its centre); give body-fixed metres from the centre"
            )
        if distance > MOST_DISTANCE_M:
            raise InputError(f"{source}: position_moon_me_m is not near the Moon; give metres")
        quaternion = _vector(document, "quaternion_body_to_camera_xyzw", 4, source)
        length = float(np.linalg.norm(quaternion))
        if abs(length - 1.0) > 1e-3:
            raise InputError(
                f"{source}: quaternion_body_to_camera_xyzw has length {length:.6g}; "
                "give a unit quaternion"
            )
        return cls(
            position,
            _positive(document, "position_sigma_m", source),
            quaternion / length,
            math.radians(_positive(document, "attitude_sigma_deg", source)),
            _sun(document, source),
        )

    def to_dict(self) -> dict[str, Any]:
        """The values of prior.json."""
        return {
            "position_moon_me_m": self.position_m.tolist(),
            "position_sigma_m": self.position_sigma_m,
            "quaternion_body_to_camera_xyzw": self.quaternion_xyzw.tolist(),
            "attitude_sigma_deg": math.degrees(self.attitude_sigma_rad),
            "sun_direction_moon_me": self.sun_direction.tolist(),
        }


def _number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= sys.float_info.max


def _vector(document: dict[str, Any], name: str, count: int, source: str) -> Array:
    value = document.get(name)
    if value is None:
        raise InputError(f"{source}: {name} is missing; give {count} numbers")
    if not isinstance(value, list) or len(value) != count or not all(map(_number, value)):
        raise InputError(f"{source}: {name} must be a list of {count} finite numbers")
    return np.array(value, dtype=np.float64)


def _positive(document: dict[str, Any], name: str, source: str) -> float:
    value = document.get(name)
    if not _number(value) or float(value) <= 0:  # type: ignore[arg-type]
        raise InputError(f"{source}: {name} must be a number above zero, not {quoted(value)}")
    return float(value)  # type: ignore[arg-type]


def _sun(document: dict[str, Any], source: str) -> Array:
    if "sun_direction_moon_me" in document:
        sun = _vector(document, "sun_direction_moon_me", 3, source)
        length = float(np.linalg.norm(sun))
        if length < 1e-6:
            raise InputError(f"{source}: sun_direction_moon_me is zero; give a direction")
        return sun / length
    utc = document.get("utc")
    if not isinstance(utc, str):
        raise InputError(
            f"{source}: sun_direction_moon_me is missing; give it, or utc such as "
            '"2023-04-25T16:40:00"'
        )
    try:
        return sun_direction_moon_me(utc)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
