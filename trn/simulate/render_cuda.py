"""Pictures of the true ground on a GPU: the same rays, sunlight and reflectance as on the CPU.

Shadows are a ray a pixel to the Sun, as with `RenderSettings.exact_shadows`: where every pixel has
a thread, sweeping the surface row by row would take longer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_kernels import numbers, view_arguments
from trn.simulate.noise import seed_word
from trn.simulate.relief_cuda import CudaRelief
from trn.simulate.render import Scene, trace
from trn.simulate.terrain import ALBEDO

Array32 = NDArray[np.float32]


class CudaTracer:
    """Traces scenes on a GPU, and on the CPU what the GPU fails: a `render.Tracer`."""

    def __init__(self, device: CudaDevice) -> None:
        self.device = device
        self.relief = CudaRelief(device)

    def __call__(self, scene: Scene) -> tuple[Array32, Array32]:
        """Depth and radiance of a scene."""
        return self.device.guarded(lambda: self._trace(scene), lambda: self._on_cpu(scene))

    def _on_cpu(self, scene: Scene) -> tuple[Array32, Array32]:
        self.relief.forget()
        return trace(replace(scene, settings=replace(scene.settings, exact_shadows=True)))

    def _trace(self, scene: Scene) -> tuple[Array32, Array32]:
        device, camera = self.device, scene.camera
        width, height = camera.width, camera.height
        ground = self.relief.grounds.of(scene.surface.patches)
        factors = self._albedo(scene)
        view = (*numbers(scene.origin_m), *view_arguments(camera, scene.to_ground))
        sun, hapke = numbers(scene.sun), numbers(scene.settings.hapke.packed())
        ranges = device.empty(height * width, np.float64)
        patch = device.empty(height * width, np.uint8)
        visible = device.empty(height * width, np.float32)
        # Depth and radiance in one array: one copy back.
        results = device.empty((2, height, width), np.float32)
        shape = height, width
        device.launch_over(
            "render_trace", shape,
            (*view, *ground.arguments(), ranges, patch),
        )  # fmt: skip
        device.launch_over(
            "render_shadow", shape,
            (*view, *ground.arguments(), *sun, ranges, patch, visible),
        )  # fmt: skip
        device.launch_over(
            "render_light", shape,
            (*view, ground.heights, ground.patches, *sun, *hapke, factors,
             ranges, patch, visible, results[0], results[1]),
        )  # fmt: skip
        depth, radiance = device.to_host(results)
        return depth, radiance

    def _albedo(self, scene: Scene) -> Any:
        """The albedo's factor on the first patch's grid, on the device."""
        base, settings = scene.surface.patches[0], scene.settings
        rows, columns = base.shape
        highland = self.relief.nodes(scene.terrain.roughness, base.window)[2]
        factors = self.device.empty((rows, columns), np.float32)
        self.device.launch_over(
            "albedo",
            (rows, columns),
            (
                *numbers(scene.surface.frame),
                *numbers((base.u0, base.v0, base.step)),
                highland,
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
