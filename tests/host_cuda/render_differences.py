"""How far the simulator's kernels, executed on the CPU, are from the CPU's renderer.

Run as `python -m tests.host_cuda.render_differences [--fused]`; fused builds the kernels with fused
multiply-adds, as a GPU has them.
"""

from __future__ import annotations

import numpy as np

from tests.cuda_scenes import above, rough_surface
from tests.host_cuda.differences import backends
from tests.test_cuda_kernels import LENSES
from tests.test_cuda_render import TERRAIN, VIEWS, both
from trn.camera import Camera


def main() -> None:
    """Print the largest differences of views' rays, of ground, depth and radiance."""
    (cuda, cpu), surface = backends(__doc__), rough_surface(8)
    apart_m, other_states, rays = 0.0, 0, 0
    for lens in LENSES.values():
        camera = Camera(160, 120, 90.0, 91.0, 80.2, 60.1, lens)
        given = above(15_000.0), camera, np.diag([1.0, -1.0, -1.0])
        ours = cuda.ray_cast_view(cuda.load_surface(surface), *given)
        theirs = cpu.ray_cast_view(cpu.load_surface(surface), *given)
        apart_m = max(apart_m, float(np.nanmax(np.abs(ours.range_m - theirs.range_m))))
        other_states += int((ours.state != theirs.state).sum())
        rays += len(theirs.state)
    print(f"rays of a view: range {apart_m:.1e} m, {other_states} of {rays} in another state")
    height_m = depth_m = radiance = 0.0
    unlike = pixels = 0
    for view in VIEWS:
        frame, expected = both(view)
        for patch, other in zip(frame.surface.patches, expected.surface.patches):
            height_m = max(height_m, float(np.abs(patch.height_m - other.height_m).max()))
        apart = np.abs(frame.depth_m - expected.depth_m)
        depth_m = max(depth_m, float(np.nanmax(apart - np.spacing(expected.depth_m))))
        difference = np.abs(frame.radiance - expected.radiance)
        alike = difference < 1e-5
        radiance = max(radiance, float(difference[alike].max()))
        unlike += int((~alike).sum())
        pixels += alike.size
    print(f"ground of {TERRAIN.grid.spacing_m:.0f} m, refined: height {height_m:.1e} m")
    print(f"rendering: depth {max(depth_m, 0.0):.1e} m beyond its rounding, radiance factor")
    print(f"{radiance:.1e}, but for {unlike} of {pixels} pixels")


if __name__ == "__main__":
    main()
