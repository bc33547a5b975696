"""What a device could do at best: its measured rates, and what an operation needs of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trn.backend.protocol import Backend
from trn.bench.timing import timed_ms

COPY_BYTES = 256 << 20
MATRIX_SIDE = 2048
RUNS = 5


@dataclass(frozen=True)
class Rates:
    """Measured on a device: bytes read and written a second by a copy, float32 operations a second
    by a product of matrices."""

    bytes_per_s: float
    flops_per_s: float

    def floor_ms(self, moved_bytes: float, flops: float | None) -> float:
        """Least time for so many bytes and operations, the longer of the two; in ms."""
        return 1e3 * max(moved_bytes / self.bytes_per_s, (flops or 0.0) / self.flops_per_s)


def rates_of(backend: Backend) -> Rates:
    """The rates of the device that a backend runs on."""
    if backend.name != "cuda":
        return measured_rates(np, lambda: None)
    cupy = importlib.import_module("cupy")
    return measured_rates(cupy, cupy.cuda.get_current_stream().synchronize)


def measured_rates(
    arrays: Any,
    wait: Callable[[], object],
    copy_bytes: int = COPY_BYTES,
    matrix_side: int = MATRIX_SIDE,
) -> Rates:
    """The best of a few runs. arrays: NumPy or CuPy. wait: for what the device has still to do."""
    source = arrays.ones(copy_bytes // 4, dtype=np.float32)
    target = arrays.empty_like(source)
    matrix = arrays.ones((matrix_side, matrix_side), dtype=np.float32)
    product = arrays.empty_like(matrix)

    def copy() -> None:
        target[...] = source
        wait()

    def multiply() -> None:
        arrays.matmul(matrix, matrix, out=product)
        wait()

    copy_s, multiply_s = (1e-3 * max(min(timed_ms(work, RUNS)), 1e-6) for work in (copy, multiply))
    return Rates(2 * source.nbytes / copy_s, 2 * matrix_side**3 / multiply_s)
