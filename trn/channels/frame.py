"""What the channels of one frame share: book-keeping, refusals, and the record for pictures."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.protocol import Backend
from trn.camera import Camera
from trn.fix import CraterCounts, LandmarkCounts
from trn.maps.lunar_map import LunarMap
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.pose import Pose
from trn.solve.evidence import PARTS_A_SIDE, Evidence
from trn.solve.pose import Matches, PoseEstimate

clock = time.perf_counter
"""Seconds, of which stages are timed."""

GROUND_OF_MAP = 2.4
"""How far, in map pixels, a part of the view one map pixel wide may lie beside the map."""

LIGHT_SHIFT = 0.25
"""How far what the map leaves out shifts light and shade, over the length of its shadows. Ground is
rougher than its map, shadows are longer, and the view seems to lie towards the Sun: by 17 m +- 4 in
18 frames under a Sun of 7 to 15 degrees, and by 25 m in descents over Atlas and Tycho."""
LEAST_SUN_RAD = np.deg2rad(3.0)


class Refused(Exception):
    """Ends one frame with `no_fix` and a reason in plain words."""


class Disagreement(Refused):
    """A refusal because image and map do not agree; the light may be to blame."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What happened in the last stage of a frame, for pictures and studies.

    backend, radiance: the predicted view's image and who keeps it; pose: where it is predicted
    from. camera: the view's; whole: that of the whole image. matches: in the view's pixels; inlier:
    bool (N,), which agree. evidence: what the fix rests on, and landmarks: where they alone lead;
    None where the frame did not get so far.
    """

    backend: Backend
    radiance: Any
    pose: Pose
    camera: Camera
    whole: Camera
    matches: Matches
    inlier: NDArray[np.bool_]
    evidence: Evidence | None = None
    landmarks: PoseEstimate | None = None

    @property
    def predicted_px(self) -> NDArray[np.float64]:
        """Where the matches' ground is predicted, (N, 2), pixels of the whole image."""
        return self._in_whole(self.camera.project(self.pose.to_camera(self.matches.points_m)))

    @property
    def measured_px(self) -> NDArray[np.float64]:
        """Where it is found, (N, 2), pixels of the whole image."""
        return self._in_whole(self.matches.pixels_px)

    @property
    def score(self) -> NDArray[np.float64]:
        """Zero-mean NCC of the matches, (N,)."""
        return self.matches.score

    def _in_whole(self, pixels_px: NDArray[np.float64]) -> NDArray[np.float64]:
        sides = self.whole.width / self.camera.width, self.whole.height / self.camera.height
        return np.asarray((pixels_px + 0.5) * np.array(sides) - 0.5)

    @property
    def predicted(self) -> NDArray[np.float32]:
        """The predicted view, float32 (rows, columns), NaN where not predictable."""
        return self.backend.pixels(self.radiance)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where the view is predictable, bool (rows, columns)."""
        return np.isfinite(self.predicted)


@dataclass
class FrameRun:
    """Book-keeping of one frame."""

    latency_ms: dict[str, float] = field(default_factory=dict)
    landmarks: LandmarkCounts = field(default_factory=lambda: LandmarkCounts(0, 0, 0))
    craters: CraterCounts = field(default_factory=CraterCounts)
    light_turn_rad: float = 0.0
    trace: Trace | None = None

    def timed(self, stage: str) -> _Timed:
        """Adds what the block takes to the stage's latency."""
        return _Timed(self.latency_ms, stage)


class _Timed:
    """A context manager of its own: contextlib's takes as long as some of what is timed."""

    __slots__ = ("_latency_ms", "_stage", "_start")

    def __init__(self, latency_ms: dict[str, float], stage: str) -> None:
        self._latency_ms, self._stage = latency_ms, stage

    def __enter__(self) -> None:
        self._start = clock()

    def __exit__(self, *_: object) -> None:
        spent = 1e3 * (clock() - self._start)
        self._latency_ms[self._stage] = self._latency_ms.get(self._stage, 0.0) + spent


@dataclass(frozen=True, eq=False)
class Sighting:
    """What one channel says about the pose of a frame.

    evidence: normal equations at one pose. matches: what agrees with it, in pixels of `camera`,
    which is the frame's shrunk `factor` times.
    """

    evidence: Evidence
    matches: Matches
    camera: Camera
    factor: float


def altitude_m(moon_map: LunarMap, position_m: NDArray[np.float64]) -> float:
    """Height over the terrain straight below, metres; NaN over holes of the map."""
    ground = float(moon_map.height_at(position_m))
    return math.hypot(*position_m) - REFERENCE_RADIUS_M - ground


def ground_sigma_m(camera: Camera, altitude_m: float, map_pixel_m: float) -> float:
    """How far a part of a view may lie beside the map, an axis, 1 sigma.

    What the map leaves out and gets wrong is another in every map pixel: over a part it averages
    out, with the square root of the pixels that the part holds. The lower the camera, the fewer.
    NaN, over a hole, counts as one map pixel up.
    """
    part_m = max(map_pixel_m, altitude_m) * camera.width / camera.fx / PARTS_A_SIDE
    return GROUND_OF_MAP * map_pixel_m**2 / part_m


def light_shift_m(
    sun_direction: NDArray[np.float64], position_m: NDArray[np.float64], height_sigma_m: float
) -> NDArray[np.float64]:
    """How far, 1 sigma, light and shade may shift all of a view: along the Sun's azimuth, (3,).

    sun_direction: unit, MOON_ME. height_sigma_m: error of the map's heights. The lower the Sun, the
    further do errors of height throw their shadows.
    """
    up = position_m / math.hypot(*position_m)
    sine = float(sun_direction @ up)
    level = sun_direction - sine * up
    cosine = max(math.hypot(*level), 1e-9)
    tangent = max(sine / cosine, math.tan(LEAST_SUN_RAD))
    return np.asarray(LIGHT_SHIFT * height_sigma_m / tangent * level / cosine)
