"""The true ground around one view: patches inside one another, each as fine as is seen there.

The first covers all that can be in view or shade it. Rays are cast onto what there is so far;
where they meet ground so near that its samples would show, a finer patch is laid into it,
until every sample is as small as a pixel sees, from orbit down to the last metres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.errors import InputError
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.simulate.patch import Patch, packed
from trn.simulate.raycast import MOST_PATCHES, cast_many
from trn.simulate.terrain import CpuRelief, Relief, TruthTerrain

Array = NDArray[np.float64]
Box = tuple[float, float, float, float]

_FARTHEST_SHADE_M = 40e3
# A grazing Sun's shadows have no end: below this elevation they are drawn as if it stood there.
_LOWEST_SUN_RAD = math.radians(3.0)
_LEAST_COS_EMISSION = 0.2
# Heights are float32, 0.2 mm apart some kilometres off the sphere: finer samples would show steps.
_LEAST_STEP_M = 0.02
# How far, in samples, the ground of a finer patch may move a ray's end sideways.
_MARGIN_SAMPLES = 3


@dataclass(frozen=True)
class Surface:
    """Patches that share one gnomonic frame, coarse to fine, each inside the one before."""

    patches: tuple[Patch, ...]

    @property
    def frame(self) -> Array:
        """Rows: the two axes of the grid and up at its centre, body-fixed."""
        return self.patches[0].frame

    def height_at(self, positions_m: Array) -> Array:
        """Height of the ground under body-fixed points, shape (..., 3); NaN off the surface."""
        height = self.patches[0].height_at(positions_m)
        for patch in self.patches[1:]:
            finer = patch.height_at(positions_m)
            height = np.where(np.isfinite(finer), finer, height)
        return height

    def ranges_m(self, origin_m: Array, directions: Array) -> Array:
        """Distances from a body-fixed origin along unit directions, (N, 3), to the ground, or NaN.

        Rays start at the origin, which must stand over the surface's outline.
        """
        rays = np.ascontiguousarray(np.asarray(directions, dtype=np.float64) @ self.frame.T)
        out = np.empty(len(rays))
        cast_many(self.frame @ np.asarray(origin_m, dtype=np.float64), rays, *self.packed, out)
        return out

    @cached_property
    def packed(self) -> tuple[Any, Any, Any, Array]:
        """Its patches as `patch.packed` has them."""
        return packed(self.patches)


def surface_in_view(
    terrain: TruthTerrain,
    origin_m: Array,
    directions: Array,
    spacing_rad: float,
    *,
    sun_direction: Array | None = None,
    samples: int = 2_000_000,
    relief: Relief | None = None,
) -> Surface:
    """The ground that rays from one point meet, as fine as they tell apart.

    origin_m: shape (3,), MOON_ME. directions: (N, 3), unit, body-fixed, spread over the view.
    spacing_rad: wanted distance of the surface's samples as seen from the origin. sun_direction:
    where given, ground that may shade the view is in it too. samples: bound of each patch; where it
    is met samples are farther apart. relief: see `TruthTerrain.patch`; it casts these rays as well.
    Raises InputError where the origin is below the ground or all rays miss the Moon.
    """
    origin = np.asarray(origin_m, dtype=np.float64)
    frame, box = _outline(terrain, origin, directions, sun_direction)
    map_step = terrain.grid.spacing_m / REFERENCE_RADIUS_M
    level = _finest_level(map_step, box, samples // 2, limit=1)
    relief = relief or CpuRelief()
    patches = [terrain.patch(frame, box, map_step * 2.0**-level, relief)]
    if float(np.linalg.norm(origin)) - REFERENCE_RADIUS_M <= float(patches[0].height_at(origin)):
        raise InputError("pose: the camera is below the ground; raise it")
    local_origin, rays = frame @ origin, np.ascontiguousarray(directions @ frame.T)
    while len(patches) < MOST_PATCHES:
        ranges = relief.ranges_m(patches, local_origin, rays)
        met = np.isfinite(ranges)
        points = origin + ranges[met, None] * directions[met]
        cosine = -np.sum(points * directions[met], axis=1) / np.linalg.norm(points, axis=1)
        seen_m = ranges[met] * spacing_rad / np.sqrt(np.maximum(cosine, _LEAST_COS_EMISSION))
        wanted = np.log2(terrain.grid.spacing_m / np.maximum(seen_m, _LEAST_STEP_M))
        levels = np.round(wanted).astype(np.int64)
        # As few halvings at a time as the number of patches allows: a patch that is much finer than
        # its far end is seen from there would make pixels of single samples, which is noise.
        halvings = math.ceil(
            (int(levels.max(initial=level)) - level) / (MOST_PATCHES - len(patches))
        )
        finer = _finer_patch(
            points @ frame.T, levels, level, level + halvings, patches[-1], map_step, samples
        )
        if finer is None:
            break
        level, box = finer
        patches.append(terrain.patch(frame, box, map_step * 2.0**-level, relief))
    return Surface(tuple(patches))


def _finest_level(map_step: float, box: Box, samples: int, limit: int) -> int:
    """Halvings of the map's step (negative: doublings) that a box may have, at most limit."""
    step = math.sqrt((box[1] - box[0]) * (box[3] - box[2]) / samples)
    return min(limit, math.floor(math.log2(map_step / step)))


def _finer_patch(
    local_m: Array,
    levels: NDArray[np.int64],
    level: int,
    most: int,
    last: Patch,
    map_step: float,
    samples: int,
) -> tuple[int, Box] | None:
    """Level (above level, at most `most`) and box of the next patch; None where none is asked for.

    local_m: points met, (N, 3), patch axes. levels: what each asks for. The widest region that
    gains is refined as far as the samples reach; what is nearer comes in the next patch.
    """
    for least in range(level + 1, int(levels.max(initial=level)) + 1):
        wants = levels >= least
        u, v = (local_m[wants, axis] / local_m[wants, 2] for axis in range(2))
        margin = _MARGIN_SAMPLES * last.step
        spread = 0.03 * max(float(np.ptp(u)), float(np.ptp(v)))
        outer = last.box
        box = (
            max(float(u.min()) - margin - spread, outer[0]),
            min(float(u.max()) + margin + spread, outer[1]),
            max(float(v.min()) - margin - spread, outer[2]),
            min(float(v.max()) + margin + spread, outer[3]),
        )
        finest = _finest_level(map_step, box, samples, limit=min(int(levels[wants].max()), most))
        if finest > level:
            return finest, box
    return None


def _outline(
    terrain: TruthTerrain, origin: Array, directions: Array, sun_direction: Array | None
) -> tuple[Array, Box]:
    """Gnomonic frame and box of all ground in view, below the origin, and what shades it."""
    low, high = terrain.height_range_m
    seen = [origin[None]]
    along = directions @ origin
    closest = origin @ origin - along**2
    meets = (closest < (REFERENCE_RADIUS_M + high) ** 2) & (along < 0.0)
    if not meets.any():
        raise InputError("pose: the camera sees none of the Moon; point it at the ground")
    down = along < 0.0
    for height in (low, high):
        inside = (REFERENCE_RADIUS_M + height) ** 2 - closest[down]
        # A ray past the limb sees no farther than the limb itself.
        distance = np.maximum(-along[down] - np.sqrt(np.maximum(inside, 0.0)), 0.0)
        seen.append(origin + distance[:, None] * directions[down])
    points = np.concatenate(seen)
    middle = points.mean(axis=0)
    middle /= np.linalg.norm(middle)
    forward = directions.mean(axis=0)
    forward = forward - (forward @ middle) * middle
    if np.linalg.norm(forward) < 0.05:
        # Seen from above any direction will do: the axis that is farthest from upright.
        forward = np.eye(3)[int(np.argmin(np.abs(middle)))]
        forward = forward - (forward @ middle) * middle
    forward /= np.linalg.norm(forward)
    frame = np.stack([np.cross(forward, middle), forward, middle])
    local = points @ frame.T
    u, v = local[:, 0] / local[:, 2], local[:, 1] / local[:, 2]
    box = np.array([u.min(), u.max(), v.min(), v.max()])
    if sun_direction is not None:
        sun = frame @ sun_direction
        rise = max(math.asin(min(float(sun[2]), 1.0)), _LOWEST_SUN_RAD)
        reach_m = min((high - low) / math.tan(rise), _FARTHEST_SHADE_M)
        reach = reach_m / REFERENCE_RADIUS_M / max(float(np.hypot(sun[0], sun[1])), 1e-9)
        box[0:2] += np.clip(reach * sun[0], [-np.inf, 0.0], [0.0, np.inf])
        box[2:4] += np.clip(reach * sun[1], [-np.inf, 0.0], [0.0, np.inf])
    margin = 0.02 * max(box[1] - box[0], box[3] - box[2])
    margin = max(margin, 4.0 * terrain.grid.spacing_m / REFERENCE_RADIUS_M)
    box += margin * np.array([-1.0, 1.0, -1.0, 1.0])
    return frame, (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
