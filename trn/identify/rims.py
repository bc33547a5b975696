"""Crater rims on the Moon as image ellipses, and how far apart two ellipses are.

A rim is an ellipse in the local tangent plane: points centre + cos(t) first + sin(t) second. Its
image is handled as its dual conic (the lines that touch it), which projects without any inverse:
Christian, Derksen, Watkins (2021), Lunar crater identification in digital images, J. Astronaut.
Sci. 68, section 3.

An ellipse with centre m and shape matrix S (half axes a, b along its own axes) is compared as the
five numbers (m_x, m_y, s_xx, s_yy, sqrt(2) s_xy) with s = sqrt(S), all in pixels. The Euclidean
distance of these is, for ellipses whose axes are parallel or that are circles, the Wasserstein
distance of the Gaussians N(m, S) (Olkin and Pukelsheim 1982; Gelbrich 1990), and never less than it
otherwise.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.camera import Camera
from trn.detect import Ellipses
from trn.moon.pose import Pose

Array = NDArray[np.float64]

FITTED_POINTS = 48


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _seen(rotation: Array, x: float, y: float, z: float) -> tuple[float, float, float]:
    """A direction turned into camera axes; a tuple, as arrays would cost more than the sums."""
    return (
        rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z,
        rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z,
        rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z,
    )


@njit(cache=True, nogil=True, error_model="numpy")
def rim_in_image(
    rotation: Array,
    position: Array,
    centre: Array,
    first: Array,
    second: Array,
    lens: Array,
    out: Array,
) -> bool:
    """Five numbers of one rim's image into out (5,); False where it is no ellipse in front.

    rotation: (3, 3), body-fixed to camera. position, centre, first, second: (3,), metres, MOON_ME.
    lens: fx, fy, cx, cy of a camera without distortion.
    """
    x, y, z = centre[0] - position[0], centre[1] - position[1], centre[2] - position[2]
    c = _seen(rotation, x, y, z)
    u = _seen(rotation, first[0], first[1], first[2])
    v = _seen(rotation, second[0], second[1], second[2])
    # Every point of the rim in front: the plane z = 0 does not touch it.
    scale = c[2] * c[2] - u[2] * u[2] - v[2] * v[2]
    if c[2] <= 0.0 or scale <= 1e-12 * c[2] * c[2]:
        return False
    x = (c[0] * c[2] - u[0] * u[2] - v[0] * v[2]) / scale
    y = (c[1] * c[2] - u[1] * u[2] - v[1] * v[2]) / scale
    xx = (u[0] * u[0] + v[0] * v[0] - c[0] * c[0]) / scale + x * x
    yy = (u[1] * u[1] + v[1] * v[1] - c[1] * c[1]) / scale + y * y
    xy = (u[0] * u[1] + v[0] * v[1] - c[0] * c[1]) / scale + x * y
    xx *= lens[0] * lens[0]
    yy *= lens[1] * lens[1]
    xy *= lens[0] * lens[1]
    root = math.sqrt(max(xx * yy - xy * xy, 0.0))
    trace = xx + yy + 2.0 * root
    if not trace > 0.0:
        return False
    trace = math.sqrt(trace)
    out[0] = lens[0] * x + lens[2]
    out[1] = lens[1] * y + lens[3]
    out[2] = (xx + root) / trace
    out[3] = (yy + root) / trace
    out[4] = math.sqrt(2.0) * xy / trace
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def rims_in_image(
    rotation: Array, position: Array, centre: Array, first: Array, second: Array, lens: Array
) -> Array:
    """Five numbers (N, 5) of rims seen by a camera without distortion; NaN where there is none.

    centre, first, second: (N, 3), metres, MOON_ME.
    """
    out = np.empty((centre.shape[0], 5))
    for k in range(centre.shape[0]):
        if not rim_in_image(rotation, position, centre[k], first[k], second[k], lens, out[k]):
            out[k, :] = np.nan
    return out


def lens_of(camera: Camera) -> Array:
    """fx, fy, cx, cy of a camera, shape (4,), pixels."""
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy])


def project_rims(
    camera: Camera, pose: Pose, centre: Array, first: Array, second: Array
) -> Ellipses:
    """The ellipses in which a camera sees rims, before any distortion; NaN rows where it does not.

    centre, first, second: (N, 3), metres, MOON_ME, as in CraterIndex.
    """
    seen = rims_in_image(
        pose.rotation_body_to_camera(), pose.position_m, centre, first, second, lens_of(camera)
    )
    return ellipses_of(seen)


def five_of(ellipses: Ellipses) -> Array:
    """The five numbers (N, 5), pixels, by which ellipses are compared."""
    x, y, a, b, theta = ellipses.values.T
    c, s = np.cos(theta), np.sin(theta)
    return np.stack(
        [x, y, a * c * c + b * s * s, a * s * s + b * c * c, math.sqrt(2.0) * (a - b) * c * s], -1
    )


def size_of(five: Array) -> Array:
    """Root of the product of the half axes (N,), pixels, of five numbers (N, 5)."""
    return np.asarray(np.sqrt(np.maximum(five[:, 2] * five[:, 3] - 0.5 * five[:, 4] ** 2, 0.0)))


def ellipses_of(five: Array) -> Ellipses:
    """The ellipses that have these five numbers (N, 5); NaN rows stay NaN."""
    x, y, xx, yy, cross = five.T
    xy = cross / math.sqrt(2.0)
    mean, half = 0.5 * (xx + yy), np.hypot(0.5 * (xx - yy), xy)
    theta = 0.5 * np.arctan2(2.0 * xy, xx - yy)
    return Ellipses.of(np.stack([x, y, mean + half, mean - half, theta], -1))


def distance_px(one: Ellipses, other: Ellipses) -> Array:
    """Distances between all ellipses of one (N) and all of the other (M), (N, M), pixels."""
    apart = five_of(one)[:, None, :] - five_of(other)[None, :, :]
    return np.asarray(np.sqrt((apart**2).sum(-1)))


def five_sigmas(ellipses: Ellipses) -> Array | None:
    """Standard deviations (N, 2), pixels, of centre and shape, per number, from the covariances.

    Mean over the two numbers of the centre and the three of the shape; None without covariances.
    """
    if ellipses.covariance is None:
        return None
    _, _, a, b, theta = ellipses.values.T
    c, s, root = np.cos(theta), np.sin(theta), math.sqrt(2.0)
    by_shape = np.stack(
        [
            np.stack([c * c, s * s, -2.0 * (a - b) * c * s], -1),
            np.stack([s * s, c * c, 2.0 * (a - b) * c * s], -1),
            np.stack([root * c * s, -root * c * s, root * (a - b) * (c * c - s * s)], -1),
        ],
        -2,
    )
    shape = by_shape @ ellipses.covariance[:, 2:, 2:] @ np.swapaxes(by_shape, 1, 2)
    centre = np.trace(ellipses.covariance[:, :2, :2], axis1=1, axis2=2) / 2.0
    return np.asarray(np.sqrt(np.stack([centre, np.trace(shape, axis1=1, axis2=2) / 3.0], -1)))


def undistorted(ellipses: Ellipses, camera: Camera) -> Ellipses:
    """The ellipses as a camera of the same focal lengths without distortion would see them.

    Points of each rim are taken through the lens and an ellipse fitted to them, by the least
    squares of a conic's equation; NaN rows where the lens has no inverse. Covariances stay.
    """
    if not any(camera.distortion) or not len(ellipses):
        return ellipses
    x, y, a, b, theta = ellipses.values.T[:, :, None]
    turn = np.linspace(0.0, 2.0 * math.pi, FITTED_POINTS, endpoint=False)
    along, across = a * np.cos(turn), b * np.sin(turn)
    rim = np.stack(
        [
            x + along * np.cos(theta) - across * np.sin(theta),
            y + along * np.sin(theta) + across * np.cos(theta),
        ],
        -1,
    )
    ray = camera.pixels_to_rays(rim)
    plane = ray[..., :2] / ray[..., 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]
    return Ellipses(_fitted(plane), ellipses.score, ellipses.covariance)


def _fitted(points: Array) -> Array:
    """Ellipses (N, 5) through points (N, K, 2): least squares on the conic's equation."""
    middle = points.mean(1, keepdims=True)
    size = np.sqrt(((points - middle) ** 2).sum(-1).mean(1))[:, None, None]
    near = (points - middle) / size
    x, y = near[..., 0], near[..., 1]
    rows = np.stack([x * x, x * y, y * y, x, y], -1)
    good = np.isfinite(rows).all(axis=(1, 2))
    conics = np.full((len(points), 3, 3), np.nan)
    if good.any():
        held = rows[good]
        turned = np.swapaxes(held, 1, 2)
        A, B, C, D, E = np.linalg.solve(turned @ held, turned.sum(-1, keepdims=True))[..., 0].T
        minus = -np.ones_like(A)
        conics[good] = np.stack(
            [
                np.stack([A, B / 2, D / 2], -1),
                np.stack([B / 2, C, E / 2], -1),
                np.stack([D / 2, E / 2, minus], -1),
            ],
            -2,
        )
    values = Ellipses.from_conics(conics).values.copy()
    values[:, :2] = values[:, :2] * size[:, 0] + middle[:, 0]
    values[:, 2:4] *= size[:, 0]
    return values
