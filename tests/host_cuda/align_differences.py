"""How far images, contrast and alignment of the device, executed here, are from the CPU's.

Run as `python -m tests.host_cuda.align_differences [--fused]`; fused builds the kernels with fused
multiply-adds, as a GPU has them.
"""

from __future__ import annotations

import numpy as np

from tests.host_cuda.differences import backends
from tests.test_cuda_align import align, contrast, moved_px, view
from trn.backend.protocol import PixelGrid


def main() -> None:
    """Print the largest differences of what images give, of contrast and of the alignment."""
    cuda, cpu = backends(__doc__)
    contrasts, sums, moved, small, told, alike = (0.0,) * 6
    for seed in range(4):
        for rows, columns, holes in ((160, 190, False), (131, 110, True), (224, 224, True)):
            image, predicted = view(rows, columns, holes, seed)
            for values in (image, predicted):
                apart = np.abs(contrast(cuda, values) - cpu.contrast(values))
                contrasts = max(contrasts, float(np.nanmax(apart)))
            size, grid = (columns * 2 // 5, rows * 3 // 7), PixelGrid(10, 10, 5, 20, 17)
            here, there = cuda.load_image(image), cuda.load_image(predicted)
            shrunk = cpu.shrink(image, *size)
            apart = np.abs(cuda.pixels(cuda.shrink(here, *size)) - shrunk) / np.abs(shrunk).max()
            small = max(small, float(apart.max()))
            information = cpu.information(predicted, 21, grid)
            apart = np.abs(cuda.information(there, 21, grid) - information) / information.max()
            told = max(told, float(apart.max()))
            resemblance = cpu.resemblance(image, predicted)
            alike = max(alike, abs(cuda.resemblance(here, there) - resemblance))
            ours, theirs = align(cuda, image, predicted), cpu.align(image, predicted)
            assert ours is not None and theirs is not None
            for mine, other in (
                (ours.information, theirs.information),
                (ours.pull, theirs.pull),
            ):
                sums = max(sums, float(np.abs(mine - other).max() / np.abs(other).max()))
            moved = max(moved, float(np.abs(moved_px(ours) - moved_px(theirs)).max()))
    print(f"shrunk {small:.1e}, information {told:.1e} of the largest; resemblance {alike:.1e}")
    print(f"contrast {contrasts:.1e}; blocks' sums {sums:.1e} of the largest; moved {moved:.1e} px")


if __name__ == "__main__":
    main()
