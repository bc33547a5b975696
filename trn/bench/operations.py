"""A backend's operations one by one, on inputs of a frame's size: the hot spots in isolation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.backend.cpu_crater import kernel_for, scales_of
from trn.backend.protocol import Backend, PixelGrid, Searches, Surface
from trn.camera import Camera
from trn.maps.tile import max_pyramid
from trn.moon.constants import REFERENCE_RADIUS_M

NODES = 513
STEP = 60.0 / REFERENCE_RADIUS_M
TEMPLATES, TEMPLATE_PX, REACH_PX = 200, 41, 20
CRATER_RADII_PX = 4.0 * 2.0 ** (np.arange(15) / 3.0)
LANDMARK_PX, LANDMARK_STRIDE_PX = 21, 12
"""Templates of the fine stage, and how far apart they stand."""
CONTRAST_FLOPS = 4.0 * (9 + 2 * 81)
"""A pixel: Gaussian averages of 9 and, twice, 81 weights along each axis."""
ALIGN_FLOPS = 2.0 * 4.0 * 97 + 2.0 * 2.0 * 31**2
"""A pixel: averages of 97 weights along each axis and a filter of 31 x 31, of image and view."""
LENS = (-0.3, 0.09, 0.001, -0.002, -0.01)
ORIGIN_M = np.array([0.0, 0.0, REFERENCE_RADIUS_M + 2e4])
DOWN = np.diag([1.0, -1.0, -1.0])
SUN = np.array([0.9, 0.0, np.sqrt(1.0 - 0.81)])


@dataclass(frozen=True)
class Operation:
    """One call to time.

    work: how many of `unit` it does. moved_bytes: everything it is given read once and its results
    written once. flops: float operations of the plain algorithm; None where the data decide. slow:
    it is timed a tenth as often.
    """

    call: Callable[[], Any]
    unit: str
    work: float
    moved_bytes: float
    flops: float | None = None
    slow: bool = False

    def runs(self, wanted: int) -> int:
        """How often to time it, of a number wanted."""
        return max(wanted // 10, 1) if self.slow else wanted


def operations(backend: Backend, side_px: int) -> dict[str, Operation]:
    """The operations of a backend on a frame of side_px x side_px pixels, by name.

    Frame and terrain are handed to the backend before, as in a descent; rays, searches and results
    go to and fro within the time; those of `ray_cast_view` are made in it. Views and images that a
    backend would keep to itself are fetched, so that the time holds all of the work.
    """
    texture, searches = correlate_inputs(side_px)
    image = backend.load_image(texture)
    surface = _surface()
    loaded = backend.load_surface(surface)
    lit, unlit = backend.shadow(loaded, SUN), backend.load_surface(surface)
    rays = _rays(side_px // 2)
    hits = backend.ray_cast(loaded, ORIGIN_M, rays)
    view_px = side_px // 2
    # Onto the terrain with all of its pixels, as the rays are.
    looking_down = Camera(
        view_px, view_px, view_px / 1.2, view_px / 1.2, 0.5 * (view_px - 1), 0.5 * (view_px - 1)
    )
    plain = Camera(side_px, side_px, side_px, side_px, side_px / 2, side_px / 2)
    bent = Camera(side_px, side_px, side_px, side_px, side_px / 2, side_px / 2, LENS)
    placements = TEMPLATES * (2 * REACH_PX + 1) ** 2
    count, nodes, pixels = len(rays), NODES**2, side_px**2
    responses = sum(
        rows * columns for _, rows, columns in scales_of(texture.shape, CRATER_RADII_PX)
    )
    view = 1.0 + 0.1 * _texture(view_px)
    seen, predicted = (backend.load_image(each) for each in (view, np.roll(view, 1, axis=1)))
    small_px = 3 * side_px // 7
    cells = (view_px - 2 * LANDMARK_PX) // LANDMARK_STRIDE_PX
    landmarks = PixelGrid(LANDMARK_PX, LANDMARK_PX, LANDMARK_STRIDE_PX, cells, cells)
    # A weight and its opposite take a difference, a product and a sum.
    weights = np.count_nonzero(kernel_for(0.5)) / 2
    return {
        "ray_cast": Operation(
            lambda: backend.ray_cast(loaded, ORIGIN_M, rays),
            "rays", count, 49.0 * count + 5.0 * nodes,
        ),
        "ray_cast_view": Operation(
            lambda: backend.ray_cast_view(loaded, ORIGIN_M, looking_down, DOWN),
            "rays", count, 25.0 * count + 5.0 * nodes,
        ),
        "shadow": Operation(
            lambda: np.asarray(backend.shadow(unlit, SUN)), "nodes", nodes, 8.0 * nodes
        ),
        "shade": Operation(
            lambda: backend.shade(loaded, lit, hits, ORIGIN_M, SUN),
            "hits", count, 25.0 * count + 8.0 * nodes,
        ),
        "predict_view": Operation(
            lambda: backend.pixels(
                backend.predict_view(loaded, lit, ORIGIN_M, looking_down, DOWN, SUN).sure
            ),
            "pixels", view.size, 4.0 * view.size + 9.0 * nodes,
        ),
        "statistics": Operation(
            lambda: backend.statistics(image, -2.0, 2.0), "pixels", pixels, 4.0 * pixels
        ),
        "shrink": Operation(
            lambda: backend.pixels(backend.shrink(image, small_px, small_px)),
            "pixels", pixels, 4.0 * pixels + 4.0 * small_px**2,
        ),
        "contrast": Operation(
            lambda: backend.pixels(backend.contrast(seen)), "pixels", view.size, 8.0 * view.size,
            CONTRAST_FLOPS * view.size,
        ),
        "information": Operation(
            lambda: backend.information(seen, LANDMARK_PX, landmarks),
            "templates", cells**2, 4.0 * view.size + 4.0 * cells**2,
        ),
        "resemblance": Operation(
            lambda: backend.resemblance(seen, predicted), "pixels", view.size, 8.0 * view.size
        ),
        "align": Operation(
            lambda: backend.align(seen, predicted), "pixels", view.size, 8.0 * view.size,
            ALIGN_FLOPS * view.size,
        ),
        "correlate": Operation(
            lambda: backend.correlate(image, image, searches),
            "placements", placements, 4.0 * pixels + 4.0 * placements,
            2.0 * TEMPLATE_PX**2 * placements,
        ),
        "crater_response": Operation(
            lambda: backend.crater_response(image, CRATER_RADII_PX, 0.5, 0.4),
            "pixels", pixels, 4.0 * pixels + 8.0 * responses, 3.0 * weights * responses,
        ),
        "warp": Operation(
            lambda: backend.warp(image, bent, plain), "pixels", pixels, 8.0 * pixels
        ),
    }  # fmt: skip


def correlate_inputs(side_px: int) -> tuple[NDArray[np.float32], Searches]:
    """The frame that `correlate` searches for parts of itself, and the searches."""
    return _texture(side_px), _searches(side_px)


def _texture(side_px: int) -> NDArray[np.float32]:
    """Smooth noise of unit spread, float32 (side_px, side_px)."""
    noise = np.random.default_rng(0).normal(size=(side_px, side_px)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.asarray(smooth / smooth.std(), dtype=np.float32)


def _surface() -> Surface:
    """Rough terrain of NODES x NODES nodes, 60 m apart, a kilometre up and down."""
    noise = np.random.default_rng(1).normal(size=(NODES, NODES)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 12.0)
    heights = np.asarray(300.0 * smooth / smooth.std(), dtype=np.float32)
    corner = -0.5 * (NODES - 1) * STEP
    return Surface(
        corner,
        corner,
        STEP,
        REFERENCE_RADIUS_M,
        heights,
        np.zeros(heights.shape, dtype=bool),
        max_pyramid(heights),
    )


def _rays(side: int) -> NDArray[np.float64]:
    """Unit rays downwards, float64 (side^2, 3), all onto the terrain."""
    across = np.linspace(-0.6, 0.6, side)
    x, y = (grid.ravel() for grid in np.meshgrid(across, across))
    rays = np.stack([x, y, -np.ones_like(x)], axis=-1)
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))


def _searches(side_px: int) -> Searches:
    """Searches of 41 x 41 templates at 41 x 41 placements each, anywhere in a frame."""
    random = np.random.default_rng(2)
    most = side_px - TEMPLATE_PX - REACH_PX
    x, y = (random.integers(REACH_PX, most, TEMPLATES).astype(np.int32) for _ in range(2))
    placements = np.full(TEMPLATES, 2 * REACH_PX + 1, dtype=np.int32)
    return Searches(TEMPLATE_PX, x, y, x - REACH_PX, y - REACH_PX, placements, placements)
