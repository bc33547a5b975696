"""One frame to one position fix: the place to read first.

    frame, prior -> refuse hopeless input -> landmarks (trn.channels.landmarks) -> join
                                          -> craters (trn.channels.craters) ----^  |
                                                        accept or refuse <----------+

A fix is refused, with the reason, rather than given on evidence that chance could have made.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trn.backend.protocol import Backend
from trn.backend.select import select_backend
from trn.camera import Camera
from trn.channels.craters import CraterChannel, CraterSighting
from trn.channels.frame import FrameRun, Refused, Sighting, Trace, altitude_m, light_shift_m
from trn.channels.landmarks import LandmarkChannel
from trn.channels.light import light_of_frame
from trn.correlate.quality import full_scale_of, image_defect
from trn.errors import InputError
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
from trn.solve.pose import PoseEstimate, residuals
from trn.view.footprint import Footprint
from trn.view.terrain import TerrainCache

CHANNELS = ("landmarks", "craters")
LEAST_VIEW_MAP_PIXELS = 60
"""Where the last fixes of rendered descents are (`python -m bench.fix_errors`: about 5 km up)."""
ALERT_LIMIT_MAP_PIXELS = 2.0
CHANNEL_GATE = 30.7
"""Squared separation of the channels, over its covariance, that one in a million right pairs of
three degrees of freedom exceeds."""


class Localizer:
    """Gives position fixes of one camera on one map.

    backend: see trn.backend.select. channels: of CHANNELS, those to use; craters need a map with a
    catalogue, and are left out without one unless they are asked for alone. Keeps the terrain of
    the last frame, so that a sequence over one place reads and shadows it once. Raises InputError
    for channels that there are not.
    """

    def __init__(
        self,
        moon_map: LunarMap,
        camera: Camera,
        backend: str = "auto",
        channels: Sequence[str] = CHANNELS,
    ) -> None:
        self.map = moon_map
        self.camera = camera
        self.backend: Backend = select_backend(backend)
        self._terrain = TerrainCache(moon_map, self.backend)
        if not channels or not set(channels) <= set(CHANNELS):
            raise InputError(f"channels: {list(channels)}; give some of {', '.join(CHANNELS)}")
        self._landmarks: LandmarkChannel | None = None
        if "landmarks" in channels:
            self._landmarks = LandmarkChannel(moon_map, camera, self.backend, self._terrain)
        catalog = moon_map.craters() if "craters" in channels else None
        if catalog is None and self._landmarks is None:
            raise InputError(
                f"{moon_map.folder}: lists no craters; build the map with --craters or "
                "--craters-from-dem"
            )
        self._craters: CraterChannel | None = None
        if catalog is not None:
            self._craters = CraterChannel(moon_map, catalog, camera, self.backend)

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
                str(refusal), run.landmarks, self.backend.name, run.latency_ms, run.craters
            )
        run.latency_ms["total"] = 1e3 * (time.perf_counter() - start)
        return fix, run.trace

    def _locate(self, image: NDArray[np.generic], prior: Prior, run: FrameRun) -> PositionFix:
        with run.timed("check"):
            frame = self.backend.load_image(image)
            defect = image_defect(self.backend, frame, full_scale_of(image))
        if defect:
            raise Refused(defect)
        believed = PoseEstimate(prior.pose, _prior_covariance(prior))
        footprint = self._footprint(prior, run)
        with run.timed("light"):
            sun, run.light_turn_rad = light_of_frame(
                frame, prior.pose, prior.sun_direction, self.backend
            )
        landmarks, refusal = None, None
        if self._landmarks is not None:
            try:
                landmarks = self._landmarks.sight(frame, believed, footprint, sun, run)
            except Refused as why:
                refusal = why
        craters = None
        if self._craters is not None:
            try:
                craters = self._craters.sight(image, believed, footprint, sun, run)
            except Refused as why:
                refusal = refusal or why
        if landmarks is None and craters is None:
            if run.landmarks.searched:
                self._check_view(footprint)
            raise refusal or Refused("no channel looked at the frame")
        with run.timed("accept"):
            return self._accepted(self._joined(landmarks, craters, believed), sun, run)

    def _joined(
        self, landmarks: Sighting | None, craters: CraterSighting | None, believed: PoseEstimate
    ) -> Sighting:
        """What the channels say together, or the one that says anything."""
        if craters is None or self._craters is None:
            assert landmarks is not None
            return landmarks
        if landmarks is None:
            return self._craters.evidence(craters, believed, craters.estimate.pose)
        beside = self._craters.evidence(craters, believed, landmarks.evidence.start)
        return replace(landmarks, evidence=landmarks.evidence.joined(beside.evidence))

    def _footprint(self, prior: Prior, run: FrameRun) -> Footprint:
        with run.timed("terrain"):
            footprint = self._terrain.footprint(self.camera, prior.pose)
        if footprint is None:
            raise Refused("the camera does not look at the Moon from the prior")
        if footprint.median_range_m <= 0.0:
            raise Refused("the prior stands below the lowest ground of the map")
        return footprint

    def _check_view(self, footprint: Footprint) -> None:
        """Raise Refused where it is for want of map pixels that nothing was found."""
        across_m = footprint.median_range_m * self.camera.width / self.camera.fx
        pixels = across_m / self.map.resolution_m
        if pixels < LEAST_VIEW_MAP_PIXELS:
            raise Refused(
                f"too low over this map: the view holds {pixels:.0f} of its pixels across, and "
                f"below about {LEAST_VIEW_MAP_PIXELS} hardly any frame can be matched"
            )

    def _accepted(self, sighting: Sighting, sun: NDArray[np.float64], run: FrameRun) -> PositionFix:
        """The fix, unless it cannot be trusted to within the alert limit."""
        shift = light_shift_m(sun, sighting.evidence.start.position_m, self.map.height_sigma_m)
        evidence, kept = replace(sighting.evidence, light_shift_m=shift), sighting.matches
        estimate = evidence.solution()
        position = estimate.pose.position_m
        separations = solution_separations(evidence, east_north_up(position))
        levels = separated_levels(separations)
        reason = untrusted(separations, levels, ALERT_LIMIT_MAP_PIXELS * self.map.resolution_m)
        apart = max(separations.of_channels, default=None)
        if apart is not None and apart > CHANNEL_GATE:
            raise Refused(
                "landmarks and craters disagree by far more than their uncertainties: one of them "
                "is wrong, and which cannot be told from this frame"
            )
        if reason:
            raise Refused(reason)
        covariance = separations.scale * estimate.covariance
        residual = residuals(sighting.camera, estimate.pose, kept)
        altitude = altitude_m(self.map, position)
        return PositionFix(
            status="fix",
            reason="",
            position_m=position,
            covariance_m2=covariance[:3, :3],
            quaternion_xyzw=estimate.pose.quaternion_xyzw,
            attitude_covariance_rad2=covariance[3:, 3:],
            altitude_m=altitude if math.isfinite(altitude) else None,
            protection_level=ProtectionLevel(*levels, INTEGRITY_RISK),
            landmarks=run.landmarks,
            craters=run.craters,
            channel_separation=apart,
            light_turn_deg=math.degrees(run.light_turn_rad),
            residual_rms_px=sighting.factor * math.sqrt(np.vdot(residual, residual) / len(kept)),
            backend=self.backend.name,
            latency_ms=run.latency_ms,
        )


def _prior_covariance(prior: Prior) -> NDArray[np.float64]:
    """Covariance of the prior's correction, (6, 6)."""
    sigmas = np.repeat([prior.position_sigma_m, prior.attitude_sigma_rad], 3)
    return np.asarray(np.diag(sigmas**2))
