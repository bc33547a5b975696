"""Kernels by themselves: what an operation takes on the device, without the way there and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from trn.backend.cuda import CudaBackend
from trn.bench.operations import Operation
from trn.bench.roofline import Rates


def kernel_times(
    backend: CudaBackend, every: dict[str, Operation], rates: Rates, runs: int
) -> dict[str, Any]:
    """Median over runs of each operation's kernels, by CUDA events around their launches.

    share: of the roofline, as for the call; each launch's own few microseconds count. An operation
    that launches nothing, as its work is done on the CPU, is left out.
    """
    found = {}
    for name, operation in every.items():
        operation.call()
        spent = []
        with backend.device.timed_launches() as times:
            for _ in range(operation.runs(runs)):
                operation.call()
                spent.append(times.take())
        # A call that the device failed was done on the CPU.
        spent = [run for run in spent if run]
        if not spent:
            continue
        median_ms = float(np.median([sum(run.values()) for run in spent]))
        floor_ms = rates.floor_ms(operation.moved_bytes, operation.flops)
        found[name] = {
            "median_ms": median_ms,
            "share": floor_ms / max(median_ms, 1e-6),
            "kernels_ms": {
                kernel: float(np.median([run[kernel] for run in spent])) for kernel in spent[0]
            },
        }
    return found
