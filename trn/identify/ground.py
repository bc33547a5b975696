"""Where the ground is, as ellipses alone tell it: craters are round, so their images show tilt."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]

LIKE = 0.06
"""As in trn.identify.vote: square of log(a/b) that detections scatter by."""
MOST_COST = 5.0


@njit(cache=True, nogil=True, error_model="numpy")
def ground_seen(ray: Array, down: Array, ratio: float, out: Array) -> bool:
    """Normal (3) of the ground that a ray meets and its distance in body radii, into out (4,).

    down: unit, camera axes, to the Moon's centre, `ratio` radii away. False above the limb.
    """
    along = ray[0] * down[0] + ray[1] * down[1] + ray[2] * down[2]
    under = 1.0 - ratio * ratio * (1.0 - along * along)
    if under <= 0.0 or along <= 0.0:
        return False
    reach = ratio * along - math.sqrt(under)
    for k in range(3):
        out[k] = reach * ray[k] - ratio * down[k]
    out[3] = reach
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def misfit(ray: Array, shape: Array, down: Array, ratio: float) -> float:
    """How unlike circles on the ground the ellipses are, mean over all, each at most MOST_COST."""
    here = np.empty(4)
    total = 0.0
    for i in range(ray.shape[0]):
        cost = MOST_COST
        if ground_seen(ray[i], down, ratio, here):
            facing = -(ray[i, 0] * here[0] + ray[i, 1] * here[1] + ray[i, 2] * here[2])
            if facing > 0.05:
                m0 = shape[i, 0, 0] * here[0] + shape[i, 0, 1] * here[1] + shape[i, 0, 2] * here[2]
                m1 = shape[i, 1, 0] * here[0] + shape[i, 1, 1] * here[1] + shape[i, 1, 2] * here[2]
                unlike = facing * (shape[i, 2, 0] + (m0 * m0 + m1 * m1) / facing**2) - 2.0
                cost = min(math.log1p(max(unlike, 0.0) / LIKE), MOST_COST)
        total += cost
    return float(total / max(ray.shape[0], 1))


@njit(cache=True, nogil=True, error_model="numpy")
def tilts(ray: Array, shape: Array, ratio: float, downs: Array) -> Array:
    """The misfit at each direction of downs (K, 3)."""
    out = np.empty(downs.shape[0])
    for k in range(downs.shape[0]):
        out[k] = misfit(ray, shape, downs[k], ratio)
    return out


def likely_downs(
    ray: Array, shape: Array, ratio: float, most: int = 2
) -> list[tuple[float, Array]]:
    """The best directions to the Moon's centre, camera axes, each with its misfit; best first.

    ray: (N, 3), shape: (N, 3, 3), from trn.identify.vote.shapes. ratio: distance of the Moon's
    centre in radii. Directions less than 12 deg apart count as one.
    """
    grid = _cap(80.0, 4.0)
    cost = tilts(ray, shape, ratio, grid)
    found: list[tuple[float, Array]] = []
    for k in np.argsort(cost)[:60]:
        if all(grid[k] @ other < math.cos(math.radians(12.0)) for _, other in found):
            found.append((float(cost[k]), grid[k]))
        if len(found) == most:
            break
    finer = []
    for best, down in found:
        for step in (0.03, 0.012, 0.005):
            near = down + step * _around(down)
            near /= np.linalg.norm(near, axis=1, keepdims=True)
            costs = tilts(ray, shape, ratio, near)
            k = int(np.argmin(costs))
            best, down = float(costs[k]), near[k]
        finer.append((best, down))
    return sorted(finer, key=lambda pair: pair[0])


def _cap(most_deg: float, step_deg: float) -> Array:
    """Directions around the boresight, (K, 3), about evenly spaced."""
    rows = [np.array([[0.0, 0.0, 1.0]])]
    for angle in np.arange(step_deg, most_deg, step_deg):
        count = max(6, round(360.0 * math.sin(math.radians(angle)) / step_deg))
        turn = np.linspace(0.0, 2.0 * math.pi, count, endpoint=False)
        s, c = math.sin(math.radians(angle)), math.cos(math.radians(angle))
        rows.append(np.stack([s * np.cos(turn), s * np.sin(turn), np.full(count, c)], -1))
    return np.concatenate(rows)


def _around(down: Array) -> Array:
    """Offsets of a 5 by 5 grid across a direction, (25, 3)."""
    helper = np.array([1.0, 0.0, 0.0]) if abs(down[0]) < 0.8 else np.array([0.0, 1.0, 0.0])
    first = np.cross(down, helper)
    first /= np.linalg.norm(first)
    second = np.cross(down, first)
    steps = np.arange(-2.0, 3.0)
    return np.asarray((steps[:, None, None] * first + steps[None, :, None] * second).reshape(-1, 3))
