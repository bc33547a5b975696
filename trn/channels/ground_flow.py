"""How far the camera moved between two frames, from the ground that both show.

Lower down than a map's pixels can be told apart, a frame gives no fix, but the ground still flows
past: corners of the frame before, placed on the map's ground from where the camera is believed to
have been, are found again, and where the camera must be to see them there is how far it has come.
What that says is the movement over the height above the ground; the navigation, which knows
accelerations in metres, learns both from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trn.backend.cpu_contrast import local_contrast
from trn.backend.cpu_images import shrunk
from trn.camera import Camera
from trn.correlate.flow import corners, followed, in_bytes
from trn.moon.pose import Pose
from trn.solve.descent import LEAST_AGREEING
from trn.solve.pose import Matches, PoseEstimate
from trn.solve.robust import solve_robustly

Array = NDArray[np.float64]

SIDE_PX = 512
BORDER_PX = 8
FOLLOWED_SIGMA_PX = 0.2
LEAST_AGREEING_SHARE = 0.4
"""Of the corners that must be in view again: by chance a fifth is followed somewhere."""
TURN_SIGMA_RAD = 5e-5
"""Of the believed rotation from frame to frame, which gyroscopes know well."""
PLACE_SIGMA_OF_RANGE = 0.2
"""Of the believed place, over the distance of the ground: wide, so that the image decides."""


@dataclass(frozen=True, eq=False)
class Displacement:
    """A movement between two exposures.

    offset_m: (3,), MOON_ME. covariance_m2: (3, 3), of what is seen; that of the ground's distance
    is not in it. begin_m: (3,), where it was taken to have begun. corners: how many agree.
    """

    offset_m: Array
    covariance_m2: Array
    begin_m: Array
    corners: int


class GroundFlow:
    """Keeps the last frame of one camera, for the next one to be compared with."""

    def __init__(self, camera: Camera, ranges_m: Callable[[Array, Array], Array]) -> None:
        """ranges_m: distances to the map's ground from origins (N, 3) along directions (N, 3)."""
        self.camera = camera.scaled(max(1.0, camera.width / SIDE_PX))
        self._ranges_m = ranges_m
        self._last: NDArray[np.uint8] | None = None

    def see(self, image: NDArray[np.generic]) -> NDArray[np.uint8] | None:
        """Keep a frame; returns the one before it."""
        small = shrunk(image, self.camera.width, self.camera.height)
        before, self._last = self._last, in_bytes(local_contrast(small))
        return before

    def displacement(
        self, before: NDArray[np.uint8], began: Pose, now: Pose
    ) -> Displacement | None:
        """How far the camera moved from the frame before to the last one.

        began, now: believed poses of both. None where too little ground is seen again, or it does
        not agree on one movement.
        """
        if self._last is None:
            return None
        place = corners(before)
        rays = self.camera.pixels_to_rays(place) @ began.rotation_body_to_camera()
        known = np.isfinite(rays).all(axis=1)
        place, rays = place[known], rays[known]
        if len(place) < LEAST_AGREEING:
            return None
        range_m = self._ranges_m(np.tile(began.position_m, (len(rays), 1)), rays)
        points = began.position_m + range_m[:, None] * rays
        expected = self.camera.project(now.to_camera(points))
        size = np.array([self.camera.width, self.camera.height])
        visible = ((expected > BORDER_PX) & (expected < size - BORDER_PX)).all(axis=1)
        least = max(LEAST_AGREEING, LEAST_AGREEING_SHARE * float(visible.sum()))
        if visible.sum() < least:
            return None
        place, points, range_m = place[visible], points[visible], range_m[visible]
        found = followed(before, self._last, place, expected[visible])
        kept = np.isfinite(found).all(axis=1)
        count = int(kept.sum())
        if count < least:
            return None
        matches = Matches(
            points[kept],
            found[kept],
            np.tile(FOLLOWED_SIGMA_PX**2 * np.eye(2), (count, 1, 1)),
            np.ones(count),
        )
        sigmas = np.repeat([PLACE_SIGMA_OF_RANGE * float(np.median(range_m)), TURN_SIGMA_RAD], 3)
        believed = PoseEstimate(now, np.diag(sigmas**2))
        solution, agrees = solve_robustly(self.camera, believed, matches, now)
        agreeing = int(agrees.sum())
        if agreeing < least:
            return None
        return Displacement(
            solution.pose.position_m - began.position_m,
            solution.covariance[:3, :3],
            began.position_m,
            agreeing,
        )
