"""Arrays in device memory, for libraries that take them by address instead of from the host."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.cuda_usable import usable


@dataclass(frozen=True)
class DeviceArrays:
    """One device's arrays, and what another library has to be told of them.

    module: CuPy, or NumPy for the host's memory. kind, number: the device as ONNX Runtime names it
    (`cuda`, 0). address: of an array's first byte. to_host: a copy there. wait: until the device
    has done what it was asked for.
    """

    module: Any
    kind: str
    number: int
    address: Callable[[Any], int]
    to_host: Callable[[Any], NDArray[Any]]
    wait: Callable[[], object]


def host_arrays() -> DeviceArrays:
    """The host's own memory, as a device."""
    return DeviceArrays(np, "cpu", 0, lambda array: int(array.ctypes.data), np.array, lambda: None)


def cuda_arrays() -> DeviceArrays | None:
    """The current GPU's memory; None where the CUDA backend is not usable."""
    if not usable()[0]:
        return None
    cupy = importlib.import_module("cupy")
    return DeviceArrays(
        cupy,
        "cuda",
        int(cupy.cuda.runtime.getDevice()),
        lambda array: int(array.data.ptr),
        cupy.asnumpy,
        lambda: cupy.cuda.get_current_stream().synchronize(),
    )
