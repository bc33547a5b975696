"""From a rough pose to the best one: ellipses and craters that fit are found along with the pose.

Expectation and maximisation with a tolerance that shrinks (as in SoftPOSIT, David et al. 2004, Int.
J. Computer Vision 59): each ellipse pulls at every crater near it, in proportion to how well each
explains it; Gauss-Newton moves the pose; the tolerance is narrowed to the scatter that is left.
Corrections are those of trn.moon.pose: metres in MOON_ME, radians about camera axes.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.identify.rims import rim_in_image
from trn.moon.turns import turn_between, turned

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

LENGTH_M = 1e6
"""Unit of length inside, so that metres and radians have entries of like size."""
FAR = 30.0
"""Squared distance over variance beyond which an ellipse does not pull at a crater."""
NO_MATCH = math.exp(-6.0)
"""Pull of "none of them": half of an ellipse's pull is gone at a squared distance of 12."""
STEEPEST = 0.06
"""Least cosine between a crater's normal and the line of sight; beyond, it is behind the limb."""


@njit(cache=True, nogil=True, error_model="numpy")
def craters_in_sight(
    rotation: Array,
    position: Array,
    centre: Array,
    normal: Array,
    radius: Array,
    lens: Array,
    frame: Array,
    margin_px: float,
    least_px: float,
) -> Indices:
    """Indices of the craters in the frame, widened by a margin, that look large enough.

    frame: (2,), width and height, pixels. least_px: of the root of the product of the half axes.
    """
    found = np.empty(centre.shape[0], dtype=np.int64)
    count = 0
    focal = math.sqrt(lens[0] * lens[1])
    for k in range(centre.shape[0]):
        x = centre[k, 0] - position[0]
        y = centre[k, 1] - position[1]
        z = centre[k, 2] - position[2]
        facing = -(x * normal[k, 0] + y * normal[k, 1] + z * normal[k, 2])
        if facing <= 0.0:
            continue
        depth = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z
        if depth <= 0.0:
            continue
        span = math.sqrt(x * x + y * y + z * z)
        facing /= span
        if facing < STEEPEST or radius[k] * focal * math.sqrt(facing * span / depth) < (
            least_px * depth
        ):
            continue
        u = lens[0] * (rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z) / depth
        v = lens[1] * (rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z) / depth
        u += lens[2]
        v += lens[3]
        if -margin_px <= u + 0.5 <= frame[0] + margin_px and (
            -margin_px <= v + 0.5 <= frame[1] + margin_px
        ):
            found[count] = k
            count += 1
    return found[:count]


@njit(cache=True, nogil=True, error_model="numpy")
def sigmas_at(unit: float, base: Array, cap: Array, k: int) -> tuple[float, float]:
    """Standard deviations of one ellipse's centre and shape numbers, pixels.

    unit: scatter over what base (N, 2) states. cap: (N,), most that a shape errs.
    """
    shape = unit * base[k, 1]
    return unit * base[k, 0], shape * cap[k] / math.sqrt(shape * shape + cap[k] * cap[k])


def sigmas(unit: float, base: Array, cap: Array) -> Array:
    """Standard deviations (N, 2), pixels, as `sigmas_at` gives them one by one."""
    shape = unit * base[:, 1]
    return np.stack([unit * base[:, 0], shape * cap / np.sqrt(shape**2 + cap**2)], -1)


@njit(cache=True, nogil=True, error_model="numpy")
def seen_rims(
    rotation: Array,
    position: Array,
    centre: Array,
    first: Array,
    second: Array,
    lens: Array,
    chosen: Indices,
) -> Array:
    """Five numbers (M, 5) of the chosen rims; far out of the frame where there is no ellipse."""
    out = np.empty((chosen.size, 5))
    for k in range(chosen.size):
        j = chosen[k]
        if not rim_in_image(rotation, position, centre[j], first[j], second[j], lens, out[k]):
            out[k, :] = 1e9
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def slope(
    rotation: Array,
    position: Array,
    centre: Array,
    first: Array,
    second: Array,
    lens: Array,
    here: Array,
    out: Array,
) -> None:
    """d five / d correction of one rim, by differences, into out (5, 6); lengths in LENGTH_M."""
    step = 1e-6
    moved = np.empty(5)
    shift = np.zeros(3)
    for k in range(3):
        shift[:] = position
        shift[k] += step * LENGTH_M
        if not rim_in_image(rotation, shift, centre, first, second, lens, moved):
            moved[:] = here
        for i in range(5):
            out[i, k] = (moved[i] - here[i]) / step
    for k in range(3):
        shift[:] = 0.0
        shift[k] = step
        turn = turned(rotation, shift)
        if not rim_in_image(turn, position, centre, first, second, lens, moved):
            moved[:] = here
        for i in range(5):
            out[i, 3 + k] = (moved[i] - here[i]) / step


@njit(cache=True, nogil=True, error_model="numpy")
def pulled(
    rotation: Array,
    position: Array,
    unit: float,
    five: Array,
    base: Array,
    cap: Array,
    centre: Array,
    first: Array,
    second: Array,
    lens: Array,
    chosen: Indices,
) -> tuple[Array, Array, float, float]:
    """Normal equations of the correction, squared scatter of the centres, and how many pull."""
    information = np.zeros((6, 6))
    right = np.zeros(6)
    seen = seen_rims(rotation, position, centre, first, second, lens, chosen)
    design = np.empty((5, 6))
    pull = np.empty(chosen.size)
    near = np.empty(chosen.size, dtype=np.int64)
    slopes = np.empty((chosen.size, 5, 6))
    known = np.zeros(chosen.size, dtype=np.bool_)
    squares, total = 0.0, 0.0
    for i in range(five.shape[0]):
        sigma, shape = sigmas_at(unit, base, cap, i)
        reach = math.sqrt(FAR) * sigma
        a, b = 1.0 / sigma**2, 1.0 / shape**2
        count, whole = 0, NO_MATCH
        for k in range(chosen.size):
            dx = five[i, 0] - seen[k, 0]
            if abs(dx) > reach:
                continue
            dy = five[i, 1] - seen[k, 1]
            if abs(dy) > reach:
                continue
            square = a * (dx * dx + dy * dy) + b * (
                (five[i, 2] - seen[k, 2]) ** 2
                + (five[i, 3] - seen[k, 3]) ** 2
                + (five[i, 4] - seen[k, 4]) ** 2
            )
            if square < FAR:
                pull[count] = math.exp(-0.5 * square)
                near[count] = k
                whole += pull[count]
                count += 1
        for m in range(count):
            share = pull[m] / whole
            if share < 0.01:
                continue
            k = near[m]
            j = chosen[k]
            if not known[k]:
                known[k] = True
                slope(rotation, position, centre[j], first[j], second[j], lens, seen[k], slopes[k])
            design[:] = slopes[k]
            for r in range(5):
                weight = share * (a if r < 2 else b)
                residual = five[i, r] - seen[k, r]
                for p in range(6):
                    right[p] += weight * design[r, p] * residual
                    for q in range(p, 6):
                        information[p, q] += weight * design[r, p] * design[r, q]
            dx, dy = five[i, 0] - seen[k, 0], five[i, 1] - seen[k, 1]
            squares += share * (dx * dx + dy * dy) / (2.0 * base[i, 0] ** 2)
            total += share
    for p in range(6):
        for q in range(p):
            information[p, q] = information[q, p]
    return information, right, squares, total


@njit(cache=True, nogil=True, error_model="numpy")
def scales() -> Array:
    """Units (6,) of a correction inside: LENGTH_M for lengths, radians for turns."""
    out = np.ones(6)
    out[:3] = LENGTH_M
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def back_to(
    prior_rotation: Array, prior_position: Array, rotation: Array, position: Array
) -> Array:
    """The correction (6,) from a pose to the prior's, in the units of `scales`."""
    back = np.empty(6)
    back[:3] = (prior_position - position) / LENGTH_M
    back[3:] = turn_between(rotation, prior_rotation)
    return back


@njit(cache=True, nogil=True, error_model="numpy")
def damped_step(information: Array, right: Array) -> Array:
    """The Gauss-Newton step (6,), with a trace of damping.

    Without a prior too few ellipses leave directions open.
    """
    damped = information.copy()
    for p in range(6):
        damped[p, p] += 1e-9 * information[p, p] + 1e-9
    return np.asarray(np.linalg.solve(damped, right), dtype=np.float64)


@njit(cache=True, nogil=True, error_model="numpy")
def covariance_of(information: Array) -> Array:
    """Covariance (6, 6), metres and radians, of information in the units of `scales`.

    What nothing tells of stays open, up to a thousand units.
    """
    held = information.copy()
    for p in range(6):
        held[p, p] += 1e-6
    scale = scales()
    return np.linalg.inv(held) * np.outer(scale, scale)


@njit(cache=True, nogil=True, error_model="numpy")
def aligned(
    rotation: Array,
    position: Array,
    prior_rotation: Array,
    prior_position: Array,
    prior_information: Array,
    units: Array,
    least_unit: float,
    most_unit: float,
    settle: int,
    five: Array,
    base: Array,
    cap: Array,
    centre: Array,
    first: Array,
    second: Array,
    lens: Array,
    chosen: Indices,
) -> tuple[Array, Array, float, Array, float]:
    """Pose, scatter over what base states, covariance (6, 6), and how many ellipses pull.

    prior_information: (6, 6), of the correction from the pose to the prior's, metres and radians.
    units: the shrinking tolerances, in units of base. Then `settle` steps at the scatter found,
    between least_unit and most_unit. chosen: the craters that may be in sight.
    """
    scale = scales()
    prior = prior_information * np.outer(scale, scale)
    unit = units[-1]
    information: Array = prior.copy()
    total = 0.0
    for step in range(units.size + settle):
        if step < units.size:
            unit = units[step]
        information, right, squares, total = pulled(
            rotation, position, unit, five, base, cap, centre, first, second, lens, chosen
        )
        right += prior @ back_to(prior_rotation, prior_position, rotation, position)
        information += prior
        move = damped_step(information, right)
        length = math.sqrt(move[3] ** 2 + move[4] ** 2 + move[5] ** 2)
        far = math.sqrt(move[0] ** 2 + move[1] ** 2 + move[2] ** 2)
        if not (length < 3.0 and far < 10.0):
            break
        short = min(1.0, 0.2 / max(length, 1e-9), 0.3 / max(far, 1e-9))
        position = position + short * LENGTH_M * move[:3]
        rotation = turned(rotation, short * move[3:])
        if step >= units.size - 1:
            if total > 0.0:
                unit = min(max(math.sqrt(squares / total), least_unit), most_unit)
            if step >= units.size and far < 1e-7 and length < 1e-7:
                break
    return rotation, position, unit, covariance_of(information), total
