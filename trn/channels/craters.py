"""The crater channel: rims detected in the frame, and the map's own craters that they are.

    detect -> identify with the prior -> evidence

Rims survive a light that breaks correlation: no view is predicted, and of the Sun in the prior no
more is needed than which end of the frame's own axis of light it stands at (trn.channels.light).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trn.backend.cpu_images import shrunk
from trn.backend.protocol import Backend
from trn.camera import Camera
from trn.channels.frame import FrameRun, Refused, Sighting, altitude_m, ground_sigma_m
from trn.channels.light import sun_in_image
from trn.detect.filter import detect_craters
from trn.fix import CraterCounts
from trn.identify.heights import rim_heights
from trn.identify.index import CraterIndex
from trn.identify.rims import project_rims
from trn.identify.with_prior import identify_with_prior
from trn.maps.catalog import CraterCatalog
from trn.maps.lunar_map import LunarMap
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, east_north_up_at
from trn.moon.pose import Pose
from trn.solve.pose import Matches, PoseEstimate
from trn.solve.robust import crater_evidence
from trn.view.footprint import Footprint

Array = NDArray[np.float64]

SMALLEST_CRATER_PX = 12.0
"""The frame is shrunk until the map's smallest craters are about so wide."""
LEAST_DETECTED_PX = 8.0
MOST_CRATERS = 1500
"""The largest so many in view are sought."""
LEAST_IDENTIFIED = 6
SEARCH_SIGMAS = 3.0
PLACE_SIGMA_M, PLACE_SHARE = 37.0, 0.07
"""How far, an axis, a detected rim stands beside a listed one, 1 sigma: 25 m in the median between
list and map (Wang, Wu et al. against GLD100), and a share of the diameter, worn rims being vague
(461 craters of 40 rendered frames, at the right pose)."""
LEAST_SCORE = 0.15
"""Of a detection: which ones are craters of the map, identification finds out."""
NO_DISTORTION = (0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class CraterSighting:
    """Rims of a frame that are known: where they stand, and where the frame shows them.

    matches: centres, in pixels of `camera`, which is the frame's shrunk `factor` times. estimate:
    the pose that they and the prior give.
    """

    matches: Matches
    camera: Camera
    factor: float
    estimate: PoseEstimate


class CraterChannel:
    """Finds a map's craters in the frames of one camera; the map must have a catalogue."""

    def __init__(
        self, moon_map: LunarMap, catalog: CraterCatalog, camera: Camera, backend: Backend
    ) -> None:
        self.map = moon_map
        self.camera = camera
        self.backend = backend
        self._catalog = catalog
        self._centre = east_north_up_at(catalog.latitude, catalog.longitude)[2]
        self._height_m = np.full(len(catalog), np.nan)
        self._known = np.zeros(len(catalog), dtype=bool)

    def sight(
        self,
        image: NDArray[np.generic],
        believed: PoseEstimate,
        footprint: Footprint,
        sun_direction: Array,
        run: FrameRun,
    ) -> CraterSighting:
        """The craters of a frame that the map knows.

        believed: of the prior; footprint: seen from there. sun_direction: as `trn.channels.light`
        has it from the frame. Raises Refused where too few are found to trust.
        """
        with run.timed("rims"):
            index = self._in_view(believed, footprint)
            if len(index) < LEAST_IDENTIFIED:
                raise Refused(f"the map lists {len(index)} craters under the view, too few")
            camera, factor = self._scale(index, footprint)
        with run.timed("detect"):
            found = detect_craters(
                shrunk(image, camera.width, camera.height),
                sun_px=sun_in_image(believed.pose, sun_direction),
                smallest_px=LEAST_DETECTED_PX,
                least_score=LEAST_SCORE,
                backend=self.backend,
            )
        with run.timed("identify"):
            known = identify_with_prior(found, camera, believed, index)
        count = len(known.detection)
        run.craters = CraterCounts(len(found), count, count)
        if count < LEAST_IDENTIFIED:
            raise Refused(
                f"of {len(found)} craters detected {count} are known ones of the map, too few"
            )
        rims = index.centre[known.crater], index.first[known.crater], index.second[known.crater]
        pose = known.estimate.pose
        # A rim's ellipse is not centred where its centre is seen; by so little that the lens, which
        # project_rims leaves out, does not matter.
        seen = project_rims(camera, pose, *rims).values[:, :2]
        aside = seen - replace(camera, distortion=NO_DISTORTION).project(pose.to_camera(rims[0]))
        ellipses = found.chosen(known.detection)
        assert ellipses.covariance is not None  # The detector gives one with each.
        away_m = np.linalg.norm(rims[0] - pose.position_m, axis=1)
        listed = np.hypot(PLACE_SIGMA_M, 2.0 * PLACE_SHARE * index.radius_m[known.crater])
        beside_px = listed * camera.fx / away_m
        matches = Matches(
            rims[0],
            ellipses.values[:, :2] - aside,
            ellipses.covariance[:, :2, :2] + beside_px[:, None, None] ** 2 * np.eye(2),
            ellipses.score,
        )
        return CraterSighting(matches, camera, factor, known.estimate)

    def evidence(self, sighting: CraterSighting, believed: PoseEstimate, pose: Pose) -> Sighting:
        """What a sighting says about the pose, from one near it."""
        evidence = crater_evidence(
            sighting.camera,
            believed,
            sighting.matches,
            pose,
            ground_sigma_m(
                self.camera, altitude_m(self.map, pose.position_m), self.map.resolution_m
            ),
        )
        return Sighting(evidence, sighting.matches, sighting.camera, sighting.factor)

    def _in_view(self, believed: PoseEstimate, footprint: Footprint) -> CraterIndex:
        """The craters that the frame may show, at the heights that the map gives their rims."""
        sigma_m, sigma_rad = np.sqrt(np.diag(believed.covariance)[[0, 3]])
        margin_m = SEARCH_SIGMAS * (sigma_m + sigma_rad * footprint.median_range_m)
        x_min, x_max, y_min, y_max = footprint.widened(margin_m / REFERENCE_RADIUS_M)
        local = self._centre @ east_north_up(footprint.centre).T
        with np.errstate(divide="ignore", invalid="ignore"):
            x, y = local[:, 0] / local[:, 2], local[:, 1] / local[:, 2]
        inside = (local[:, 2] > 0.2) & (x > x_min) & (x < x_max) & (y > y_min) & (y < y_max)
        pixel_m = footprint.median_range_m / min(self.camera.fx, self.camera.fy)
        wide_enough = self._catalog.diameter_m > LEAST_DETECTED_PX * pixel_m
        # Largest first, as the catalogue is.
        chosen = np.flatnonzero(inside & wide_enough)[:MOST_CRATERS]
        self._learn_heights(chosen[~self._known[chosen]])
        chosen = chosen[np.isfinite(self._height_m[chosen])]
        return CraterIndex.of(self._catalog.chosen(chosen), self._height_m[chosen])

    def _learn_heights(self, chosen: NDArray[np.intp]) -> None:
        """Heights of rims that are asked for the first time."""
        if chosen.size:
            self._height_m[chosen] = rim_heights(self.map, self._catalog.chosen(chosen))
            self._known[chosen] = True

    def _scale(self, index: CraterIndex, footprint: Footprint) -> tuple[Camera, float]:
        """The camera of the shrunk frame, and how many times it is shrunk."""
        pixel_m = footprint.median_range_m / min(self.camera.fx, self.camera.fy)
        smallest_px = 2.0 * float(np.percentile(index.radius_m, 10)) / pixel_m
        factor = max(1.0, smallest_px / SMALLEST_CRATER_PX)
        return self.camera.scaled(factor), factor
