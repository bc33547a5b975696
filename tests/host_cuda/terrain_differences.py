"""How far terrain cut on the device, executed on the CPU, is from the terrain that the host cuts.

Run as `python -m tests.host_cuda.terrain_differences [--fused]`; fused builds the kernels with
fused multiply-adds, as a GPU has them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from tests.host_cuda.differences import backends
from tests.test_cuda_terrain import PLACES, at, cut_at, made_maps


def main() -> None:
    """Print the largest difference of heights, and how many differ at all."""
    cuda, _ = backends(__doc__)
    apart_m, unlike, nodes = 0.0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        maps = made_maps(Path(folder))
        for name, latitude_deg, longitude_deg in PLACES.values():
            for spacing in (0.5, 1.0, 2.9):
                cut = cut_at(maps[name], at(latitude_deg, longitude_deg), 100.0, spacing)
                heights = cuda.cut_surface(cut).arrays(cuda.device.cupy)[0]
                apart = np.abs(heights - cut.on_host().heights_m)
                apart_m = max(apart_m, float(apart.max()))
                unlike += int((apart > 0.0).sum())
                nodes += apart.size
    print(f"height of a node {apart_m:.1e} m; {unlike} of {nodes} differ")


if __name__ == "__main__":
    main()
