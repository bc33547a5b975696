"""CUDA kernels compiled on first use, one module a file and device."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.cuda_source import COMPILE_OPTIONS, KERNELS, kernel_source
from trn.camera import Camera

THREADS = 128
"""Threads of a block over a list."""

SQUARE = (32, 4)
"""Threads of a block over a grid of nodes or pixels."""

FREE_SHARED_BYTES = 48 * 1024
"""Dynamic shared memory that a kernel gets without asking."""


@lru_cache(maxsize=64)
def load_kernel(cupy: Any, name: str, device: int) -> Any:
    """The function of one kernel on one device, compiled on first use.

    cupy: the CuPy module; it keeps machine code in its disk cache, so that only the first run on a
    machine compiles. Raises CuPy's CompileException.
    """
    with cupy.cuda.Device(device):
        return load_module(cupy, KERNELS[name], device).get_function(name)


@lru_cache(maxsize=64)
def load_module(cupy: Any, file: str, device: int) -> Any:
    """One file of kernels for one device; call it with that device current."""
    return cupy.RawModule(code=kernel_source(file), options=COMPILE_OPTIONS)


@lru_cache(maxsize=4096)
def int32(number: int) -> np.int32:
    """A whole number as kernels take it, kept: to make one takes as long as to launch a kernel."""
    return np.int32(number)


def blocks(count: int, threads: int) -> int:
    """Blocks of so many threads that take `count` threads."""
    return -(-count // threads)


def numbers(values: Any) -> tuple[np.float64, ...]:
    """Numbers of any shape as kernels take them."""
    return tuple(np.asarray(values, dtype=np.float64).ravel())


def view_arguments(camera: Camera, turn: NDArray[np.float64]) -> tuple[Any, ...]:
    """A rotation (3, 3), and a camera as camera.cuh has it, as kernels take them."""
    size = np.int32(camera.width), np.int32(camera.height)
    return (*numbers(turn), *size, *numbers(camera.numbers()))
