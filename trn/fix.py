"""The answer to one frame: a position fix, or a refusal with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.moon.frames import geographic_from_position

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LandmarkCounts:
    """Landmarks searched, matched, and in agreement with the fix."""

    searched: int = 0
    matched: int = 0
    inliers: int = 0


@dataclass(frozen=True)
class CraterCounts:
    """Craters detected, identified, and in agreement with the fix."""

    detected: int = 0
    identified: int = 0
    inliers: int = 0


@dataclass(frozen=True)
class ProtectionLevel:
    """Bounds, in metres, that the error exceeds no more often than the integrity risk."""

    horizontal_m: float
    vertical_m: float
    integrity_risk: float


@dataclass(frozen=True, eq=False)
class PositionFix:
    """A position fix, or with status "no_fix" a refusal.

    position_m: (3,), MOON_ME. covariance_m2: (3, 3), of the position. quaternion_xyzw: (4,), body
    to camera. attitude_covariance_rad2: (3, 3), about camera axes. altitude_m: above the terrain
    straight below, None over a hole of the map. residual_rms_px: of inliers, image pixels.
    channel_separation: largest squared distance, over its covariance, of the fix and the solution
    without landmarks or without craters, three degrees of freedom; None for a fix of one channel.
    """

    status: str
    reason: str
    position_m: Array | None = None
    covariance_m2: Array | None = None
    quaternion_xyzw: Array | None = None
    attitude_covariance_rad2: Array | None = None
    altitude_m: float | None = None
    protection_level: ProtectionLevel | None = None
    landmarks: LandmarkCounts = field(default_factory=LandmarkCounts)
    craters: CraterCounts = field(default_factory=CraterCounts)
    residual_rms_px: float | None = None
    channel_separation: float | None = None
    backend: str = "cpu"
    latency_ms: dict[str, float] = field(default_factory=dict)

    @classmethod
    def refused(
        cls, reason: str, landmarks: LandmarkCounts, backend: str, latency_ms: dict[str, float]
    ) -> PositionFix:
        """A refusal: no position, and why."""
        return cls("no_fix", reason, landmarks=landmarks, backend=backend, latency_ms=latency_ms)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, as docs of the fix file say; position keys are None without a fix."""
        latitude = longitude = height = None
        if self.position_m is not None:
            lat, lon, above = geographic_from_position(self.position_m)
            latitude, longitude = float(np.rad2deg(lat)), float(np.rad2deg(lon))
            height = float(above)
        level = self.protection_level
        return {
            "status": self.status,
            "reason": self.reason,
            "position_moon_me_m": _listed(self.position_m),
            "covariance_m2": _listed(self.covariance_m2),
            "latitude_deg": latitude,
            "longitude_east_deg": longitude,
            "height_m": height,
            "altitude_m": self.altitude_m,
            "quaternion_body_to_camera_xyzw": _listed(self.quaternion_xyzw),
            "protection_level_m": {
                "horizontal": level.horizontal_m if level else None,
                "vertical": level.vertical_m if level else None,
                "integrity_risk": level.integrity_risk if level else None,
            },
            "landmarks": {
                "searched": self.landmarks.searched,
                "matched": self.landmarks.matched,
                "inliers": self.landmarks.inliers,
            },
            "craters": {
                "detected": self.craters.detected,
                "identified": self.craters.identified,
                "inliers": self.craters.inliers,
            },
            "residual_rms_px": self.residual_rms_px,
            "channel_separation": self.channel_separation,
            "backend": self.backend,
            "latency_ms": {stage: round(ms, 3) for stage, ms in self.latency_ms.items()},
        }


def _listed(values: Array | None) -> Any:
    return None if values is None else values.tolist()
