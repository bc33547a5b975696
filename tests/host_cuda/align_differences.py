"""How far contrast and alignment on the device, executed on the CPU, are from the CPU backend's.

Run as `python -m tests.host_cuda.align_differences [--fused]`; fused builds the kernels with fused
multiply-adds, as a GPU has them.
"""

from __future__ import annotations

import numpy as np

from tests.host_cuda.differences import backends
from tests.test_cuda_align import align, contrast, moved_px, view


def main() -> None:
    """Print the largest differences of contrast, of blocks' sums, and of the displacement."""
    cuda, cpu = backends(__doc__)
    contrasts, sums, moved = 0.0, 0.0, 0.0
    for seed in range(4):
        for rows, columns, holes in ((160, 190, False), (131, 110, True), (224, 224, True)):
            image, predicted = view(rows, columns, holes, seed)
            for values in (image, predicted):
                apart = np.abs(contrast(cuda, values) - cpu.contrast(values))
                contrasts = max(contrasts, float(np.nanmax(apart)))
            ours, theirs = align(cuda, image, predicted), cpu.align(image, predicted)
            assert ours is not None and theirs is not None
            for mine, other in (
                (ours.information, theirs.information),
                (ours.pull, theirs.pull),
            ):
                sums = max(sums, float(np.abs(mine - other).max() / np.abs(other).max()))
            moved = max(moved, float(np.abs(moved_px(ours) - moved_px(theirs)).max()))
    print(f"contrast {contrasts:.1e}; blocks' sums {sums:.1e} of the largest; moved {moved:.1e} px")


if __name__ == "__main__":
    main()
