"""Which craters an image shows when the pose is roughly known, and the pose they give.

Rims are projected from the prior; pairs of ellipse and crater of like size vote for the motion that
brings the images onto the ellipses (trn.identify.prior_vote); the best motions are refined
(trn.identify.refine) and judged against chance (trn.identify.judge), the prior's volume included:
ellipses that show no catalogue craters give no matches. The pose is then fitted to one-to-one
matches, centres and sizes, together with the prior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.camera import Camera
from trn.detect import Ellipses
from trn.identify.fit import fitted
from trn.identify.index import CraterIndex
from trn.identify.judge import Verdict, clutter_density, judged
from trn.identify.prior_vote import centre_slopes, modes_of, motions
from trn.identify.refine import aligned, craters_in_sight, sigmas
from trn.identify.rims import five_of, five_sigmas, lens_of, size_of, undistorted
from trn.identify.usable import usable_ellipses
from trn.moon.pose import Pose
from trn.moon.turns import turn_between, turned
from trn.solve.pose import PoseEstimate

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

LEAST_MATCHES = 3
LOG_ODDS = math.log(1e5)
"""Least odds for craters against chance. The ratio of two probabilities exceeds T by chance in at
most one of T cases (Markov)."""
CLEAR = math.log(1e9)
"""Odds at which no further motion is tried."""
MOST_MOTIONS = 8
CELL_PX = 8.0
CENTRE_PX, CENTRE_SHARE = 1.2, 0.05
"""Standard deviation of a centre: pixels and share of the size, detector and catalogue together."""
SHAPE_PX, SHAPE_SHARE = 0.7, 0.2
UNITS = np.array([9.0, 6.0, 4.0, 2.6, 1.7])
LEAST_UNIT, MOST_UNIT = 0.6, 2.0
FARTHEST_PX = 600.0
"""Most that the frame is widened for craters which the prior puts outside."""


@dataclass(frozen=True, eq=False)
class CraterMatches:
    """Which crater each ellipse shows, and the pose from them and the prior.

    detection, crater: (K,), indices of the ellipses and of the index's craters, one to one.
    estimate: pose with covariance; the prior itself where there are no matches. residual: (K, 5),
    of the five numbers of trn.identify.rims, over their standard deviations. sigma_px: (K, 2),
    these, of centre and shape. log_odds: for the matches against chance, natural logarithm.
    """

    detection: Indices
    crater: Indices
    estimate: PoseEstimate
    residual: Array
    sigma_px: Array
    log_odds: float

    def __len__(self) -> int:
        return int(self.detection.size)


def identify_with_prior(
    ellipses: Ellipses, camera: Camera, believed: PoseEstimate, rims: CraterIndex
) -> CraterMatches:
    """Matches of ellipses and craters near a believed pose; none where chance explains them.

    ellipses: as detected, in the camera's pixels, distortion included. believed: covariance (6, 6)
    of (translation MOON_ME m, rotation about camera axes rad). rims: from CraterIndex.of a part of
    a catalogue, with the heights of the rims. Ellipses that are not finite match nothing.
    """
    seen = undistorted(ellipses, camera)
    usable = usable_ellipses(seen)
    if len(usable) < LEAST_MATCHES or not len(rims):
        return _nothing(believed)
    seen = seen.chosen(usable)
    view = _View.of(seen, camera, believed, rims)
    best: tuple[float, Verdict, Array, Array, float] | None = None
    for rotation, position in view.starts():
        candidate = view.refined(rotation, position)
        if candidate is not None and (best is None or candidate[0] > best[0]):
            best = candidate
        if best is not None and best[0] > CLEAR:
            break
    if best is None or best[0] < LOG_ODDS:
        return _nothing(believed, -math.inf if best is None else best[0])
    log_odds, verdict, rotation, position, unit = best
    held = np.flatnonzero(verdict.matches >= 0)
    if len(held) < LEAST_MATCHES:
        return _nothing(believed, log_odds)
    crater = verdict.matches[held]
    sigma = sigmas(unit, view.base, view.cap)[held]
    rotation, position, covariance, residual = fitted(
        rotation, position, view.rotation, view.position, view.information, view.five[held],
        sigma, rims.centre, rims.first, rims.second, view.lens, crater, 4,
    )  # fmt: skip
    pose = Pose(position, np.asarray(Rotation.from_matrix(rotation).as_quat()))
    estimate = PoseEstimate(pose, 0.5 * (covariance + covariance.T))
    return CraterMatches(usable[held], crater, estimate, residual, sigma, log_odds)


@dataclass(frozen=True, eq=False)
class _View:
    """The ellipses of one image with the prior, ready for the compiled parts."""

    five: Array
    base: Array
    cap: Array
    clutter: Array
    lens: Array
    frame: Array
    rotation: Array
    position: Array
    covariance: Array
    information: Array
    rims: CraterIndex

    @classmethod
    def of(cls, seen: Ellipses, camera: Camera, believed: PoseEstimate, rims: CraterIndex) -> _View:
        five = five_of(seen)
        size = size_of(five)
        base = np.stack(
            [
                np.hypot(CENTRE_PX, CENTRE_SHARE * size),
                np.hypot(SHAPE_PX, SHAPE_SHARE * size),
            ],
            -1,
        )
        told = five_sigmas(seen)
        if told is not None:
            base = np.hypot(base, np.where(np.isfinite(told), told, 0.0))
        frame = np.array([camera.width, camera.height], dtype=np.float64)
        covariance = np.asarray(believed.covariance, dtype=np.float64)
        return cls(
            five,
            base,
            0.35 * size + SHAPE_PX,
            clutter_density(five, frame),
            lens_of(camera),
            frame,
            np.ascontiguousarray(believed.pose.rotation_body_to_camera()),
            np.asarray(believed.pose.position_m, dtype=np.float64),
            covariance,
            np.asarray(np.linalg.inv(covariance)),
            rims,
        )

    def in_sight(self, rotation: Array, position: Array, margin_px: float, share: float) -> Indices:
        """Craters in the widened frame not smaller than a share of the smallest ellipse."""
        return craters_in_sight(
            rotation, position, self.rims.centre, self.rims.normal, self.rims.radius_m,
            self.lens, self.frame, margin_px, share * float(size_of(self.five).min()),
        )  # fmt: skip

    def starts(self) -> list[tuple[Array, Array]]:
        """Poses from which to refine, the most promising first."""
        rims = self.rims
        chosen = self.in_sight(self.rotation, self.position, FARTHEST_PX, 0.5)
        if not len(chosen):
            return []
        _, _, slopes = centre_slopes(
            self.rotation, self.position, rims.centre, rims.normal, rims.radius_m, self.lens, chosen
        )
        spread = 0.5 * (self.covariance + self.covariance.T)
        # Metres and radians are brought to a like size before the root is taken.
        scale = np.sqrt(np.diag(spread))
        values, vectors = np.linalg.eigh(spread / np.outer(scale, scale))
        root = scale[:, None] * vectors * np.sqrt(np.maximum(values, 0.0))
        modes, strength = modes_of(slopes, root)
        if strength[0] < 0.25 * CELL_PX:
            return [(self.rotation, self.position)]
        size = np.log(np.maximum(size_of(self.five), 1e-6))
        found = motions(
            self.five[:, :2].copy(), size, self.rotation, self.position, modes, strength, CELL_PX,
            rims.centre, rims.normal, rims.radius_m, self.lens, chosen, MOST_MOTIONS,
        )  # fmt: skip
        moves = found[:, 1:] @ modes[:, :3].T
        return [(turned(self.rotation, x[3:]), self.position + x[:3]) for x in moves]

    def refined(
        self, rotation: Array, position: Array
    ) -> tuple[float, Verdict, Array, Array, float] | None:
        """Odds, matches, pose and scatter from a start; None where nothing is in sight."""
        rims = self.rims
        chosen = self.in_sight(rotation, position, 100.0, 0.5)
        if not len(chosen):
            return None
        rotation, position, unit, covariance, _ = aligned(
            rotation, position, self.rotation, self.position, self.information, UNITS,
            LEAST_UNIT, MOST_UNIT, 3, self.five, self.base, self.cap, rims.centre, rims.first,
            rims.second, self.lens, chosen,
        )  # fmt: skip
        verdict = judged(
            rims, rotation, position, unit, self.five, self.base, self.cap, self.clutter,
            self.lens, self.frame,
        )  # fmt: skip
        away = np.concatenate([position - self.position, turn_between(self.rotation, rotation)])
        # Laplace's approximation of the integral over all poses that the prior allows.
        occam = 0.5 * (np.linalg.slogdet(covariance)[1] - np.linalg.slogdet(self.covariance)[1])
        log_odds = verdict.log_ratio + float(occam) - 0.5 * float(away @ self.information @ away)
        return log_odds, verdict, rotation, position, unit


def _nothing(believed: PoseEstimate, log_odds: float = -math.inf) -> CraterMatches:
    none = np.empty(0, dtype=np.int64)
    return CraterMatches(none, none, believed, np.empty((0, 5)), np.empty((0, 2)), log_odds)
