"""How fast the FPGA core is simulated: backend `fpga-sim`, one process, CPU time.

python -m bench.fpga_simulation [--size 41]... [--window 60] [--landmarks 40]
"""

from __future__ import annotations

import argparse
import resource

import numpy as np

from bench.tables import show
from trn.backend.cpu_correlate import exclusion_px
from trn.backend.fpga_simulation import CORES, compiled_core, run_core


def timed(size_px: int, window_px: int, count: int) -> dict[str, object]:
    """Clock cycles and CPU time of one run of landmarks, all windows of one size."""
    host = compiled_core(size_px)
    rng = np.random.default_rng(size_px)
    windows = [rng.integers(0, 256, (window_px, window_px), dtype=np.uint8) for _ in range(count)]
    templates = [window[3 : 3 + size_px, 4 : 4 + size_px].copy() for window in windows]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    cycles = run_core(host, windows, templates, exclusion_px(size_px))[0].cycles
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "template, px": size_px,
        "window, px": window_px,
        "cycles a landmark": cycles // count,
        "us a cycle": 1e6 * spent_s / cycles,
        "ms a landmark": 1e3 * spent_s / count,
    }


def main() -> None:
    """Print one row a core."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, action="append", choices=list(CORES))
    parser.add_argument("--window", type=int, default=60)
    parser.add_argument("--landmarks", type=int, default=40)
    given = parser.parse_args()
    sizes = given.size or list(CORES)
    rows = [timed(size, given.window, given.landmarks) for size in sizes]
    show("fpga-sim, one process", rows)


if __name__ == "__main__":
    main()
