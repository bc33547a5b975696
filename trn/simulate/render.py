"""Pictures of the true ground: rays cast onto it, sunlight with its shadows, a real sensor.

This is the truth side. It shares no code with the estimator's prediction, so that an error in
either shows up as an error, and does not cancel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from trn.camera import Camera
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.pose import Pose
from trn.simulate.bands import over_bands
from trn.simulate.beams import BLOCK, INNER, beam_pyramids, clear_distances, first_hit
from trn.simulate.camera_model import SensorSettings, photographed
from trn.simulate.motion import Motion, image_motion
from trn.simulate.noise import seed_word
from trn.simulate.photometry import Hapke, albedo_factor, radiance_factor
from trn.simulate.plume import through_dust
from trn.simulate.raycast import MOST_PATCHES, cast, normal
from trn.simulate.shadows import SUN_RADIUS_RAD, Shadows, cast_shadows, visible_fraction
from trn.simulate.surface import Surface, surface_in_view
from trn.simulate.terrain import ALBEDO, Relief, TruthTerrain

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

_VIEW_SAMPLES = 48
# Rays to the Sun start so high: more than the millimetre to which a ray's end is found.
_LIFT_M = 0.003


@dataclass(frozen=True)
class RenderSettings:
    """How a frame is made.

    spacing_px: ground distance of the surface's samples, in pixels, at the place where they are
    seen. max_samples: bound on the samples of each of the surface's patches (memory).
    albedo_contrast: highland over mare, which is where ground is smooth. albedo_texture: relative
    (1 sigma), at 0.5 to 8 km; 3 % is what separates Apollo 15 mapping-camera frames from a
    rendering of uniform albedo on smooth ground at those scales (5 % over all ground, errors of
    the map included).
    plume_dust: optical depth of the dust that the engine raises, at touchdown (0: none); it
    begins 50 m up. exact_shadows: a ray a pixel to the Sun instead of a sweep of the surface, which
    is within a sample of it and many times as fast. workers: threads; None for one a core.
    """

    hapke: Hapke = field(default_factory=Hapke)
    sensor: SensorSettings = field(default_factory=SensorSettings)
    albedo_contrast: float = 2.0
    albedo_texture: float = 0.03
    spacing_px: float = 0.7
    max_samples: int = 2_500_000
    plume_dust: float = 0.0
    exact_shadows: bool = False
    workers: int | None = None


@dataclass(frozen=True)
class RenderedFrame:
    """One frame and what is true of each of its pixels.

    image: (H, W) uint8 (uint16 over 8 bits). depth_m: (H, W) float32, metres from the camera
    along the pixel's ray to the ground in the middle of the exposure, NaN where it sees the sky.
    radiance: (H, W) float32, I/F before the sensor. exposure_s: how long. surface: what was seen.
    """

    image: NDArray[np.uint8] | NDArray[np.uint16]
    depth_m: Array32
    radiance: Array32
    exposure_s: float
    surface: Surface


@dataclass(frozen=True, eq=False)
class Scene:
    """What is to be seen, and from where, in the surface's axes.

    to_ground: rotation from camera axes, (3, 3). origin_m: the camera's place. sun: unit vector
    towards it.
    """

    terrain: TruthTerrain
    surface: Surface
    camera: Camera
    to_ground: Array
    origin_m: Array
    sun: Array
    settings: RenderSettings


class Tracer(Protocol):
    """What draws scenes, and fills their surfaces."""

    @property
    def relief(self) -> Relief:
        """What fills the surfaces of views."""
        ...

    def __call__(self, scene: Scene) -> tuple[Array32, Array32]:
        """Depth and radiance of a scene, as RenderedFrame has them."""
        ...


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


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sun_ray(sun: Any, up: Any, offset_rad: float, out: Any) -> None:
    """Direction of the point of the Sun's disc at an angle straight above its centre."""
    rise = sun[0] * up[0] + sun[1] * up[1] + sun[2] * up[2]
    level = math.sqrt(max(1.0 - rise * rise, 1e-12))
    sine, cosine = math.sin(offset_rad), math.cos(offset_rad)
    for k in range(3):
        out[k] = cosine * sun[k] + sine * (up[k] - rise * sun[k]) / level


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sun_visible(
    p: Any,
    up: Any,
    sun: Any,
    heights: Any,
    pyramids: Any,
    shapes: Any,
    table: Any,
    spans: Any,
    found: Any,
    ray: Any,
) -> float:
    """Fraction of the Sun's disc that a surface point sees, the horizon taken as level."""
    _sun_ray(sun, up, -SUN_RADIUS_RAD, ray)
    if cast(p, ray, heights, pyramids, shapes, table, spans, found) < 0.0:
        return 1.0
    _sun_ray(sun, up, SUN_RADIUS_RAD, ray)
    if cast(p, ray, heights, pyramids, shapes, table, spans, found) >= 0.0:
        return 0.0
    hidden, seen = -1.0, 1.0
    for _ in range(4):
        middle = 0.5 * (hidden + seen)
        _sun_ray(sun, up, middle * SUN_RADIUS_RAD, ray)
        if cast(p, ray, heights, pyramids, shapes, table, spans, found) < 0.0:
            seen = middle
        else:
            hidden = middle
    x = 0.5 * (hidden + seen)
    return (math.acos(x) - x * math.sqrt(1.0 - x * x)) / math.pi


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _between(values: Any, row: float, column: float) -> float:
    """Bilinear value of a grid at a fractional place, the edge's beyond it."""
    r = min(max(int(row), 0), values.shape[0] - 2)
    c = min(max(int(column), 0), values.shape[1] - 2)
    fr, fc = row - r, column - c
    near = values[r, c] + fc * (values[r, c + 1] - values[r, c])
    far = values[r + 1, c] + fc * (values[r + 1, c + 1] - values[r + 1, c])
    return float(near + fr * (far - near))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _albedo_grid(
    out: Any,
    first: int,
    last: int,
    frame: Any,
    u0: float,
    v0: float,
    step: float,
    highland: Any,
    contrast: float,
    texture: float,
    seed: np.uint64,
) -> None:
    """Rows of the albedo factor on a patch's grid; albedo belongs to the place, not its height.

    highland: share of highland at nodes that span the patch evenly, corner to corner.
    """
    gradients = np.empty((5, 8, 3))
    cells = np.full((5, 3), np.int64(-(2**62)))
    row_scale = (highland.shape[0] - 1) / max(out.shape[0] - 1, 1)
    column_scale = (highland.shape[1] - 1) / max(out.shape[1] - 1, 1)
    for row in range(first, last):
        v = v0 + row * step
        for column in range(out.shape[1]):
            u = u0 + column * step
            onto = REFERENCE_RADIUS_M / math.sqrt(1.0 + u * u + v * v)
            share = _between(highland, row * row_scale, column * column_scale)
            out[row, column] = albedo_factor(
                onto * (frame[2, 0] + u * frame[0, 0] + v * frame[1, 0]),
                onto * (frame[2, 1] + u * frame[0, 1] + v * frame[1, 1]),
                onto * (frame[2, 2] + u * frame[0, 2] + v * frame[1, 2]),
                share, contrast, texture, seed, gradients, cells,
            )  # fmt: skip


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _trace(
    first: int,
    last: int,
    rays: Any,
    turn: Any,
    origin: Any,
    clear: Any,
    sun: Any,
    heights: Any,
    pyramids: Any,
    shapes: Any,
    table: Any,
    albedo: Any,
    hapke: Any,
    clearance: Any,
    swept: bool,
    transposed: bool,
    backwards: bool,
    depth: Any,
    radiance: Any,
) -> None:
    """Depth and radiance of image rows first <= row < last; all vectors in patch axes."""
    d, p, up = np.empty(3), np.empty(3), np.empty(3)
    n, ray, lifted = np.empty(3), np.empty(3), np.empty(3)
    spans, found = np.empty((MOST_PATCHES, 2)), np.zeros(1, np.int64)
    for row in range(first, last):
        for column in range(rays.shape[1]):
            x, y, z = rays[row, column, 0], rays[row, column, 1], rays[row, column, 2]
            for k in range(3):
                d[k] = turn[k, 0] * x + turn[k, 1] * y + turn[k, 2] * z
            t = first_hit(
                origin, d, clear[row // INNER, column // INNER],
                heights, pyramids, shapes, table, spans, found,
            )  # fmt: skip
            radiance[row, column] = 0.0
            if t < 0.0:
                depth[row, column] = np.nan
                continue
            depth[row, column] = t
            patch = found[0]
            u0, v0, step = table[patch, 0], table[patch, 2], table[patch, 4]
            radius = 0.0
            for k in range(3):
                p[k] = origin[k] + t * d[k]
                radius += p[k] * p[k]
            radius = math.sqrt(radius)
            for k in range(3):
                up[k] = p[k] / radius
                lifted[k] = p[k] + _LIFT_M * up[k]
            normal(p, heights[patch], u0, v0, step, n)
            cos_i = n[0] * sun[0] + n[1] * sun[1] + n[2] * sun[2]
            if cos_i <= 0.0:
                continue
            gu, gv = (p[0] / p[2] - u0) / step, (p[1] / p[2] - v0) / step
            if not swept:
                visible = _sun_visible(
                    lifted, up, sun, heights, pyramids, shapes, table, spans, found, ray
                )
            elif transposed:
                visible = visible_fraction(clearance[patch], gu, gv, backwards)
            else:
                visible = visible_fraction(clearance[patch], gv, gu, backwards)
            if visible <= 0.0:
                continue
            cos_e = max(-(n[0] * d[0] + n[1] * d[1] + n[2] * d[2]), 0.02)
            cos_g = -(d[0] * sun[0] + d[1] * sun[1] + d[2] * sun[2])
            shade = hapke[0] * _between(
                albedo,
                (p[1] / p[2] - table[0, 2]) / table[0, 4],
                (p[0] / p[2] - table[0, 0]) / table[0, 4],
            )
            radiance[row, column] = visible * radiance_factor(cos_i, cos_e, cos_g, shade, hapke)


def trace(scene: Scene) -> tuple[Array32, Array32]:
    """Depth and radiance of a scene (see RenderedFrame), on the CPU."""
    surface, settings = scene.surface, scene.settings
    base, frame = surface.patches[0], surface.frame
    turn, origin, sun = scene.to_ground, scene.origin_m, scene.sun
    rays = camera_rays(scene.camera)
    hapke = settings.hapke.packed()
    albedo_seed = seed_word(scene.terrain.seed, ALBEDO)
    albedo = np.empty(base.shape, np.float32)
    rough = scene.terrain.roughness
    (highland,) = rough.at_nodes(base.window, rough.highland)

    def paint(first: int, last: int) -> None:
        _albedo_grid(albedo, first, last, frame, base.u0, base.v0, base.step, highland,
                     settings.albedo_contrast, settings.albedo_texture, albedo_seed)  # fmt: skip

    over_bands(paint, len(albedo), settings.workers)
    depth = np.empty(rays.shape[:2], np.float32)
    radiance = np.empty(rays.shape[:2], np.float32)
    heights, pyramids, shapes, table = surface.packed
    shadows = None if settings.exact_shadows else cast_shadows(surface, sun, settings.workers)
    swept = shadows is not None
    if shadows is None:
        shadows = Shadows((np.empty((1, 1, 3), np.float32),) * MOST_PATCHES, False, False)

    beams, beam_shapes = beam_pyramids(surface)
    clear = np.empty([-(-side // BLOCK) * (BLOCK // INNER) for side in rays.shape[:2]])

    def reach(first: int, last: int) -> None:
        clear_distances(first, last, rays, turn, origin, beams, beam_shapes, table, clear)

    over_bands(reach, len(clear), settings.workers, BLOCK // INNER)

    def work(first: int, last: int) -> None:
        _trace(first, last, rays, turn, origin, clear, sun, heights, pyramids, shapes, table,
               albedo, hapke, shadows.clearance, swept, shadows.transposed, shadows.backwards,
               depth, radiance)  # fmt: skip

    over_bands(work, rays.shape[0], settings.workers)
    return depth, radiance


@lru_cache(maxsize=2)
def _view_rays(camera: Camera) -> Array:
    """Unit vectors spread over a camera's view, camera axes, shape (N, 3)."""
    pixels = np.stack(
        np.meshgrid(
            np.linspace(0, camera.width - 1, _VIEW_SAMPLES),
            np.linspace(0, camera.height - 1, _VIEW_SAMPLES),
        ),
        axis=-1,
    )
    return camera.pixels_to_rays(pixels).reshape(-1, 3)


def view_surface(
    terrain: TruthTerrain,
    camera: Camera,
    pose: Pose,
    sun_direction: Array,
    settings: RenderSettings | None = None,
    relief: Relief | None = None,
) -> Surface:
    """The true surface that a view needs, shading ground included (arguments as in `render`).

    relief: see `TruthTerrain.patch`.
    """
    settings = settings or RenderSettings()
    directions = _view_rays(camera) @ pose.rotation_body_to_camera()
    return surface_in_view(
        terrain,
        np.asarray(pose.position_m, dtype=np.float64),
        directions,
        settings.spacing_px / max(camera.fx, camera.fy),
        sun_direction=_unit(sun_direction),
        samples=settings.max_samples,
        relief=relief,
    )


def _unit(vector: Array) -> Array:
    vector = np.asarray(vector, dtype=np.float64)
    return np.asarray(vector / np.linalg.norm(vector))


def radiance_of(
    terrain: TruthTerrain,
    camera: Camera,
    pose: Pose,
    sun_direction: Array,
    *,
    settings: RenderSettings | None = None,
    surface: Surface | None = None,
    tracer: Tracer | None = None,
) -> tuple[Surface, Array32, Array32]:
    """The surface seen, its depth and radiance (see RenderedFrame); arguments as in `render`."""
    settings = settings or RenderSettings()
    if surface is None:
        relief = None if tracer is None else tracer.relief
        surface = view_surface(terrain, camera, pose, sun_direction, settings, relief)
    position = np.asarray(pose.position_m, dtype=np.float64)
    frame = surface.frame
    scene = Scene(
        terrain,
        surface,
        camera,
        np.ascontiguousarray(frame @ pose.rotation_body_to_camera().T),
        frame @ position,
        frame @ _unit(sun_direction),
        settings,
    )
    depth, radiance = trace(scene) if tracer is None else tracer(scene)
    return surface, depth, radiance


def render(
    terrain: TruthTerrain,
    camera: Camera,
    pose: Pose,
    sun_direction: Array,
    *,
    seed: int = 0,
    settings: RenderSettings | None = None,
    surface: Surface | None = None,
    motion: Motion | None = None,
    tracer: Tracer | None = None,
) -> RenderedFrame:
    """The frame that a camera at a true pose takes of the true ground.

    sun_direction: unit vector to the Sun, MOON_ME, shape (3,). seed: of the sensor's noise (the
    ground has its own, `TruthTerrain.seed`). surface: made before with `view_surface`, for
    several frames of the same place; else one is made for this view. motion: of the camera during
    the exposure (none: still). tracer: what draws, the CPU if none is given. The same arguments
    give the same bytes. Raises InputError for a camera inside the ground, or one that sees none of
    the Moon.
    """
    settings = settings or RenderSettings()
    position = np.asarray(pose.position_m, dtype=np.float64)
    surface, depth, radiance = radiance_of(
        terrain, camera, pose, sun_direction, settings=settings, surface=surface, tracer=tracer
    )
    seen = radiance
    if settings.plume_dust > 0.0:
        altitude_m = float(np.linalg.norm(position) - REFERENCE_RADIUS_M)
        altitude_m -= float(surface.height_at(position))
        seen = through_dust(radiance, camera, pose, altitude_m, settings.plume_dust, seed)
    moves = None if motion is None else image_motion(camera, pose, depth, motion)
    image, exposure_s = photographed(seen, settings.sensor, np.random.default_rng(seed), moves)
    return RenderedFrame(image, depth, radiance, exposure_s, surface)
