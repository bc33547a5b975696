"""Triads of neighbouring craters, on the Moon and in a view, found by their shape.

A triad is a crater with two of its nearest neighbours that are not smaller, taken counter-clockwise
as seen from above. What neighbours a crater has thus does not depend on how small the craters are
that a view still shows. Its shape is five numbers that do not change with scale: logarithms of the
three radii and the three sides, less their mean. Triangles of craters go back to Hanak, Crain and
Bishop (2008), Crater identification algorithm for the lost in low lunar orbit scenario, AAS 08;
views are made flat beforehand from the ellipses' own shape (trn.identify.ground), so that no
projective invariant is needed, of which Christian, Derksen, Watkins (2021) show the cost in noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

NEIGHBOURS = 9
NOT_SMALLER = 0.85
WIDEST = 0.2
"""Longest side from the first crater, in radii of the Moon."""
THINNEST = 0.1
"""Least sine of the angle at the first crater."""


@dataclass(frozen=True, eq=False)
class Triads:
    """Triads (T, 3), indices of craters, with the logarithm of their scale and a tree of shapes."""

    members: Indices
    log_scale: Array
    tree: cKDTree


def catalogue_triads(normal: Array, radius_m: Array, body_radius_m: float = 1_737_400.0) -> Triads:
    """All triads of a catalogue. normal: (N, 3), unit. radius_m: (N,)."""
    near = _larger_neighbours(normal, radius_m, NEIGHBOURS)
    place = body_radius_m * normal
    members = _triads_of(near, place, normal)
    shape, log_scale = triad_shapes(members, place, np.log(radius_m))
    return Triads(members, log_scale, cKDTree(shape))


def view_triads(
    place: Array, normal: Array, radius: Array, anchors: int, neighbours: int
) -> Indices:
    """Triads (T, 3) of what a view shows, made flat; the largest `anchors` come first in them.

    place, normal: (N, 3), on the ground, camera axes. radius: (N,), same unit as place.
    """
    near = np.full((len(radius), neighbours), -1, dtype=np.int64)
    for i in np.argsort(-radius)[:anchors] if anchors < len(radius) else range(len(radius)):
        apart = np.linalg.norm(place - place[i], axis=1)
        apart[(radius < NOT_SMALLER * radius[i]) | (apart < 0.3 * radius[i])] = np.inf
        apart[i] = np.inf
        order = np.argsort(apart)[:neighbours]
        order = order[np.isfinite(apart[order])]
        near[i, : len(order)] = order
    return _triads_of(near, place, normal)


def triad_shapes(members: Indices, place: Array, log_radius: Array) -> tuple[Array, Array]:
    """Shapes (T, 6) and logarithms of scale (T,) of triads. place: (N, 3). log_radius: (N,)."""
    a, b, c = (place[members[:, k]] for k in range(3))
    sides = np.stack([((p - q) ** 2).sum(-1) for p, q in ((a, b), (a, c), (b, c))], -1)
    whole = np.concatenate([log_radius[members], 0.5 * np.log(np.maximum(sides, 1e-12))], axis=1)
    log_scale = whole.mean(axis=1)
    return whole - log_scale[:, None], log_scale


def _larger_neighbours(normal: Array, radius: Array, count: int) -> Indices:
    """The nearest craters (N, count) that are not smaller; -1 where there are none so near."""
    near = np.full((len(radius), count), -1, dtype=np.int64)
    order = np.argsort(-radius, kind="stable")
    low = 0
    while low < len(order):
        # Craters of about one size ask one tree of all that are not smaller.
        high = int(np.searchsorted(-radius[order], -radius[order[low]] / 1.25, side="right"))
        high = max(high, low + 1)
        asking = order[low:high]
        held = order[: int(np.searchsorted(-radius[order], -NOT_SMALLER * radius[asking[-1]]))]
        k = min(4 * count, len(held))
        apart, found = cKDTree(normal[held]).query(normal[asking], k=k, distance_upper_bound=WIDEST)
        apart, found = apart.reshape(len(asking), k), found.reshape(len(asking), k)
        there = np.isfinite(apart)
        other = held[np.where(there, found, 0)]
        own = radius[asking][:, None]
        good = there & (radius[other] >= NOT_SMALLER * own) & (other != asking[:, None])
        # One crater listed twice makes no triad.
        good &= apart * 1_737_400.0 > 0.3 * own
        rank = np.where(good, np.arange(k), k)
        first = np.argsort(rank, axis=1, kind="stable")[:, :count]
        chosen = np.where(
            np.take_along_axis(good, first, 1), np.take_along_axis(other, first, 1), -1
        )
        near[asking, : chosen.shape[1]] = chosen
        low = high
    return near


def _triads_of(near: Indices, place: Array, normal: Array) -> Indices:
    """All pairs of neighbours with their crater, counter-clockwise from above, none too thin."""
    left, right = np.triu_indices(near.shape[1], 1)
    first = np.repeat(np.arange(len(near)), len(left))
    second, third = near[:, left].reshape(-1), near[:, right].reshape(-1)
    full = (second >= 0) & (third >= 0)
    first, second, third = first[full], second[full], third[full]
    one, other = place[second] - place[first], place[third] - place[first]
    turn = (np.cross(one, other) * normal[first]).sum(-1)
    turn /= np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    second, third = np.where(turn > 0, second, third), np.where(turn > 0, third, second)
    apart = np.linalg.norm(place[second] - place[third], axis=1)
    kept = (np.abs(turn) > THINNEST) & (apart > 0.2 * np.linalg.norm(one, axis=1))
    return np.asarray(np.stack([first, second, third], -1)[kept])
