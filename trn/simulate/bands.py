"""Rows shared out over a few threads; the kernels that run here release the GIL."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

# Fewer rows than this are done before threads would have started.
_LEAST_ROWS = 160


def default_workers() -> int:
    """Number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def over_bands(
    work: Callable[[int, int], None], rows: int, workers: int | None = None, together: int = 1
) -> None:
    """Call work(first_row, row_after_last) on bands that together cover rows exactly once.

    Each call must write only its own rows, so that the outcome does not depend on workers.
    Bands begin at multiples of `together`.
    The first exception of any band is raised.
    """
    workers = workers or default_workers()
    if workers == 1 or rows < _LEAST_ROWS:
        work(0, rows)
        return
    # Several bands a worker even out rows of unequal cost.
    bands = min(rows, 8 * workers)
    edges = [rows * k // bands // together * together for k in range(bands)] + [rows]
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work, a, b) for a, b in itertools.pairwise(edges)]:
            done.result()
