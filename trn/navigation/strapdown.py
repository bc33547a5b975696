"""Strapdown integration of inertial samples and the growth of their errors: the hot kernels.

Groves (2013), Principles of GNSS, Inertial, and Multisensor Integrated Navigation Systems, chapters
5 and 14, in the rotating frame with the attitude error on the left in vehicle axes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import njit

from trn.moon.constants import GM_M3_PER_S2
from trn.moon.gravity import C20, C22, FIELD_RADIUS_M, ROTATION_RATE_RAD_PER_S

LONGEST_CHUNK_S = 0.1
"""Covariance and gravity are carried in steps of this length."""


def chunks(count: int, step_s: float) -> Iterator[slice]:
    """Runs of samples, each a step long, that are carried at once."""
    longest = max(1, round(LONGEST_CHUNK_S / step_s))
    for first in range(0, count, longest):
        yield slice(first, first + longest)


@njit(cache=True)
def free_fall(position: Any, velocity: Any, out: Any) -> None:
    """`trn.moon.gravity.apparent_acceleration` of one place, (3,), into out."""
    x, y, z = position[0], position[1], position[2]
    r2 = x * x + y * y + z * z
    shape = C20 * (z * z - 0.5 * (x * x + y * y)) + 3.0 * C22 * (x * x - y * y)
    pull = GM_M3_PER_S2 / (r2 * np.sqrt(r2))
    flat = FIELD_RADIUS_M * FIELD_RADIUS_M / r2
    radial = 1.0 + 5.0 * flat * shape / r2
    spin = ROTATION_RATE_RAD_PER_S
    out[0] = pull * (flat * (6.0 * C22 - C20) - radial) * x
    out[0] += spin * (2.0 * velocity[1] + spin * x)
    out[1] = pull * (-flat * (6.0 * C22 + C20) - radial) * y
    out[1] += spin * (spin * y - 2.0 * velocity[0])
    out[2] = pull * (2.0 * flat * C20 - radial) * z


@njit(cache=True)
def _turn(rotation: Any, angle: Any, out: Any) -> None:
    """exp([angle]x) rotation, by Rodrigues' formula."""
    x, y, z = angle[0], angle[1], angle[2]
    square = x * x + y * y + z * z
    if square < 1e-16:
        a, b = 1.0 - square / 6.0, 0.5 - square / 24.0
    else:
        length = np.sqrt(square)
        a, b = np.sin(length) / length, (1.0 - np.cos(length)) / square
    for column in range(3):
        r0, r1, r2 = rotation[0, column], rotation[1, column], rotation[2, column]
        c0, c1, c2 = y * r2 - z * r1, z * r0 - x * r2, x * r1 - y * r0
        d0, d1, d2 = y * c2 - z * c1, z * c0 - x * c2, x * c1 - y * c0
        out[0, column] = r0 + a * c0 + b * d0
        out[1, column] = r1 + a * c1 + b * d1
        out[2, column] = r2 + a * c2 + b * d2


@njit(cache=True)
def _integrate(
    position: Any, velocity: Any, rotation: Any, rates: Any, forces: Any, step_s: float, fall: Any
) -> None:
    """Carry position, velocity and attitude over samples (N, 3), in place.

    rates, forces: averages over each step, vehicle axes, biases taken off. fall: acceleration of
    free fall in the rotating frame in the middle of the samples.
    """
    half, next_rotation = np.empty((3, 3)), np.empty((3, 3))
    angle = np.empty(3)
    for k in range(rates.shape[0]):
        for i in range(3):
            angle[i] = 0.5 * step_s * (rotation[i, 2] * ROTATION_RATE_RAD_PER_S - rates[k, i])
        _turn(rotation, angle, half)
        for i in range(3):
            angle[i] = 2.0 * angle[i]
        _turn(rotation, angle, next_rotation)
        for i in range(3):
            push = fall[i]
            for j in range(3):
                push += half[j, i] * forces[k, j]
            position[i] += step_s * (velocity[i] + 0.5 * step_s * push)
            velocity[i] += step_s * push
        rotation[:] = next_rotation


@njit(cache=True)
def _transition(rotation: Any, position: Any, force: Any, rate: Any, duration_s: float) -> Any:
    """Transition matrix of the errors over a short time, second order, (25, 25).

    force, rate: means over it, biases taken off.
    """
    f = np.zeros((25, 25))
    r2 = position[0] ** 2 + position[1] ** 2 + position[2] ** 2
    pull = GM_M3_PER_S2 / (r2 * np.sqrt(r2))
    for i in range(3):
        f[i, 3 + i] = 1.0
        f[6 + i, 12 + i] = 1.0
        f[3 + i, i] = -pull
        for j in range(3):
            f[3 + i, j] += 3.0 * pull * position[i] * position[j] / r2
            f[3 + i, 9 + j] = -rotation[j, i]
    # Coriolis.
    f[3, 4] = 2.0 * ROTATION_RATE_RAD_PER_S
    f[4, 3] = -2.0 * ROTATION_RATE_RAD_PER_S
    # R^T [f]x on the attitude's error.
    for i in range(3):
        r0, r1, r2 = rotation[0, i], rotation[1, i], rotation[2, i]
        f[3 + i, 6] = r1 * force[2] - r2 * force[1]
        f[3 + i, 7] = r2 * force[0] - r0 * force[2]
        f[3 + i, 8] = r0 * force[1] - r1 * force[0]
    f[6, 7], f[6, 8] = rate[2], -rate[1]
    f[7, 6], f[7, 8] = -rate[2], rate[0]
    f[8, 6], f[8, 7] = rate[1], -rate[0]
    return np.eye(25) + duration_s * f + (0.5 * duration_s * duration_s) * (f @ f)


@njit(cache=True)
def _mean(samples: Any, out: Any) -> None:
    """Mean of samples (N, 3), into out."""
    out[:] = 0.0
    for k in range(samples.shape[0]):
        for i in range(3):
            out[i] += samples[k, i] / samples.shape[0]


@njit(cache=True)
def _middle(
    position: Any, velocity: Any, rotation: Any, force: Any, duration_s: float, fall: Any
) -> float:
    """Free fall in the middle of a short time, to second order, into fall; the speed there."""
    middle, middle_velocity = np.empty(3), np.empty(3)
    free_fall(position, velocity, fall)
    half = 0.5 * duration_s
    square = 0.0
    for i in range(3):
        push = fall[i]
        for j in range(3):
            push += rotation[j, i] * force[j]
        middle[i] = position[i] + half * (velocity[i] + 0.5 * half * push)
        middle_velocity[i] = velocity[i] + half * push
        square += middle_velocity[i] ** 2
    free_fall(middle, middle_velocity, fall)
    return float(np.sqrt(square))


@njit(cache=True)
def dead_reckon(
    position: Any, velocity: Any, rotation: Any, rates: Any, forces: Any, step_s: float
) -> None:
    """Carry position, velocity and attitude over a few samples (N, 3), in place."""
    force, fall = np.empty(3), np.empty(3)
    _mean(forces, force)
    _middle(position, velocity, rotation, force, step_s * rates.shape[0], fall)
    _integrate(position, velocity, rotation, rates, forces, step_s, fall)


@njit(cache=True)
def carry(
    position: Any,
    velocity: Any,
    rotation: Any,
    covariance: Any,
    rates: Any,
    forces: Any,
    step_s: float,
    terrain_length_m: float,
    view_length_m: float,
) -> tuple[Any, float, float]:
    """Carry a state over a few samples, in place; the covariance without its noise.

    rates, forces: (N, 3), vehicle axes, biases taken off. covariance: (25, 25), errors in the order
    of `trn.navigation.state`. Returns the new covariance and the shares of the terrain's error and
    of what overlapping views share that stay over the ground passed.
    """
    duration_s = step_s * rates.shape[0]
    force, rate, fall = np.empty(3), np.empty(3), np.empty(3)
    _mean(forces, force)
    _mean(rates, rate)
    speed = _middle(position, velocity, rotation, force, duration_s, fall)
    keep = np.exp(-duration_s * speed / terrain_length_m)
    seen = np.exp(-duration_s * speed / max(view_length_m, 1e-6))
    phi = _transition(rotation, position, force, rate, duration_s)
    phi[18, 18] = keep
    phi[19, 19] = phi[20, 20] = phi[21, 21] = seen
    _integrate(position, velocity, rotation, rates, forces, step_s, fall)
    return phi @ covariance @ phi.T, keep, seen
