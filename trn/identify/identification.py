"""Which craters an image shows and from where it was taken, with no position known before."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.camera import Camera
from trn.detect import Ellipses
from trn.errors import InputError
from trn.identify.candidates import voted_positions
from trn.identify.evidence import LEAST_MATCHES, Evidence, Outcome
from trn.identify.fit import fitted
from trn.identify.heights import covariance_of_heights
from trn.identify.index import CraterIndex
from trn.identify.refine import sigmas
from trn.identify.rims import undistorted
from trn.identify.triad_poses import triad_poses
from trn.identify.usable import usable_ellipses
from trn.identify.vote import shapes
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.pose import Pose

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

LOWEST_M, HIGHEST_M = 50e3, 2000e3
"""Altitudes over the sphere that are searched."""
LEAST_ELLIPSES = 5
LOG_ODDS = math.log(1e6)
CLEAR = math.log(1e25)
"""Odds at which no other place is tried."""
VOTERS = 60
TRIAD_ELLIPSES = 100
"""Of the largest ellipses, how many vote with the attitude told, and how many form triads."""
MOST_PLACES = 60
UNITS = np.array([35.0, 24.0, 16.0, 11.0, 7.5, 5.0, 3.5])
WIDE_UNITS = np.concatenate([[60.0, 45.0], UNITS])
"""Tolerances in pixels, where an ellipse has none of its own, as the pose gets better."""


@dataclass(frozen=True, eq=False)
class Identification:
    """What an image shows, or why that is not known.

    identified: whether it is known. reason: why not; empty otherwise. pose, covariance (6, 6): of
    (translation MOON_ME m, rotation about camera axes rad), None where unidentified. detection,
    crater: (K,), indices of the ellipses and of the index's craters. ids: (K,), the craters' names.
    log_odds: for the craters against chance, natural logarithm, all places counted.
    """

    identified: bool
    reason: str
    pose: Pose | None
    covariance: Array | None
    detection: Indices
    crater: Indices
    ids: NDArray[np.str_]
    log_odds: float
    latency_ms: float

    def to_dict(self) -> dict[str, Any]:
        """The values of an identification file."""
        pose, spread = self.pose, self.covariance
        return {
            "status": "identified" if self.identified else "unidentified",
            "reason": self.reason,
            "position_moon_me_m": None if pose is None else pose.position_m.tolist(),
            "covariance_m2": None if spread is None else spread[:3, :3].tolist(),
            "matches": [
                {"detection": int(k), "id": str(name)} for k, name in zip(self.detection, self.ids)
            ],
            "latency_ms": self.latency_ms,
        }


def identify(
    ellipses: Ellipses,
    camera: Camera,
    index: CraterIndex,
    quaternion_xyzw: Any = None,
    attitude_sigma_rad: float | None = None,
) -> Identification:
    """Identify the craters of one image.

    ellipses: as detected, in the camera's pixels. quaternion_xyzw: (4,), body-fixed to camera axes,
    with attitude_sigma_rad, its standard deviation about each axis; both or none. Raises InputError
    for one without the other, a quaternion without length or a sigma that is not above zero.
    """
    begun = time.perf_counter()
    told = _attitude(quaternion_xyzw, attitude_sigma_rad)
    found = _found(ellipses, camera, index, told, attitude_sigma_rad or math.inf)
    return replace(found, latency_ms=1e3 * (time.perf_counter() - begun))


def _attitude(quaternion_xyzw: Any, sigma_rad: float | None) -> Array | None:
    """The rotation matrix told, or None."""
    if (quaternion_xyzw is None) != (sigma_rad is None):
        raise InputError("attitude: give both the quaternion and its sigma, or neither")
    if quaternion_xyzw is None or sigma_rad is None:
        return None
    quaternion = np.asarray(quaternion_xyzw, dtype=np.float64)
    if quaternion.shape != (4,) or not np.isfinite(quaternion).all() or not quaternion.any():
        raise InputError("attitude: not a quaternion; give four finite numbers x, y, z, w")
    if not 0.0 < sigma_rad < math.pi:
        raise InputError("attitude: the sigma must be above 0 and below 180 degrees")
    matrix = Rotation.from_quat(quaternion).as_matrix()
    return np.ascontiguousarray(matrix, dtype=np.float64)


def _found(
    ellipses: Ellipses, camera: Camera, index: CraterIndex, told: Array | None, sigma_rad: float
) -> Identification:
    seen = undistorted(ellipses, camera)
    usable = usable_ellipses(seen)
    if len(usable) < LEAST_ELLIPSES:
        return _unknown(f"{len(usable)} usable ellipses; at least {LEAST_ELLIPSES} are needed")
    if not len(index):
        return _unknown("the catalogue has no usable crater")
    seen = seen.chosen(usable)
    shell = (REFERENCE_RADIUS_M + HIGHEST_M) ** 3 - (REFERENCE_RADIUS_M + LOWEST_M) ** 3
    log_volume = math.log(4.0 / 3.0 * math.pi * shell)
    evidence = Evidence.of(seen, camera, index, log_volume, told, sigma_rad)
    best: Outcome | None = None
    units = UNITS if told is not None else WIDE_UNITS
    for rotation, position in _starts(seen, camera, index, told):
        outcome = evidence.refined(rotation, position, units)
        if outcome is not None and (best is None or outcome.log_odds > best.log_odds):
            best = outcome
            if best.log_odds > CLEAR:
                break
    if best is None:
        return _unknown(
            f"no place explains {LEAST_MATCHES} of {len(seen)} ellipses better than chance"
        )
    held = np.flatnonzero(best.verdict.matches >= 0)
    if best.log_odds < LOG_ODDS or len(held) < LEAST_MATCHES:
        return _unknown(
            f"the best place explains {len(held)} of {len(seen)} ellipses, no more than chance may",
            best.log_odds,
        )
    return _settled(evidence, best, held, usable)


def _starts(
    seen: Ellipses, camera: Camera, index: CraterIndex, told: Array | None
) -> Iterator[tuple[Array, Array]]:
    """Poses to look at, the most promising first."""
    count = VOTERS if told is not None else TRIAD_ELLIPSES
    largest = np.argsort(-seen.values[:, 2] * seen.values[:, 3], kind="stable")[:count]
    ray, size, shape = on_sphere(seen.chosen(largest), camera)
    if told is None:
        yield from triad_poses(ray, size, shape, index, LOWEST_M, HIGHEST_M, MOST_PLACES)
        return
    for place in voted_positions(told, ray, size, shape, index, LOWEST_M, HIGHEST_M, MOST_PLACES):
        yield told, place


def on_sphere(seen: Ellipses, camera: Camera) -> tuple[Array, Array, Array]:
    """Rays (N, 3), sizes (N,) and shapes (N, 3, 3), see trn.identify.vote.shapes."""
    x, y, a, b, theta = seen.values.T
    c, s = np.cos(theta), np.sin(theta)
    axes = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
    plane = axes @ (np.stack([a, b], -1)[:, :, None] ** 2 * np.swapaxes(axes, 1, 2))
    focal = np.array([camera.fx, camera.fy])
    ray = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones_like(x)], -1)
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    size, shape = shapes(ray, plane / np.outer(focal, focal))
    return ray, size, shape


def _settled(evidence: Evidence, best: Outcome, held: Indices, usable: Indices) -> Identification:
    """The identification of an outcome that is accepted, its pose fitted to the sure matches."""
    index = evidence.index
    crater = best.verdict.matches[held]
    sigma = sigmas(best.unit, evidence.base, evidence.cap)[held]
    prior, information = evidence.prior(best.rotation)
    rotation, position, covariance, _ = fitted(
        best.rotation, best.position, prior, best.position, information, evidence.five[held], sigma,
        index.centre, index.first, index.second, evidence.lens, crater, 5,
    )  # fmt: skip
    covariance = covariance + covariance_of_heights(
        rotation, position, covariance, sigma, index, evidence.lens, crater
    )
    return Identification(
        True,
        "",
        Pose(position, np.asarray(Rotation.from_matrix(rotation).as_quat())),
        0.5 * (covariance + covariance.T),
        usable[held],
        crater,
        index.id[crater],
        best.log_odds,
        0.0,
    )


def _unknown(reason: str, log_odds: float = -math.inf) -> Identification:
    none = np.empty(0, dtype=np.int64)
    return Identification(
        False, reason, None, None, none, none, np.empty(0, dtype=np.str_), log_odds, 0.0
    )
