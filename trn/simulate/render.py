"""Pictures of the true ground: rays marched onto it, sunlight with its shadows, a real sensor.

This is the truth side. It shares no code with the estimator's prediction, so that an error in
either shows up as an error, and does not cancel.

A ray runs through the gnomonic grid of a `Patch` with a pyramid of maximum heights above it
(maximum mipmaps, Tevs et al. 2008): a block whose highest ground stays under the ray is crossed in
one step, and no ridge can be stepped over. Inside a cell the crossing with the bilinear surface
is bracketed, grazing double crossings included, and bisected to a millimetre along the ray.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from trn.camera import Camera
from trn.errors import InputError
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.pose import Pose
from trn.simulate.bands import over_bands
from trn.simulate.camera_model import SensorSettings, expose
from trn.simulate.noise import seed_word
from trn.simulate.photometry import Hapke, albedo_factor, radiance_factor
from trn.simulate.terrain import ALBEDO, Patch, TruthTerrain

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

SUN_RADIUS_RAD = math.radians(0.2666)
"""Angular radius of the Sun's disc at 1 astronomical unit."""

# Smallest block of the pyramid: 2^2 by 2^2 cells.
_BASE = 2
# Steps over a block's edge, metres along the ray, so that it counts as crossed.
_NUDGE_M = 1e-4


@dataclass(frozen=True)
class RenderSettings:
    """How a frame is made.

    spacing_px: ground distance of the surface's samples where a pixel sees the least ground, in
    such pixels. max_samples: bound on the surface's samples (memory); the spacing grows to keep
    it. albedo_contrast: highland over mare. albedo_texture: relative (1 sigma), at 0.5 to 8 km;
    3 % is what separates Apollo 15 mapping-camera frames from a rendering of uniform albedo on
    smooth ground at those scales (5 % over all ground, errors of the map included).
    workers: threads; None for one a core.
    """

    hapke: Hapke = field(default_factory=Hapke)
    sensor: SensorSettings = field(default_factory=SensorSettings)
    albedo_contrast: float = 2.0
    albedo_texture: float = 0.03
    spacing_px: float = 0.7
    max_samples: int = 24_000_000
    workers: int | None = None


@dataclass(frozen=True)
class RenderedFrame:
    """One frame and what is true of each of its pixels.

    image: (H, W) uint8 (uint16 over 8 bits). depth_m: (H, W) float32, metres from the camera
    along the pixel's ray to the ground, NaN where it sees the sky. radiance: (H, W) float32, I/F
    before the sensor. patch: the surface that was seen.
    """

    image: NDArray[np.uint8] | NDArray[np.uint16]
    depth_m: Array32
    radiance: Array32
    patch: Patch


def camera_rays(camera: Camera) -> Array:
    """Unit vectors through all pixel centres, camera axes, shape (H, W, 3), read-only."""
    return _camera_rays(camera)


@lru_cache(maxsize=2)
def _camera_rays(camera: Camera) -> Array:
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    pixels = np.stack([columns, rows], axis=-1).astype(np.float64)
    rays = np.ascontiguousarray(camera.pixels_to_rays(pixels), dtype=np.float64)
    rays.setflags(write=False)
    return rays


@numba.njit(cache=True, nogil=True)
def _highest_in_blocks(h: Any, size: int, out: Any) -> None:
    """Highest sample of each block of size x size cells, the samples on its edges included."""
    for block_row in range(out.shape[0]):
        for block_column in range(out.shape[1]):
            highest = h[block_row * size, block_column * size]
            for row in range(block_row * size, min((block_row + 1) * size + 1, h.shape[0])):
                for column in range(
                    block_column * size, min((block_column + 1) * size + 1, h.shape[1])
                ):
                    highest = max(highest, h[row, column])
            out[block_row, block_column] = highest


def _pyramid(height_m: Array32) -> tuple[Array32, NDArray[np.int64]]:
    """Highest ground in blocks of 2^k cells, k = 2 up, in one array, and where each level lies.

    The second array has a row (offset, rows, columns) a level.
    """
    size = 1 << _BASE
    rows, columns = height_m.shape
    level = np.empty((-(-(rows - 1) // size), -(-(columns - 1) // size)), np.float32)
    _highest_in_blocks(height_m, size, level)
    levels, shapes, offset = [level.ravel()], [(0, *level.shape)], level.size
    while max(level.shape) > 1:
        odd = [(0, side % 2) for side in level.shape]
        level = np.pad(level, odd, constant_values=np.float32(-np.inf))
        level = np.maximum(level[::2], level[1::2])
        level = np.maximum(level[:, ::2], level[:, 1::2])
        levels.append(level.ravel())
        shapes.append((offset, *level.shape))
        offset += level.size
    return np.concatenate(levels), np.array(shapes, dtype=np.int64)


@numba.njit(cache=True, nogil=True)
def _above(
    t: float,
    o: Any,
    d: Any,
    along: float,
    square: float,
    h: Any,
    row: int,
    column: int,
    u0: float,
    v0: float,
    step: float,
) -> float:
    """Height of the ray's point t over the bilinear surface of one cell."""
    z = o[2] + t * d[2]
    fc = ((o[0] + t * d[0]) / z - u0) / step - column
    fr = ((o[1] + t * d[1]) / z - v0) / step - row
    near = h[row, column] + fc * (h[row, column + 1] - h[row, column])
    far = h[row + 1, column] + fc * (h[row + 1, column + 1] - h[row + 1, column])
    radius = math.sqrt(square + t * (2.0 * along + t))
    return float(radius - REFERENCE_RADIUS_M - (near + fr * (far - near)))


@numba.njit(cache=True, nogil=True)
def _cross_cell(
    t0: float,
    t1: float,
    o: Any,
    d: Any,
    along: float,
    square: float,
    h: Any,
    row: int,
    column: int,
    u0: float,
    v0: float,
    step: float,
) -> float:
    """Where between t0 and t1 the ray first meets one cell's surface, or -1."""
    at_0 = _above(t0, o, d, along, square, h, row, column, u0, v0, step)
    if at_0 <= 0.0:
        return t0
    tm = 0.5 * (t0 + t1)
    at_m = _above(tm, o, d, along, square, h, row, column, u0, v0, step)
    at_1 = _above(t1, o, d, along, square, h, row, column, u0, v0, step)
    if at_m <= 0.0:
        high = tm
    elif at_1 <= 0.0:
        t0, high = tm, t1
    else:
        # A straight ray over a bilinear cell is a parabola: look at its lowest point.
        bend = at_0 - 2.0 * at_m + at_1
        if bend <= 0.0:
            return -1.0
        lowest = 0.5 + 0.25 * (at_0 - at_1) / bend
        if lowest <= 0.0 or lowest >= 1.0:
            return -1.0
        high = t0 + lowest * (t1 - t0)
        if _above(high, o, d, along, square, h, row, column, u0, v0, step) > 0.0:
            return -1.0
    low = t0
    while high - low > 1e-3:
        middle = 0.5 * (low + high)
        if _above(middle, o, d, along, square, h, row, column, u0, v0, step) > 0.0:
            low = middle
        else:
            high = middle
    return high


@numba.njit(cache=True, nogil=True)
def _exit(
    t: float,
    o: Any,
    d: Any,
    u_low: float,
    u_high: float,
    v_low: float,
    v_high: float,
    turn_u: float,
    turn_v: float,
) -> float:
    """Where the ray, at t inside a box of gnomonic coordinates, leaves it (inf: never)."""
    leave = np.inf
    if turn_u != 0.0:
        edge = u_high if turn_u > 0.0 else u_low
        slope = d[0] - edge * d[2]
        if slope != 0.0:
            at = (edge * o[2] - o[0]) / slope
            if at > t:
                leave = at
    if turn_v != 0.0:
        edge = v_high if turn_v > 0.0 else v_low
        slope = d[1] - edge * d[2]
        if slope != 0.0:
            at = (edge * o[2] - o[1]) / slope
            if at > t and at < leave:
                leave = at
    return leave


@numba.njit(cache=True, nogil=True)
def _march(
    o: Any,
    d: Any,
    h: Any,
    pyramid: Any,
    shapes: Any,
    u0: float,
    v0: float,
    step: float,
    h_min: float,
    h_max: float,
) -> float:
    """Distance along a ray (origin o, unit direction d, patch axes) to the ground, or -1."""
    along = o[0] * d[0] + o[1] * d[1] + o[2] * d[2]
    square = o[0] * o[0] + o[1] * o[1] + o[2] * o[2]
    closest = square - along * along
    top = REFERENCE_RADIUS_M + h_max
    if closest >= top * top:
        return -1.0
    half_chord = math.sqrt(top * top - closest)
    t = max(-along - half_chord, 0.0)
    t_end = -along + half_chord
    if t_end <= t:
        return -1.0
    bottom = REFERENCE_RADIUS_M + h_min - 1.0
    if closest < bottom * bottom:
        to_bottom = -along - math.sqrt(bottom * bottom - closest)
        if to_bottom > 0.0:
            t_end = min(t_end, to_bottom)
    turn_u = d[0] * o[2] - o[0] * d[2]
    turn_v = d[1] * o[2] - o[1] * d[2]
    rows, columns = h.shape
    levels = shapes.shape[0]
    level = 0
    while t < t_end:
        at = t + _NUDGE_M
        z = o[2] + at * d[2]
        if z <= 0.0:
            return -1.0
        gu = ((o[0] + at * d[0]) / z - u0) / step
        gv = ((o[1] + at * d[1]) / z - v0) / step
        if gu < 0.0 or gv < 0.0 or gu >= columns - 1 or gv >= rows - 1:
            return -1.0
        column, row = int(gu), int(gv)
        while True:
            shift = level + _BASE
            block_column, block_row = column >> shift, row >> shift
            size = 1 << shift
            leave = _exit(
                t, o, d,
                u0 + block_column * size * step, u0 + (block_column + 1) * size * step,
                v0 + block_row * size * step, v0 + (block_row + 1) * size * step,
                turn_u, turn_v,
            )  # fmt: skip
            leave = min(leave, t_end)
            lowest_at = min(max(-along, t), leave)
            lowest = math.sqrt(square + lowest_at * (2.0 * along + lowest_at)) - REFERENCE_RADIUS_M
            highest = pyramid[shapes[level, 0] + block_row * shapes[level, 2] + block_column]
            if lowest > highest or level == 0:
                break
            level -= 1
        if lowest > highest:
            t = max(leave, at)
            level = min(level + 1, levels - 1)
            continue
        # Walk the cells of one smallest block.
        while t < leave:
            at = t + _NUDGE_M
            z = o[2] + at * d[2]
            gu = ((o[0] + at * d[0]) / z - u0) / step
            gv = ((o[1] + at * d[1]) / z - v0) / step
            if gu < 0.0 or gv < 0.0 or gu >= columns - 1 or gv >= rows - 1:
                return -1.0
            column, row = int(gu), int(gv)
            out = min(
                _exit(
                    t, o, d,
                    u0 + column * step, u0 + (column + 1) * step,
                    v0 + row * step, v0 + (row + 1) * step,
                    turn_u, turn_v,
                ),
                t_end,
            )  # fmt: skip
            highest = max(
                max(h[row, column], h[row, column + 1]),
                max(h[row + 1, column], h[row + 1, column + 1]),
            )
            lowest_at = min(max(-along, t), out)
            lowest = math.sqrt(square + lowest_at * (2.0 * along + lowest_at)) - REFERENCE_RADIUS_M
            if lowest <= highest:
                hit = _cross_cell(t, out, o, d, along, square, h, row, column, u0, v0, step)
                if hit >= 0.0:
                    return hit
            t = max(out, at)
    return -1.0


@numba.njit(cache=True, nogil=True)
def _normal(p: Any, h: Any, u0: float, v0: float, step: float, n: Any) -> None:
    """Unit normal into n at a surface point p (patch axes), from smoothed central differences."""
    u, v = p[0] / p[2], p[1] / p[2]
    gu, gv = (u - u0) / step, (v - v0) / step
    rows, columns = h.shape
    c = min(max(int(gu), 1), columns - 3)
    r = min(max(int(gv), 1), rows - 3)
    fc, fr = min(max(gu - c, 0.0), 1.0), min(max(gv - r, 0.0), 1.0)
    w00, w01 = (1 - fr) * (1 - fc), (1 - fr) * fc
    w10, w11 = fr * (1 - fc), fr * fc
    slope_u = (
        w00 * (h[r, c + 1] - h[r, c - 1])
        + w01 * (h[r, c + 2] - h[r, c])
        + w10 * (h[r + 1, c + 1] - h[r + 1, c - 1])
        + w11 * (h[r + 1, c + 2] - h[r + 1, c])
    ) / (2.0 * step)
    slope_v = (
        w00 * (h[r + 1, c] - h[r - 1, c])
        + w01 * (h[r + 1, c + 1] - h[r - 1, c + 1])
        + w10 * (h[r + 2, c] - h[r, c])
        + w11 * (h[r + 2, c + 1] - h[r, c + 1])
    ) / (2.0 * step)
    # Position is radius * (u, v, 1) / q with q = sqrt(1 + u^2 + v^2): its two derivatives.
    q2 = 1.0 + u * u + v * v
    q = math.sqrt(q2)
    radius = math.sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2])
    a = slope_u / q - radius * u / (q2 * q)
    ax, ay, az = a * u + radius / q, a * v, a
    b = slope_v / q - radius * v / (q2 * q)
    bx, by, bz = b * u, b * v + radius / q, b
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    length = math.sqrt(nx * nx + ny * ny + nz * nz)
    n[0], n[1], n[2] = nx / length, ny / length, nz / length


@numba.njit(cache=True, nogil=True)
def _sun_ray(sun: Any, up: Any, offset_rad: float, out: Any) -> None:
    """Direction of the point of the Sun's disc at an angle straight above its centre."""
    rise = sun[0] * up[0] + sun[1] * up[1] + sun[2] * up[2]
    level = math.sqrt(max(1.0 - rise * rise, 1e-12))
    sine, cosine = math.sin(offset_rad), math.cos(offset_rad)
    for k in range(3):
        out[k] = cosine * sun[k] + sine * (up[k] - rise * sun[k]) / level


@numba.njit(cache=True, nogil=True)
def _sun_visible(
    p: Any,
    up: Any,
    sun: Any,
    h: Any,
    pyramid: Any,
    shapes: Any,
    u0: float,
    v0: float,
    step: float,
    h_min: float,
    h_max: float,
    ray: Any,
) -> float:
    """Fraction of the Sun's disc that a surface point sees, the horizon taken as level."""
    _sun_ray(sun, up, -SUN_RADIUS_RAD, ray)
    if _march(p, ray, h, pyramid, shapes, u0, v0, step, h_min, h_max) < 0.0:
        return 1.0
    _sun_ray(sun, up, SUN_RADIUS_RAD, ray)
    if _march(p, ray, h, pyramid, shapes, u0, v0, step, h_min, h_max) >= 0.0:
        return 0.0
    hidden, seen = -1.0, 1.0
    for _ in range(4):
        middle = 0.5 * (hidden + seen)
        _sun_ray(sun, up, middle * SUN_RADIUS_RAD, ray)
        if _march(p, ray, h, pyramid, shapes, u0, v0, step, h_min, h_max) < 0.0:
            seen = middle
        else:
            hidden = middle
    x = 0.5 * (hidden + seen)
    return (math.acos(x) - x * math.sqrt(1.0 - x * x)) / math.pi


@numba.njit(cache=True, nogil=True)
def _trace(
    first: int,
    last: int,
    rays: Any,
    turn: Any,
    origin: Any,
    sun: Any,
    frame: Any,
    h: Any,
    pyramid: Any,
    shapes: Any,
    u0: float,
    v0: float,
    step: float,
    h_min: float,
    h_max: float,
    hapke: Any,
    contrast: float,
    texture: float,
    seed: np.uint64,
    depth: Any,
    radiance: Any,
) -> None:
    """Depth and radiance of image rows first <= row < last; all vectors in patch axes."""
    d, p, up = np.empty(3), np.empty(3), np.empty(3)
    n, ray, lifted = np.empty(3), np.empty(3), np.empty(3)
    gradients = np.empty((6, 8, 3))
    cells = np.full((6, 3), np.int64(-(2**62)))
    lift = 0.03 * step * REFERENCE_RADIUS_M
    for row in range(first, last):
        for column in range(rays.shape[1]):
            x, y, z = rays[row, column, 0], rays[row, column, 1], rays[row, column, 2]
            for k in range(3):
                d[k] = turn[k, 0] * x + turn[k, 1] * y + turn[k, 2] * z
            t = _march(origin, d, h, pyramid, shapes, u0, v0, step, h_min, h_max)
            radiance[row, column] = 0.0
            if t < 0.0:
                depth[row, column] = np.nan
                continue
            depth[row, column] = t
            radius = 0.0
            for k in range(3):
                p[k] = origin[k] + t * d[k]
                radius += p[k] * p[k]
            radius = math.sqrt(radius)
            for k in range(3):
                up[k] = p[k] / radius
                # Off the ground by a little, so that the sample's own cell casts no shadow on it.
                lifted[k] = p[k] + lift * up[k]
            _normal(p, h, u0, v0, step, n)
            cos_i = n[0] * sun[0] + n[1] * sun[1] + n[2] * sun[2]
            if cos_i <= 0.0:
                continue
            visible = _sun_visible(
                lifted, up, sun, h, pyramid, shapes, u0, v0, step, h_min, h_max, ray
            )
            if visible <= 0.0:
                continue
            cos_e = max(-(n[0] * d[0] + n[1] * d[1] + n[2] * d[2]), 0.02)
            cos_g = -(d[0] * sun[0] + d[1] * sun[1] + d[2] * sun[2])
            bx = frame[0, 0] * p[0] + frame[1, 0] * p[1] + frame[2, 0] * p[2]
            by = frame[0, 1] * p[0] + frame[1, 1] * p[1] + frame[2, 1] * p[2]
            bz = frame[0, 2] * p[0] + frame[1, 2] * p[1] + frame[2, 2] * p[2]
            # Albedo belongs to the place, not to its height.
            onto = REFERENCE_RADIUS_M / radius
            albedo = hapke[0] * albedo_factor(
                bx * onto, by * onto, bz * onto, contrast, texture, seed, gradients, cells
            )
            radiance[row, column] = visible * radiance_factor(cos_i, cos_e, cos_g, albedo, hapke)


def _view_box(
    terrain: TruthTerrain, camera: Camera, pose: Pose, sun: Array
) -> tuple[Array, tuple[float, float, float, float], float]:
    """Patch frame, box and the ground that a pixel sees at the least, for one view.

    The box holds all ground that can be in view and all that can shade it.
    """
    low, high = terrain.height_range_m
    position = np.asarray(pose.position_m, dtype=np.float64)
    rotation = pose.rotation_body_to_camera()
    up = position / np.linalg.norm(position)
    forward = rotation[2] - (rotation[2] @ up) * up
    if np.linalg.norm(forward) < 0.05:
        forward = -(rotation[1] - (rotation[1] @ up) * up)
    forward /= np.linalg.norm(forward)
    pixels = np.stack(
        np.meshgrid(np.linspace(0, camera.width - 1, 65), np.linspace(0, camera.height - 1, 65)),
        axis=-1,
    )
    rays = camera.pixels_to_rays(pixels).reshape(-1, 3) @ rotation
    seen, nearest = [], np.inf
    for height in (low, high):
        along = rays @ position
        inside = (REFERENCE_RADIUS_M + height) ** 2 - (position @ position - along**2)
        # A ray past the limb sees no farther than the limb itself.
        distance = np.maximum(-along - np.sqrt(np.maximum(inside, 0.0)), 0.0)
        seen.append(position + distance[:, None] * rays)
        nearest = min(nearest, float(distance[distance > 0].min(initial=np.inf)))
    points = np.concatenate(seen)
    if not np.isfinite(nearest):
        raise InputError("pose: the camera is below the highest ground, or sees none of it")
    # The patch is centred below the middle of the view.
    middle = points.mean(axis=0)
    middle /= np.linalg.norm(middle)
    forward -= (forward @ middle) * middle
    forward /= np.linalg.norm(forward)
    frame = np.stack([np.cross(forward, middle), forward, middle])
    local = points @ frame.T
    u, v = local[:, 0] / local[:, 2], local[:, 1] / local[:, 2]
    box = np.array([u.min(), u.max(), v.min(), v.max()])
    sun_local = frame @ sun
    rise = max(float(sun_local[2]), math.sin(math.radians(3.0)))
    flat = sun_local[:2] / max(float(np.hypot(*sun_local[:2])), 1e-9)
    reach = min((high - low) / math.tan(math.asin(min(rise, 1.0))), 40e3) / REFERENCE_RADIUS_M
    box[0:2] += np.clip(reach * flat[0], [-np.inf, 0.0], [0.0, np.inf])
    box[2:4] += np.clip(reach * flat[1], [-np.inf, 0.0], [0.0, np.inf])
    margin = 0.02 * max(box[1] - box[0], box[3] - box[2])
    box += margin * np.array([-1.0, 1.0, -1.0, 1.0])
    return frame, (box[0], box[1], box[2], box[3]), nearest / max(camera.fx, camera.fy)


def view_patch(
    terrain: TruthTerrain,
    camera: Camera,
    pose: Pose,
    sun_direction: Array,
    settings: RenderSettings | None = None,
) -> Patch:
    """The true surface that a view needs, shading ground included (arguments as in `render`)."""
    settings = settings or RenderSettings()
    frame, box, pixel_m = _view_box(terrain, camera, pose, np.asarray(sun_direction))
    area = (box[1] - box[0]) * (box[3] - box[2])
    step = max(
        settings.spacing_px * pixel_m / REFERENCE_RADIUS_M,
        math.sqrt(area / settings.max_samples),
    )
    return terrain.patch(frame, box, step)


def render(
    terrain: TruthTerrain,
    camera: Camera,
    pose: Pose,
    sun_direction: Array,
    *,
    seed: int = 0,
    settings: RenderSettings | None = None,
    patch: Patch | None = None,
) -> RenderedFrame:
    """The frame that a camera at a true pose takes of the true ground.

    sun_direction: unit vector to the Sun, MOON_ME, shape (3,). seed: of the sensor's noise (the
    ground has its own, `TruthTerrain.seed`). patch: a surface made before with `view_patch`, for
    several frames of the same place; else one is made for this view. The same arguments
    give the same bytes. Raises InputError for a camera inside the ground.
    """
    settings = settings or RenderSettings()
    sun = np.asarray(sun_direction, dtype=np.float64)
    sun = sun / np.linalg.norm(sun)
    if patch is None:
        patch = view_patch(terrain, camera, pose, sun, settings)
    pyramid, shapes = _pyramid(patch.height_m)
    h_min, h_max = patch.height_range_m
    rays = camera_rays(camera)
    turn = np.ascontiguousarray(patch.frame @ pose.rotation_body_to_camera().T)
    origin = patch.frame @ np.asarray(pose.position_m, dtype=np.float64)
    sun_local = patch.frame @ sun
    hapke = settings.hapke.packed()
    albedo_seed = seed_word(terrain.seed, ALBEDO)
    depth = np.empty(rays.shape[:2], np.float32)
    radiance = np.empty(rays.shape[:2], np.float32)

    def work(first: int, last: int) -> None:
        _trace(first, last, rays, turn, origin, sun_local, patch.frame, patch.height_m, pyramid,
               shapes, patch.u0, patch.v0, patch.step, h_min, h_max, hapke,
               settings.albedo_contrast, settings.albedo_texture, albedo_seed,
               depth, radiance)  # fmt: skip

    over_bands(work, rays.shape[0], settings.workers)
    image = expose(radiance, settings.sensor, np.random.default_rng(seed))
    return RenderedFrame(image, depth, radiance, patch)
