"""Gauss-Newton on a pose, compiled: from matches and a prior, and from matches of which some are
wrong.

Matches stand in columns here, points (3, N), pixels (2, N) and weights (3, N), and nothing is
branched on in the sums over them, so that several are worked on at once.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.moon.quaternions import rotation_of, turn_between_quaternions, turned_quaternion
from trn.solve.linear import inverse, median, times
from trn.solve.projection import into_camera, onto_image, slopes_at

Array = NDArray[np.float64]

SETTLED_SIGMAS = 1e-4
"""A step of so many standard deviations is the last one."""
ITERATIONS = 12
CAUCHY_SIGMAS = 2.5
GATE = 11.8
"""Squared Mahalanobis distance of two degrees of freedom that 0.27 % of right matches exceed."""
MEDIAN = 2.0 * math.log(2.0)
"""Of the square of two degrees of freedom."""
LEAST_AGREEING = 8
LEAST_UNIT_VARIANCE = 0.05
OVERLAP = 2.4
"""How much less neighbouring templates tell than if they shared no pixels and no map noise; set so
that NEES is 1 on rendered scenes 0 to 11 a map."""
ROUNDS = 3


@njit(cache=True, nogil=True, error_model="numpy")
def in_columns(points: Array, pixels: Array, covariance: Array) -> tuple[Array, Array, Array]:
    """Points (3, N), pixels (2, N) and weights (3, N): xx, xy, yy of inverse covariances.

    points: (N, 3). pixels: (N, 2). covariance: (N, 2, 2). What is not finite has no weight.
    """
    count = points.shape[0]
    point, pixel, weight = np.zeros((3, count)), np.zeros((2, count)), np.zeros((3, count))
    for n in range(count):
        a, b, c = covariance[n, 0, 0], covariance[n, 0, 1], covariance[n, 1, 1]
        share = 1.0 / (a * c - b * b)
        total = pixels[n, 0] + pixels[n, 1] + share * (a + b + c)
        for i in range(3):
            total += points[n, i]
        if not math.isfinite(total):
            continue
        weight[0, n], weight[1, n], weight[2, n] = share * c, -share * b, share * a
        for i in range(3):
            point[i, n] = points[n, i]
        for i in range(2):
            pixel[i, n] = pixels[n, i]
    return point, pixel, weight


@njit(cache=True, nogil=True, error_model="numpy")
def squares(
    rotation: Array, position: Array, points: Array, pixels: Array, weight: Array, lens: Array
) -> Array:
    """Squared Mahalanobis distances, shape (N,); inf where there is no weight or no pixel."""
    found = np.empty(points.shape[1])
    for n in range(points.shape[1]):
        sx, sy, _, near = into_camera(
            rotation, position, points[0, n], points[1, n], points[2, n], lens
        )
        u, v = onto_image(sx * near, sy * near, lens)
        u, v = pixels[0, n] - u, pixels[1, n] - v
        square = weight[0, n] * u * u + 2.0 * weight[1, n] * u * v + weight[2, n] * v * v
        found[n] = square if near > 0.0 and weight[0, n] > 0.0 else math.inf
    return found


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "nsz"})
def normal_equations(
    rotation: Array,
    position: Array,
    points: Array,
    pixels: Array,
    weight: Array,
    pull: Array,
    lens: Array,
    robust_square: float,
    columns: NDArray[np.int64],
    information: Array,
    right: Array,
) -> None:
    """Add what matches in columns say of Pose.moved's correction to information and right side.

    pull: (2, N), inverse pixels, what pulls at each of them besides. columns: (2,), the first,
    and the one after the last. information: (6, 6). right: (6,).
    The weights fall as Cauchy's do, of a scale whose square in sigmas is robust_square (infinite:
    not at all). With G = d pixel / d point (2, 3) in camera axes at a point s, and W the weight,
    what is summed is the pull G^T W r, its moment s x G^T W r, M = G^T W G, M [s]x and
    [s]x^T M [s]x. Each sum is a number of its own: so they stay in registers.
    """
    p_x = p_y = p_z = m_x = m_y = m_z = 0.0
    tt_xx = tt_xy = tt_xz = tt_yy = tt_yz = tt_zz = 0.0
    tr_xx = tr_xy = tr_xz = tr_yx = tr_yy = tr_yz = tr_zx = tr_zy = tr_zz = 0.0
    rr_xx = rr_xy = rr_xz = rr_yy = rr_yz = rr_zz = 0.0
    for n in range(columns[0], columns[1]):
        sx, sy, sz, near = into_camera(
            rotation, position, points[0, n], points[1, n], points[2, n], lens
        )
        x, y = sx * near, sy * near
        u, v = onto_image(x, y, lens)
        u, v = pixels[0, n] - u, pixels[1, n] - v
        (g_x, g_y, g_z), (h_x, h_y, h_z) = slopes_at(x, y, near, lens)
        a, b, c = weight[0, n], weight[1, n], weight[2, n]
        share = 1.0 / (1.0 + (a * u * u + 2.0 * b * u * v + c * v * v) / robust_square)
        a, b, c = share * a, share * b, share * c
        # W r, the pull G^T W r and its moment.
        u, v = a * u + b * v + pull[0, n], b * u + c * v + pull[1, n]
        f_x, f_y, f_z = g_x * u + h_x * v, g_y * u + h_y * v, g_z * u + h_z * v
        p_x, p_y, p_z = p_x + f_x, p_y + f_y, p_z + f_z
        m_x += sy * f_z - sz * f_y
        m_y += sz * f_x - sx * f_z
        m_z += sx * f_y - sy * f_x
        # W G; M; and M [s]x, each row of M times s.
        wg_x, wg_y, wg_z = a * g_x + b * h_x, a * g_y + b * h_y, a * g_z + b * h_z
        wh_x, wh_y, wh_z = b * g_x + c * h_x, b * g_y + c * h_y, b * g_z + c * h_z
        xx, xy, xz = g_x * wg_x + h_x * wh_x, g_x * wg_y + h_x * wh_y, g_x * wg_z + h_x * wh_z
        yy, yz, zz = g_y * wg_y + h_y * wh_y, g_y * wg_z + h_y * wh_z, g_z * wg_z + h_z * wh_z
        a_x, a_y, a_z = xy * sz - xz * sy, xz * sx - xx * sz, xx * sy - xy * sx
        b_x, b_y, b_z = yy * sz - yz * sy, yz * sx - xy * sz, xy * sy - yy * sx
        c_x, c_y, c_z = yz * sz - zz * sy, zz * sx - xz * sz, xz * sy - yz * sx
        tt_xx, tt_xy, tt_xz = tt_xx + xx, tt_xy + xy, tt_xz + xz
        tt_yy, tt_yz, tt_zz = tt_yy + yy, tt_yz + yz, tt_zz + zz
        tr_xx, tr_xy, tr_xz = tr_xx + a_x, tr_xy + a_y, tr_xz + a_z
        tr_yx, tr_yy, tr_yz = tr_yx + b_x, tr_yy + b_y, tr_yz + b_z
        tr_zx, tr_zy, tr_zz = tr_zx + c_x, tr_zy + c_y, tr_zz + c_z
        rr_xx += sz * b_x - sy * c_x
        rr_xy += sz * b_y - sy * c_y
        rr_xz += sz * b_z - sy * c_z
        rr_yy += sx * c_y - sz * a_y
        rr_yz += sx * c_z - sz * a_z
        rr_zz += sy * a_z - sx * b_z
    # From camera axes: a move of the camera by x takes points by -R x.
    tt = np.array(((tt_xx, tt_xy, tt_xz), (tt_xy, tt_yy, tt_yz), (tt_xz, tt_yz, tt_zz)))
    tr = np.array(((tr_xx, tr_xy, tr_xz), (tr_yx, tr_yy, tr_yz), (tr_zx, tr_zy, tr_zz)))
    rr = np.array(((rr_xx, rr_xy, rr_xz), (rr_xy, rr_yy, rr_yz), (rr_xz, rr_yz, rr_zz)))
    moment = m_x, m_y, m_z
    for i in range(3):
        right[i] -= rotation[0, i] * p_x + rotation[1, i] * p_y + rotation[2, i] * p_z
        right[3 + i] += moment[i]
        for j in range(3):
            for k in range(3):
                aside = rotation[k, i] * tr[k, j]
                information[i, 3 + j] += aside
                information[3 + j, i] += aside
                for m in range(3):
                    information[i, j] += rotation[k, i] * tt[k, m] * rotation[m, j]
            information[3 + i, 3 + j] += rr[i, j]


@njit(cache=True, nogil=True, error_model="numpy")
def pull_of_prior(
    quaternion: Array,
    position: Array,
    prior_quaternion: Array,
    prior_position: Array,
    prior_information: Array,
) -> Array:
    """Information (6, 6) times the correction that leads from a pose to its prior, shape (6,)."""
    correction = np.empty(6)
    correction[:3] = prior_position - position
    correction[3:] = turn_between_quaternions(quaternion, prior_quaternion)
    return times(prior_information, correction)


@njit(cache=True, nogil=True, error_model="numpy")
def descended(
    quaternion: Array,
    position: Array,
    prior_quaternion: Array,
    prior_position: Array,
    prior_information: Array,
    points: Array,
    pixels: Array,
    weight: Array,
    lens: Array,
    robust_square: float,
) -> tuple[Array, Array, Array]:
    """Quaternion (4,), position (3,) and covariance (6, 6) where prior and matches lead.

    Begins at quaternion and position; the matches stand in columns. Ends after ITERATIONS steps, or
    at one of SETTLED_SIGMAS or less.
    """
    position, noise = position.copy(), prior_information
    columns, pull = np.array((0, points.shape[1])), np.zeros(pixels.shape)
    for _ in range(ITERATIONS):
        information = prior_information.copy()
        right = pull_of_prior(
            quaternion, position, prior_quaternion, prior_position, prior_information
        )
        normal_equations(
            rotation_of(quaternion), position, points, pixels, weight, pull, lens, robust_square,
            columns, information, right,
        )  # fmt: skip
        noise, square = inverse(information), 0.0
        step = times(noise, right)
        for i in range(6):
            square += step[i] * right[i]
        position += step[:3]
        quaternion = turned_quaternion(quaternion, step[3:])
        if square < SETTLED_SIGMAS**2:
            break
    return quaternion, position, noise


@njit(cache=True, nogil=True, error_model="numpy")
def most_likely(
    quaternion: Array,
    position: Array,
    prior_quaternion: Array,
    prior_position: Array,
    prior_covariance: Array,
    points: Array,
    pixels: Array,
    covariance: Array,
    lens: Array,
    robust_square: float,
) -> tuple[Array, Array, Array]:
    """`descended` with all of the matches, points (N, 3), pixels (N, 2), covariance (N, 2, 2)."""
    points, pixels, weight = in_columns(points, pixels, covariance)
    return descended(
        quaternion, position, prior_quaternion, prior_position, inverse(prior_covariance),
        points, pixels, weight, lens, robust_square,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def distances(
    quaternion: Array, position: Array, points: Array, pixels: Array, covariance: Array, lens: Array
) -> Array:
    """`squares` of points (N, 3), pixels (N, 2), covariance (N, 2, 2)."""
    points, pixels, weight = in_columns(points, pixels, covariance)
    return squares(rotation_of(quaternion), position, points, pixels, weight, lens)


@njit(cache=True, nogil=True, error_model="numpy")
def unit_variance(square: Array, least: float) -> float:
    """Variance of unit weight, `least` at least, from squared Mahalanobis distances (N,).

    They have two degrees of freedom. From the median, so that wrong matches do not count.
    """
    return max(least, median(square) / MEDIAN)


@njit(cache=True, nogil=True, error_model="numpy")
def most_likely_of_some(
    quaternion: Array,
    position: Array,
    prior_quaternion: Array,
    prior_position: Array,
    prior_covariance: Array,
    points: Array,
    pixels: Array,
    covariance: Array,
    lens: Array,
) -> tuple[Array, Array, Array, NDArray[np.bool_]]:
    """`most_likely` from the matches that agree, bool (N,), and which these are; N > 0.

    See trn.solve.robust.solve_robustly.
    """
    prior_information = inverse(prior_covariance)
    points, pixels, weight = in_columns(points, pixels, covariance)
    found_quaternion, found_position, noise = descended(
        quaternion, position, prior_quaternion, prior_position, prior_information,
        points, pixels, weight, lens, CAUCHY_SIGMAS**2,
    )  # fmt: skip
    rotation = rotation_of(found_quaternion)
    square = squares(rotation, found_position, points, pixels, weight, lens)
    unit, agrees = 1.0, square < GATE * unit_variance(square, 1.0)
    kept = np.empty(weight.shape)
    for _ in range(ROUNDS):
        if agrees.sum() < LEAST_AGREEING:
            break
        for n in range(agrees.size):
            for i in range(3):
                kept[i, n] = weight[i, n] / (OVERLAP * unit) if agrees[n] else 0.0
        found_quaternion, found_position, noise = descended(
            quaternion, position, prior_quaternion, prior_position, prior_information,
            points, pixels, kept, lens, CAUCHY_SIGMAS**2,
        )  # fmt: skip
        quaternion, position = found_quaternion, found_position
        square = squares(rotation_of(quaternion), position, points, pixels, weight, lens)
        unit = unit_variance(square[agrees], LEAST_UNIT_VARIANCE)
        agrees = square < GATE * unit
    return found_quaternion, found_position, noise, agrees
