"""Positions worth a closer look when the attitude is roughly known, by votes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trn.identify.index import CraterIndex
from trn.identify.vote import SLOTS, ballot, ranked
from trn.moon.constants import REFERENCE_RADIUS_M

Array = NDArray[np.float64]

LOOKED_AT = 400
"""Cells with the most votes whose neighbours are counted in."""


def voted_positions(
    rotation: Array,
    ray: Array,
    size: Array,
    shape: Array,
    index: CraterIndex,
    lowest_m: float,
    highest_m: float,
    most: int,
) -> Array:
    """Positions (K, 3), metres, MOON_ME, that ellipses and craters agree on, most votes first.

    rotation: (3, 3), body-fixed to camera, as told. ray, size, shape: as trn.identify.vote.shapes
    gives them, best the largest ellipses only: their noise is the least beside their size, and a
    vote's scatter is that of the size. lowest_m, highest_m: of the camera over the sphere.
    """
    keys = np.full(SLOTS, -1, dtype=np.int64)
    votes, best = np.zeros(SLOTS), np.zeros(SLOTS)
    sums = np.zeros((SLOTS, 3))
    last = np.full(SLOTS, -1, dtype=np.int32)
    ballot(
        ray, size, shape, index.centre @ rotation.T, index.normal @ rotation.T, index.radius_m,
        REFERENCE_RADIUS_M, lowest_m, highest_m,
        keys, votes, sums, last, best,
    )  # fmt: skip
    used = np.flatnonzero(keys != -1)
    if not len(used):
        return np.empty((0, 3))
    count = min(LOOKED_AT, len(used))
    top = used[np.argpartition(-votes[used], count - 1)[:count]]
    rows = ranked(keys, votes, sums, top)
    rows = rows[np.lexsort((rows[:, 3], rows[:, 2], rows[:, 1], -rows[:, 0]))]
    chosen: list[Array] = []
    for row in rows:
        place = row[1:]
        height = float(np.linalg.norm(place)) - REFERENCE_RADIUS_M
        if all(np.linalg.norm(place - other) > 0.05 * height for other in chosen):
            chosen.append(place)
        if len(chosen) == most:
            break
    return np.array(chosen).reshape(-1, 3) @ rotation
