"""Synthetic views of a crater catalogue: the ellipses a detector would give, and the truth.

Each seed draws one view of a sphere: a point below the camera, evenly over the Moon; an altitude of
200-560 km; a tilt of 0-50 deg from the vertical towards any side and any roll; a camera of 1024 x
1024 px and 60 deg. What is drawn:

- In sight are craters whose centre is inside the frame, on the near side of the horizon, and whose
  image has a semi-minor axis of at least 5 px (as in the published test set of Chng et al. 2024,
  Crater identification by perspective cone alignment, Acta Astronautica 224). Fewer than
  LEAST_IN_SIGHT of them: the view is drawn anew.
- Noise: one level of 1-6 px a view. Each coordinate of a centre errs by a Gaussian of that sigma,
  whatever the crater's size; each semi-axis by a Gaussian of that sigma or of 15 % of the axis, the
  lesser; the major axis turns by 0.15 rad (1 sigma) at 6 px, in proportion to the level.
- 0-40 % of the craters in sight are missed.
- 0-25 % of the ellipses are false: anywhere in the frame, shaped like a true one of the same view,
  each axis changed by 10 %.
- The attitude told errs by 0-1 deg about any axis: a sigma of a third of a degree an axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.camera import Camera
from trn.detect import Ellipses
from trn.identify.index import CraterIndex
from trn.identify.rims import project_rims
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.pose import Pose

Array = NDArray[np.float64]

SIDE_PX = 1024
CAMERA = Camera(
    SIDE_PX, SIDE_PX, 512 / math.tan(math.pi / 6), 512 / math.tan(math.pi / 6), 511.5, 511.5
)
LEAST_IN_SIGHT = 10
LEAST_SEMI_MINOR_PX = 5.0
MOST_AXIS_SHARE = 0.15
ATTITUDE_SIGMA_RAD = math.radians(1.0) / 3.0


@dataclass(frozen=True, eq=False)
class View:
    """One synthetic view.

    ellipses: as detected. truth: (N,), the index's crater of each ellipse, -1 for a false one.
    pose: the true one. told: the attitude with its error, quaternion. altitude_m, tilt_rad,
    noise_px, in_sight: what was drawn.
    """

    ellipses: Ellipses
    truth: NDArray[np.int64]
    pose: Pose
    told: Array
    altitude_m: float
    tilt_rad: float
    noise_px: float
    in_sight: int


def crater_view(index: CraterIndex, seed: int, least: int = LEAST_IN_SIGHT) -> View:
    """The view of a seed."""
    generator = np.random.default_rng(seed)
    while True:
        altitude = generator.uniform(200e3, 560e3)
        tilt = math.radians(generator.uniform(0.0, 50.0))
        pose = drawn_pose(generator, altitude, tilt)
        seen = project_rims(CAMERA, pose, index.centre, index.first, index.second).values
        towards = pose.position_m - index.centre
        near = (towards * index.normal).sum(-1) > 0.0
        with np.errstate(invalid="ignore"):
            inside = (np.abs(seen[:, :2] - 511.5) <= 512).all(-1)
            chosen = np.flatnonzero(near & inside & (seen[:, 3] >= LEAST_SEMI_MINOR_PX))
        if len(chosen) >= least:
            break
    noise = generator.uniform(1.0, 6.0)
    missed = generator.uniform(0.0, 0.4)
    share = generator.uniform(0.0, 0.25)
    found = chosen[generator.random(len(chosen)) >= missed]
    count = round(len(found) * share / (1.0 - share))
    values = np.concatenate(
        [_noisy(generator, seen[found], noise), false_ellipses(generator, seen[chosen], count)]
    )
    truth = np.concatenate([found, np.full(count, -1)])
    order = generator.permutation(len(truth))
    axis = generator.normal(size=3)
    error = math.radians(generator.uniform(0.0, 1.0)) * axis / np.linalg.norm(axis)
    return View(
        Ellipses.of(values[order]),
        truth[order],
        pose,
        pose.moved(np.zeros(3), error).quaternion_xyzw,
        altitude,
        tilt,
        noise,
        len(chosen),
    )


def random_ellipses(index: CraterIndex, seed: int) -> Ellipses:
    """Ellipses of no craters: of a view's number and shapes, anywhere in the frame."""
    view = crater_view(index, seed)
    generator = np.random.default_rng([seed, 1])
    return Ellipses.of(false_ellipses(generator, view.ellipses.values, len(view.ellipses)))


def drawn_pose(generator: np.random.Generator, altitude_m: float, tilt: float) -> Pose:
    """A camera anywhere over the Moon, tilted from the vertical to any side, with any roll."""
    up = generator.normal(size=3)
    up /= np.linalg.norm(up)
    turn = generator.uniform(0.0, 2.0 * math.pi, 2)
    down = Rotation.align_vectors([[0.0, 0.0, 1.0]], [-up])[0]
    tilted = Rotation.from_rotvec(tilt * np.array([math.cos(turn[0]), math.sin(turn[0]), 0.0]))
    rolled = Rotation.from_rotvec([0.0, 0.0, turn[1]])
    quaternion = (rolled * tilted * down).as_quat()
    return Pose((REFERENCE_RADIUS_M + altitude_m) * up, np.asarray(quaternion))


def _noisy(generator: np.random.Generator, values: Array, noise: float) -> Array:
    centre = generator.normal(0.0, noise, (len(values), 2))
    sigma = np.minimum(noise, MOST_AXIS_SHARE * values[:, 2:4])
    axes = np.maximum(values[:, 2:4] + sigma * generator.normal(size=sigma.shape), 1.0)
    turned = values[:, 4:] + 0.15 * noise / 6.0 * generator.normal(size=(len(values), 1))
    return np.concatenate([values[:, :2] + centre, axes, turned], axis=1)


def false_ellipses(generator: np.random.Generator, values: Array, count: int) -> Array:
    """Ellipses (count, 5) of no crater: anywhere in the frame, shaped like some of values."""
    centre = generator.uniform(-0.5, SIDE_PX - 0.5, (count, 2))
    like = values[generator.integers(0, len(values), count)]
    axes = like[:, 2:4] * np.exp(0.1 * generator.normal(size=(count, 2)))
    return np.concatenate([centre, axes, like[:, 4:]], axis=1)
