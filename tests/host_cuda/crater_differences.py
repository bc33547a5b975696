"""How far the CUDA crater response, executed on the CPU, is from the CPU backend's.

Run as `python -m tests.host_cuda.crater_differences [--fused]`; fused builds the kernels with fused
multiply-adds, as a GPU has them.
"""

from __future__ import annotations

import numpy as np

from tests.host_cuda.differences import backends
from tests.test_correlate import texture
from tests.test_cuda_craters import RADII, SHAPES, image_of
from trn.backend import cpu_crater, cuda_craters


def main() -> None:
    """Print the largest difference of a response, and how many peaks are only found by one."""
    cuda, cpu = backends(__doc__)
    worst, peaks, alone = 0.0, 0, 0
    for shape in (*SHAPES, (256, 256)):
        images = [image_of(shape, seed) for seed in range(3)]
        images.append(np.ascontiguousarray(texture(3, 256)[: shape[0], : shape[1]]))
        for image in images:
            for sun_px in (None, 0.7):
                response, _, _ = cuda_craters.responses(
                    cuda.device,
                    cuda.load_image(image),
                    cuda_craters.CraterScales(shape, RADII),
                    cpu_crater.kernel_for(sun_px),
                )
                expected = cpu_crater.responses(
                    image, RADII, sun_px, lambda count, work, _: work(0, count)
                )
                flat = np.concatenate([scale.ravel() for scale in expected])
                worst = max(worst, float(np.abs(response - flat).max()))
                ours = cuda.crater_response(cuda.load_image(image), RADII, sun_px, 0.1)
                theirs = cpu.crater_response(image, RADII, sun_px, 0.1)
                places = [set(zip(p.x, p.y, p.radius_px)) for p in (ours, theirs)]
                peaks += len(theirs)
                alone += len(places[0] ^ places[1])
    print(f"response {worst:.1e}, {alone} of {peaks} peaks found by one alone")


if __name__ == "__main__":
    main()
