"""Pictures of the true ground on a GPU: the same rays, sunlight and reflectance as on the CPU.

Shadows are a ray a pixel to the Sun, as with `RenderSettings.exact_shadows`: where every pixel has
a thread, sweeping the surface row by row would take longer.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_kernels import numbers, view_arguments
from trn.simulate.noise import seed_word
from trn.simulate.relief_cuda import CudaRelief
from trn.simulate.render import Scene, trace
from trn.simulate.surface import Surface
from trn.simulate.terrain import ALBEDO

Array32 = NDArray[np.float32]

PATCH = np.dtype(
    [("outline", "f8", 4), ("step", "f8"), ("heights", "f8", 2)]
    + [(name, "i8") for name in ("first_height", "rows", "columns", "first_level", "levels")]
)
"""A patch as render.cu has it."""


@dataclass(frozen=True, eq=False)
class _Ground:
    """A surface on the device: heights and pyramids of all patches, and where each is."""

    heights: Any
    maxima: Any
    levels: Any
    patches: Any
    count: int


class CudaTracer:
    """Traces scenes on a GPU, and on the CPU what the GPU fails: a `render.Tracer`."""

    def __init__(self, device: CudaDevice) -> None:
        self.device = device
        self.relief = CudaRelief(device)
        self._last: tuple[weakref.ref[Surface], _Ground] | None = None

    def __call__(self, scene: Scene) -> tuple[Array32, Array32]:
        """Depth and radiance of a scene."""
        return self.device.guarded(lambda: self._trace(scene), lambda: self._on_cpu(scene))

    def _on_cpu(self, scene: Scene) -> tuple[Array32, Array32]:
        self._last = None
        return trace(replace(scene, settings=replace(scene.settings, exact_shadows=True)))

    def _trace(self, scene: Scene) -> tuple[Array32, Array32]:
        device, camera = self.device, scene.camera
        width, height = camera.width, camera.height
        ground = self._ground(scene.surface)
        factors = self._albedo(scene)
        view = (*numbers(scene.origin_m), *view_arguments(camera, scene.to_ground))
        terrain = (ground.heights, ground.maxima, ground.levels)
        sun, hapke = numbers(scene.sun), numbers(scene.settings.hapke.packed())
        ranges = device.empty(height * width, np.float64)
        patch = device.empty(height * width, np.uint8)
        visible = device.empty(height * width, np.float32)
        # Depth and radiance in one array: one copy back.
        results = device.empty((2, height, width), np.float32)
        shape = height, width
        count = np.int32(ground.count)
        device.launch_over(
            "render_trace", shape,
            (*view, *terrain, ground.patches, count, ranges, patch),
        )  # fmt: skip
        device.launch_over(
            "render_shadow", shape,
            (*view, *terrain, ground.patches, count, *sun, ranges, patch, visible),
        )  # fmt: skip
        device.launch_over(
            "render_light", shape,
            (*view, ground.heights, ground.patches, *sun, *hapke, factors,
             ranges, patch, visible, results[0], results[1]),
        )  # fmt: skip
        depth, radiance = device.to_host(results)
        return depth, radiance

    def _ground(self, surface: Surface) -> _Ground:
        """A surface on the device; the last one is kept, for several frames of one place."""
        if self._last is not None and self._last[0]() is surface:
            return self._last[1]
        self._last = None
        used = len(surface.patches)
        heights, pyramids, shapes, table = surface.packed
        patches = np.zeros(used, PATCH)
        patches["outline"], patches["step"] = table[:, :4], table[:, 4]
        patches["heights"] = table[:, 5:7]
        levels = []
        first_height = first_block = first_level = 0
        for k in range(used):
            rows, columns = heights[k].shape
            patches[k]["first_height"], patches[k]["first_level"] = first_height, first_level
            patches[k]["rows"], patches[k]["columns"] = rows, columns
            patches[k]["levels"] = len(shapes[k])
            levels.append(shapes[k] + [first_block, 0, 0])
            first_height += heights[k].size
            first_block += pyramids[k].size
            first_level += len(shapes[k])
        device = self.device
        ground = _Ground(
            device.upload(np.concatenate([height.ravel() for height in heights[:used]])),
            device.upload(np.concatenate(pyramids[:used])),
            device.upload(np.concatenate(levels)),
            device.upload(patches.view(np.uint8)),
            used,
        )
        self._last = weakref.ref(surface), ground
        return ground

    def _albedo(self, scene: Scene) -> Any:
        """The albedo's factor on the first patch's grid, on the device."""
        base, settings = scene.surface.patches[0], scene.settings
        rows, columns = base.height_m.shape
        highland = scene.terrain.highland_share(base)
        factors = self.device.empty((rows, columns), np.float32)
        self.device.launch_over(
            "albedo",
            (rows, columns),
            (
                *numbers(scene.surface.frame),
                *numbers((base.u0, base.v0, base.step)),
                self.device.upload(highland),
                np.int32(highland.shape[0]),
                np.int32(highland.shape[1]),
                *numbers((settings.albedo_contrast, settings.albedo_texture)),
                seed_word(scene.terrain.seed, ALBEDO),
                np.int32(rows),
                np.int32(columns),
                factors,
            ),
        )
        return factors
