"""Synthetic views of a made-up crater field with a prior pose that is off.

Each seed draws a camera (1024 px, 60 deg) anywhere over the Moon: an altitude of 5-60 km, a tilt of
0-40 deg, any roll. The catalogue holds 300 craters over the footprint and beyond, diameters by the
power law N(>D) ~ D^-2 from 1/40 of the altitude, at heights that differ by 300 m. In sight are
those inside the frame with a semi-minor axis of at least 4 px; up to 60 are detected, the largest
first. Sizes as detected err by 15 %, with a bias of 10 % a view; centres by 1-3 px; 0-40 % are
missed; 0-30 % are false. Catalogue centres are off by 3 % of the diameter. The prior errs by a
Gaussian of 1.5 km in all (0.87 km an axis) and 0.1 deg an axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.crater_views import CAMERA, SIDE_PX, View, drawn_pose, false_ellipses
from trn.detect import Ellipses
from trn.identify.index import CraterIndex
from trn.identify.rims import project_rims
from trn.maps.catalog import CraterCatalog
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.pose import Pose
from trn.solve.pose import PoseEstimate

Array = NDArray[np.float64]

POSITION_SIGMA_M = 1500.0 / math.sqrt(3.0)
ATTITUDE_SIGMA_RAD = math.radians(0.1)
CRATERS = 300
MOST_DETECTED = 60


@dataclass(frozen=True, eq=False)
class PriorView:
    """A view, the crater field as catalogued, and the pose believed before."""

    view: View
    index: CraterIndex
    believed: PoseEstimate


def prior_view(seed: int, position_sigma_m: float = POSITION_SIGMA_M) -> PriorView:
    """The view of a seed."""
    generator = np.random.default_rng([seed, 7])
    while True:
        altitude = math.exp(generator.uniform(math.log(5e3), math.log(60e3)))
        tilt = math.radians(generator.uniform(0.0, 40.0))
        pose = drawn_pose(generator, altitude, tilt)
        true, listed = _fields(generator, pose, altitude)
        seen = project_rims(CAMERA, pose, true.centre, true.first, true.second).values
        with np.errstate(invalid="ignore"):
            inside = (np.abs(seen[:, :2] - 511.5) <= 512).all(-1)
            chosen = np.flatnonzero(inside & (seen[:, 3] >= 4.0))
        if len(chosen) >= 15:
            break
    noise = generator.uniform(1.0, 3.0)
    found = chosen[generator.random(len(chosen)) >= generator.uniform(0.0, 0.4)][:MOST_DETECTED]
    share = generator.uniform(0.0, 0.3)
    values = seen[found].copy()
    values[:, :2] += generator.normal(0.0, noise, (len(found), 2))
    values[:, 2:4] *= np.exp(
        0.1 * generator.normal()
        + 0.15 * generator.normal(size=(len(found), 1))
        + 0.05 * generator.normal(size=(len(found), 2))
    )
    false = false_ellipses(generator, seen[chosen], round(len(found) * share / (1.0 - share)))
    truth = np.concatenate([found, np.full(len(false), -1)])
    order = generator.permutation(len(truth))
    sigma = np.repeat([position_sigma_m, ATTITUDE_SIGMA_RAD], 3)
    error = sigma * generator.normal(size=6)
    told = pose.moved(error[:3], error[3:])
    view = View(
        Ellipses.of(np.concatenate([values, false])[order]),
        truth[order],
        pose,
        told.quaternion_xyzw,
        altitude,
        tilt,
        noise,
        len(chosen),
    )
    return PriorView(view, listed, PoseEstimate(told, np.diag(sigma**2)))


def random_for(view: View, seed: int) -> Ellipses:
    """Ellipses of no craters, of the number and shapes of a view's."""
    generator = np.random.default_rng([seed, 8])
    return Ellipses.of(false_ellipses(generator, view.ellipses.values, len(view.ellipses)))


def _fields(
    generator: np.random.Generator, pose: Pose, altitude: float
) -> tuple[CraterIndex, CraterIndex]:
    """The craters as they are and as catalogued."""
    corners = np.array(
        [[x, y] for x in (0, SIDE_PX / 2, SIDE_PX) for y in (0, SIDE_PX / 2, SIDE_PX)]
    )
    ray = CAMERA.pixels_to_rays(corners) @ pose.rotation_body_to_camera()
    along = -(ray @ pose.position_m)
    below = along**2 - (pose.position_m @ pose.position_m - REFERENCE_RADIUS_M**2)
    reach = along - np.sqrt(np.maximum(below, 0.0))
    ground = pose.position_m + ray[below > 0] * reach[below > 0, None]
    middle = ground.mean(0)
    middle /= np.linalg.norm(middle)
    side = 0.8 * min(np.linalg.norm(ground - ground.mean(0), axis=1).max(), 3.0 * altitude)
    east = np.cross([0.0, 0.0, 1.0], middle)
    east /= np.linalg.norm(east)
    north = np.cross(middle, east)
    flat = generator.uniform(-1.5 * side, 1.5 * side, (CRATERS, 2))
    diameter = altitude / 40.0 * generator.uniform(0.0, 1.0, CRATERS) ** -0.5
    diameter = np.sort(np.minimum(diameter, altitude / 3.0))[::-1]
    height = generator.uniform(-150.0, 150.0, CRATERS)
    turn = generator.uniform(0.0, math.pi, CRATERS)
    long = diameter * np.exp(0.08 * np.abs(generator.normal(size=CRATERS)))
    off = 0.03 * diameter[:, None] * generator.normal(size=(CRATERS, 2))
    fields = []
    for place in (flat, flat + off):
        point = REFERENCE_RADIUS_M * middle + place[:, :1] * east + place[:, 1:] * north
        point /= np.linalg.norm(point, axis=1, keepdims=True)
        catalog = CraterCatalog(
            np.array([f"c{k}" for k in range(CRATERS)]),
            np.arcsin(point[:, 2]),
            np.arctan2(point[:, 1], point[:, 0]),
            diameter,
            long,
            diameter**2 / long,
            turn,
        )
        fields.append(CraterIndex.of(catalog, height))
    return fields[0], fields[1]
