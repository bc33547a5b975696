"""Poses worth a closer look when nothing is known: triads of the view found in the catalogue."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trn.identify.ground import ground_seen, likely_downs
from trn.identify.index import CraterIndex
from trn.identify.triads import triad_shapes, view_triads
from trn.moon.constants import REFERENCE_RADIUS_M

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

RATIO = 1.2
"""Distance of the Moon's centre, in radii, taken for the ground's bend: it matters little."""
ANCHORS, NEIGHBOURS = 50, 5
NEAREST = 80
"""Catalogue triads that one triad of the view may be, at most."""
TOLERANCE = 0.22
SCATTER = 0.1
"""Distance of shapes beyond which none is taken, and its standard deviation."""
CELL = 0.12
"""Side of a cell over the altitude at its layer's lower edge."""
CELLS = 1 << 16
"""Cells an axis that a number holds; a body radius is some 300 of the smallest."""


def triad_poses(
    ray: Array,
    size: Array,
    shape: Array,
    index: CraterIndex,
    lowest_m: float,
    highest_m: float,
    most: int,
) -> list[tuple[Array, Array]]:
    """Rotations (3, 3) and positions (3,) that triads agree on, most votes first.

    ray, size, shape: as trn.identify.vote.shapes gives them. lowest_m, highest_m: of the camera
    over the sphere.
    """
    parts = []
    triads = 0
    for _, down in likely_downs(ray, shape, RATIO):
        place, normal, radius = _flat(ray, size, down)
        members = view_triads(place, normal, radius, ANCHORS, NEIGHBOURS)
        if not len(members):
            continue
        forms, log_scale = triad_shapes(members, place, np.log(radius))
        apart, found = index.triads.tree.query(forms, k=NEAREST, distance_upper_bound=TOLERANCE)
        one, column = np.nonzero(np.isfinite(apart))
        other = found[one, column]
        rotation, position = _poses(
            place[members[one]],
            normal[members[one]].mean(1),
            index.centre[index.triads.members[other]],
            index.normal[index.triads.members[other]].mean(1),
            np.exp(index.triads.log_scale[other] - log_scale[one]),
        )
        weight = np.exp(-0.5 * (apart[one, column] / SCATTER) ** 2)
        parts.append((rotation, position, weight, one + triads))
        triads += len(members)
    if not parts:
        return []
    rotation, position, weight, triad = (np.concatenate(column) for column in zip(*parts))
    height = np.linalg.norm(position, axis=1) - REFERENCE_RADIUS_M
    kept = np.flatnonzero((height > lowest_m) & (height < highest_m))
    return _agreed(rotation[kept], position[kept], height[kept], weight[kept], triad[kept], most)


def _flat(ray: Array, size: Array, down: Array) -> tuple[Array, Array, Array]:
    """Where craters are on the ground (N, 3), metres, camera axes; normals (N, 3); radii (N,)."""
    here = np.zeros((len(ray), 4))
    met = np.array([ground_seen(ray[i], down, RATIO, here[i]) for i in range(len(ray))])
    facing = -(ray * here[:, :3]).sum(-1)
    met &= facing > 0.1
    reach = REFERENCE_RADIUS_M * here[met, 3]
    return reach[:, None] * ray[met], here[met, :3], size[met] * reach / np.sqrt(facing[met])


def _frames(normal: Array) -> tuple[Array, Array]:
    """Two directions across each normal (H, 3), all of length one, right-handed with it."""
    normal = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    helper = np.where(np.abs(normal[:, :1]) < 0.8, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    first = np.cross(helper, normal)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return first, np.cross(normal, first)


def _poses(
    seen: Array, seen_normal: Array, true: Array, true_normal: Array, scale: Array
) -> tuple[Array, Array]:
    """Rotations (H, 3, 3) and positions (H, 3) that put triads onto triads.

    seen, true: (H, 3, 3), corners, camera axes and MOON_ME. scale: (H,), true over seen. The turn
    about the normal is the least-squares one of the plane (Umeyama 1991, in complex numbers).
    """
    seen_middle, true_middle = seen.mean(1), true.mean(1)
    u, v = _frames(seen_normal)
    p, q = _frames(true_normal)
    one = seen - seen_middle[:, None]
    other = true - true_middle[:, None]
    flat = (one * u[:, None]).sum(-1) + 1j * (one * v[:, None]).sum(-1)
    flat_true = (other * p[:, None]).sum(-1) + 1j * (other * q[:, None]).sum(-1)
    turn = np.angle((np.conj(flat_true) * flat).sum(-1))
    c, s = np.cos(turn)[:, None], np.sin(turn)[:, None]
    # Directions across, as the camera sees the body's.
    first, second = c * u + s * v, c * v - s * u
    camera = np.stack([first, second, np.cross(first, second)], -1)
    body = np.stack([p, q, np.cross(p, q)], -1)
    rotation = camera @ np.swapaxes(body, 1, 2)
    back = (np.swapaxes(rotation, 1, 2) @ (scale[:, None] * seen_middle)[:, :, None])[:, :, 0]
    return rotation, true_middle - back


def _agreed(
    rotation: Array, position: Array, height: Array, weight: Array, triad: Indices, most: int
) -> list[tuple[Array, Array]]:
    """The hypothesis nearest to the mean of each cell that has the most votes, best first."""
    places: list[tuple[float, Array]] = []
    for shift in (0.0, 0.5):
        layer = np.floor(2.0 * np.log2(height / 1e3) + shift)
        side = CELL * 1e3 * 2.0 ** (0.5 * (layer - shift))
        x, y, z = (np.floor(position / side[:, None] + shift).astype(np.int64) + CELLS // 2).T
        cell = ((layer.astype(np.int64) * CELLS + x) * CELLS + y) * CELLS + z
        _, group = np.unique(cell, return_inverse=True)
        # A triad of the view votes once a cell, with its best vote.
        order = np.lexsort((-weight, triad, group))
        repeated = np.zeros(len(order), dtype=bool)
        repeated[1:] = (np.diff(group[order]) == 0) & (np.diff(triad[order]) == 0)
        own = order[~repeated]
        votes = np.bincount(group[own], weights=weight[own])
        means = [
            np.bincount(group[own], weights=weight[own] * position[own, k]) / votes
            for k in range(3)
        ]
        for best in np.argsort(-votes, kind="stable")[:most]:
            places.append((float(votes[best]), np.array([mean[best] for mean in means])))
    places.sort(key=lambda place: -place[0])
    chosen: list[tuple[Array, Array]] = []
    for _, place in places:
        altitude = float(np.linalg.norm(place)) - REFERENCE_RADIUS_M
        if all(np.linalg.norm(place - other) > 0.5 * CELL * altitude for _, other in chosen):
            nearest = int(np.argmin(((position - place) ** 2).sum(-1)))
            chosen.append((np.ascontiguousarray(rotation[nearest]), position[nearest].copy()))
        if len(chosen) == most:
            break
    return chosen
