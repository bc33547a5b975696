"""What the ellipses of one image tell about a pose: refinement and odds, over any prior."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trn.camera import Camera
from trn.detect import Ellipses
from trn.identify.index import CraterIndex
from trn.identify.judge import Verdict, clutter_density, judged
from trn.identify.refine import aligned, craters_in_sight
from trn.identify.rims import five_of, five_sigmas, lens_of, size_of
from trn.moon.turns import turn_between

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

LEAST_UNIT, MOST_UNIT = 0.8, 8.0
SETTLE = 8
LEAST_MATCHES = 5
"""Ellipses that a pose must explain to be looked at."""
CENTRE_SHARE, SHAPE_SHARE = 0.005, 0.01
"""Part of the standard deviations that grows with an ellipse's size: the catalogue's own errors."""
CAP_SHARE = 0.2
"""A semi-axis errs by no more than this share, however noisy the centres are."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """A pose with what speaks for it.

    rotation: (3, 3), body-fixed to camera. position: (3,), metres. unit: scatter over the stated
    sigmas. covariance: (6, 6). log_odds: craters against clutter, all poses allowed before counted.
    """

    rotation: Array
    position: Array
    unit: float
    covariance: Array
    verdict: Verdict
    log_odds: float


@dataclass(frozen=True, eq=False)
class Evidence:
    """The ellipses of one image, ready for refinement; `told` is the attitude, `turn_sigma` its
    standard deviation an axis (rad), or None for an attitude that is not known."""

    five: Array
    base: Array
    cap: Array
    clutter: Array
    lens: Array
    frame: Array
    index: CraterIndex
    log_volume: float
    told: Array | None
    turn_sigma: float

    @classmethod
    def of(
        cls,
        seen: Ellipses,
        camera: Camera,
        index: CraterIndex,
        log_volume: float,
        told: Array | None,
        turn_sigma: float,
    ) -> Evidence:
        """Evidence of undistorted ellipses. log_volume: of the positions allowed, cubic metres."""
        five = five_of(seen)
        size = size_of(five)
        base = np.stack([np.hypot(1.0, CENTRE_SHARE * size), np.hypot(1.0, SHAPE_SHARE * size)], -1)
        given = five_sigmas(seen)
        if given is not None:
            base = np.hypot(0.5 * base, np.where(np.isfinite(given), given, 0.0))
        frame = np.array([camera.width, camera.height], dtype=np.float64)
        return cls(
            five, base, CAP_SHARE * size, clutter_density(five, frame), lens_of(camera), frame,
            index, log_volume, told, turn_sigma,
        )  # fmt: skip

    def prior(self, rotation: Array) -> tuple[Array, Array]:
        """The attitude told, or one's own where none is, and its information (6, 6)."""
        information = np.zeros((6, 6))
        if self.told is None:
            return rotation, information
        information[[3, 4, 5], [3, 4, 5]] = self.turn_sigma**-2
        return self.told, information

    def refined(self, rotation: Array, position: Array, units: Array) -> Outcome | None:
        """The best pose near one, by tolerances that shrink; None where too little is explained."""
        index = self.index
        chosen = craters_in_sight(
            rotation, position, index.centre, index.normal, index.radius_m, self.lens, self.frame,
            4.0 * float(units[0]), 0.7 * float(np.quantile(size_of(self.five), 0.05)),
        )  # fmt: skip
        if not len(chosen):
            return None
        prior, information = self.prior(rotation)
        rotation, position, unit, covariance, _ = aligned(
            rotation, position, prior, position, information, units, LEAST_UNIT, MOST_UNIT, SETTLE,
            self.five, self.base, self.cap, index.centre, index.first, index.second, self.lens,
            chosen,
        )  # fmt: skip
        if not np.isfinite(covariance).all():
            return None
        verdict = judged(
            index, rotation, position, unit, self.five, self.base, self.cap, self.clutter,
            self.lens, self.frame,
        )  # fmt: skip
        # Fewer hold no pose: the covariance is open, and Laplace's approximation means nothing.
        if verdict.explained < LEAST_MATCHES:
            return None
        log_odds = verdict.log_ratio + self._log_prior(rotation)
        log_odds += 3.0 * math.log(2.0 * math.pi) + 0.5 * self._log_spread(covariance)
        return Outcome(rotation, position, unit, covariance, verdict, log_odds)

    def _log_spread(self, covariance: Array) -> float:
        """Logarithm of the determinant of a covariance, no wider than what is allowed before.

        The volumes allowed count as Gaussians of the same volume, so that no integral over poses
        exceeds one where nothing but the prior holds them.
        """
        wide = np.empty(6)
        wide[:3] = math.exp(self.log_volume / 3.0) / math.sqrt(2.0 * math.pi)
        wide[3:] = (8.0 * math.pi**2) ** (1.0 / 3.0) / math.sqrt(2.0 * math.pi)
        held = np.linalg.inv(covariance / np.outer(wide, wide)) + np.eye(6)
        return 2.0 * float(np.log(wide).sum()) - float(np.linalg.slogdet(held)[1])

    def _log_prior(self, rotation: Array) -> float:
        """Logarithm of the density of a pose before, per cubic metre and cubic radian."""
        if self.told is None:
            return -self.log_volume - math.log(8.0 * math.pi**2)
        away = turn_between(rotation, self.told) / self.turn_sigma
        return (
            -self.log_volume
            - 0.5 * float(away @ away)
            - 1.5 * math.log(2.0 * math.pi)
            - 3.0 * math.log(self.turn_sigma)
        )
