"""One frame to one position fix: the place to read first.

    frame, prior -> refuse hopeless input -> landmarks (trn.channels.landmarks) -> join
                                          -> craters (trn.channels.craters) ----^  |
                                                        accept or refuse <----------+

A fix is refused, with the reason, rather than given on evidence that chance could have made.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from trn.backend.protocol import Backend
from trn.backend.select import select_backend
from trn.camera import Camera
from trn.channels.frame import FrameRun, Refused, Sighting, Trace, altitude_m
from trn.channels.landmarks import LandmarkChannel
from trn.correlate.quality import image_defect
from trn.fix import PositionFix, ProtectionLevel
from trn.images import check_image_for_camera
from trn.maps.lunar_map import LunarMap
from trn.moon.frames import east_north_up
from trn.prior import Prior
from trn.solve.integrity import (
    INTEGRITY_RISK,
    separated_levels,
    solution_separations,
    untrusted,
)
from trn.solve.pose import PoseEstimate
from trn.view.footprint import Footprint
from trn.view.terrain import TerrainCache

ALERT_LIMIT_MAP_PIXELS = 2.0


class Localizer:
    """Gives position fixes of one camera on one map.

    backend: "auto", "cpu" or "cuda". Keeps the terrain of the last frame, so that a sequence over
    one place reads and shadows it once.
    """

    def __init__(self, moon_map: LunarMap, camera: Camera, backend: str = "auto") -> None:
        self.map = moon_map
        self.camera = camera
        self.backend: Backend = select_backend(backend)
        self._terrain = TerrainCache(moon_map, self.backend)
        self._landmarks = LandmarkChannel(moon_map, camera, self.backend, self._terrain)

    def locate(self, image: NDArray[np.generic], prior: Prior) -> PositionFix:
        """The position fix of one frame, or a refusal with its reason.

        image: (height, width), 8- or 16-bit or float. Raises InputError for an image that does not
        belong to the camera.
        """
        return self.locate_with_trace(image, prior)[0]

    def locate_with_trace(
        self, image: NDArray[np.generic], prior: Prior
    ) -> tuple[PositionFix, Trace | None]:
        """As `locate`, with what was seen on the way; None where nothing was matched."""
        check_image_for_camera(image, self.camera, "image")
        run = FrameRun()
        start = time.perf_counter()
        try:
            fix = self._locate(image, prior, run)
        except Refused as refusal:
            fix = PositionFix.refused(
                str(refusal), run.landmarks, self.backend.name, run.latency_ms
            )
        run.latency_ms["total"] = 1e3 * (time.perf_counter() - start)
        return fix, run.trace

    def _locate(self, image: NDArray[np.generic], prior: Prior, run: FrameRun) -> PositionFix:
        with run.timed("check"):
            defect = image_defect(image)
        if defect:
            raise Refused(defect)
        believed = PoseEstimate(prior.pose, _prior_covariance(prior))
        footprint = self._footprint(prior, run)
        sighting = self._landmarks.sight(image, believed, footprint, prior.sun_direction, run)
        with run.timed("accept"):
            return self._accepted(sighting, run)

    def _footprint(self, prior: Prior, run: FrameRun) -> Footprint:
        with run.timed("terrain"):
            footprint = self._terrain.footprint(self.camera, prior.pose)
        if footprint is None:
            raise Refused("the camera does not look at the Moon from the prior")
        if footprint.median_range_m <= 0.0:
            raise Refused("the prior stands below the lowest ground of the map")
        return footprint

    def _accepted(self, sighting: Sighting, run: FrameRun) -> PositionFix:
        """The fix, unless it cannot be trusted to within the alert limit."""
        evidence, kept = sighting.evidence, sighting.matches
        estimate = evidence.solution()
        position = estimate.pose.position_m
        separations = solution_separations(evidence, east_north_up(position))
        levels = separated_levels(separations)
        reason = untrusted(separations, levels, ALERT_LIMIT_MAP_PIXELS * self.map.resolution_m)
        if reason:
            raise Refused(reason)
        covariance = separations.widening * estimate.covariance
        residual = kept.pixels_px - sighting.camera.project(estimate.pose.to_camera(kept.points_m))
        altitude = altitude_m(self.map, position)
        return PositionFix(
            status="fix",
            reason="",
            position_m=position,
            covariance_m2=covariance[:3, :3],
            quaternion_xyzw=estimate.pose.quaternion_xyzw,
            attitude_covariance_rad2=covariance[3:, 3:],
            altitude_m=altitude if np.isfinite(altitude) else None,
            protection_level=ProtectionLevel(*levels, INTEGRITY_RISK),
            landmarks=run.landmarks,
            residual_rms_px=sighting.factor * float(np.sqrt((residual**2).sum(axis=1).mean())),
            backend=self.backend.name,
            latency_ms=run.latency_ms,
        )


def _prior_covariance(prior: Prior) -> NDArray[np.float64]:
    """Covariance of the prior's correction, (6, 6)."""
    sigmas = np.repeat([prior.position_sigma_m, prior.attitude_sigma_rad], 3)
    return np.asarray(np.diag(sigmas**2))
