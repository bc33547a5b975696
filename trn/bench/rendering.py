"""The simulator's renderer as an operation to time: the ground of a view and what is seen of it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from trn.backend.cuda import CudaBackend
from trn.backend.protocol import Backend
from trn.bench.frames import bench_camera, make_terrain, true_pose
from trn.bench.operations import Operation
from trn.simulate.render import Tracer, radiance_of
from trn.simulate.render_cuda import CudaTracer
from trn.simulate.surface import Surface

PYRAMID_SHARE = 1.0 / 12.0
"""Blocks of a pyramid, of 4 x 4 cells and more, a sample."""


def render_operation(backend: Backend, folder: Path, side_px: int) -> Operation:
    """A frame of the benchmark's place, side_px x side_px, up to the light that reaches the lens.

    The ground is made anew for each frame, as in a descent. On the CPU its shadows are swept, on a
    GPU they are a ray a pixel.
    """
    terrain = make_terrain(folder)
    pose, sun = true_pose(np.random.default_rng(0))
    camera = bench_camera(side_px)
    tracer: Tracer | None = CudaTracer(backend.device) if isinstance(backend, CudaBackend) else None
    surface, _, _ = radiance_of(terrain, camera, pose, sun, tracer=tracer)
    return Operation(
        lambda: radiance_of(terrain, camera, pose, sun, tracer=tracer),
        "frames",
        1.0,
        render_bytes(surface, side_px**2),
        slow=True,
    )


def render_bytes(surface: Surface, pixels: int) -> float:
    """Bytes that a frame's kernels write and read, each once.

    Heights filled, read and put behind one another as each patch is added, with their pyramids;
    albedo written and read; range, patch and visibility of each pixel written and read, depth and
    radiance written.
    """
    sizes = [math.prod(patch.shape) for patch in surface.patches]
    joined = sum(sum(sizes[: count + 1]) for count in range(1, len(sizes)))
    heights = 4.0 * (3.0 + PYRAMID_SHARE) * sum(sizes) + 8.0 * (1.0 + PYRAMID_SHARE) * joined
    return heights + 8.0 * sizes[0] + (2 * 13 + 8) * pixels
