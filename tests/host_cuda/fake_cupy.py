"""A stand-in for the CuPy module: device arrays are NumPy's, kernels run in the host shim.

It has what trn.backend.cuda uses of CuPy and no more. A test may make it fail: `fail_next` is
raised by the next allocation, `fail_always` by all of them, `fail_copies` by copies back, and
versions and memory can be set. With `counting`, `counted` has the float and the double operations
of each kernel.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace, TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.host_cuda.shim import build


class OutOfMemoryError(MemoryError):
    pass


class CUDARuntimeError(RuntimeError):
    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


class CUDADriverError(RuntimeError):
    pass


class CompileException(Exception):
    pass


class Device:
    """One device of the fake; a context manager as CuPy's is."""

    def __init__(self, number: int = 0, capability: str = "90") -> None:
        self.id = number
        self.attributes = {"MaxSharedMemoryPerBlockOptin": 163 * 1024}
        self.compute_capability = capability

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass  # fmt: skip


class Event:
    """A time, noted when it is recorded."""

    def record(self) -> None:
        self.at_s = time.perf_counter()

    def synchronize(self) -> None:
        pass


class FakeCupy:
    """The module."""

    __version__ = "0 (fake)"

    def __init__(self, order: int = 0, counting: bool = False) -> None:
        self.order, self.counting = order, counting
        self.counted: dict[str, list[int]] = {}
        self.fail_next: Exception | None = None
        self.fail_always: Exception | None = None
        self.fail_copies: Exception | None = None
        self.count_error: Exception | None = None
        self.devices = 1
        self.free_bytes = 8 << 30
        self.runtime_version, self.driver_version = 13020, 13020
        self.compile_error: Exception | None = None
        self.pool_error: Exception | None = None
        self.capability = "90"
        self.spoil = 0.0
        self.uploads = self.uploaded_bytes = self.downloaded_bytes = self.launches = 0
        self.launches_s = self.memory_s = 0.0
        self.fft = np.fft
        self.cuda = SimpleNamespace(
            Device=lambda number=0: Device(number, self.capability),
            Event=Event,
            get_elapsed_time=lambda before, after: 1e3 * (after.at_s - before.at_s),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            driver=SimpleNamespace(CUDADriverError=CUDADriverError),
            compiler=SimpleNamespace(CompileException=CompileException),
            runtime=SimpleNamespace(
                CUDARuntimeError=CUDARuntimeError,
                getDevice=lambda: 0,
                getDeviceCount=self._device_count,
                getDeviceProperties=lambda device: {"name": b"Fake GPU"},
                memGetInfo=lambda: (self.free_bytes, 16 << 30),
                runtimeGetVersion=lambda: self.runtime_version,
                driverGetVersion=lambda: self.driver_version,
            ),
        )

    def _device_count(self) -> int:
        if self.count_error is not None:
            raise self.count_error
        return self.devices

    def _may_fail(self) -> None:
        error, self.fail_next = self.fail_next or self.fail_always, None
        if error is not None:
            raise error

    @contextmanager
    def _memory(self) -> Iterator[None]:
        """Time that a device does not take: `memory_s` adds it up."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.memory_s += time.perf_counter() - start

    def asarray(self, array: NDArray[Any]) -> NDArray[Any]:
        self._may_fail()
        self.uploads += 1
        self.uploaded_bytes += array.nbytes
        with self._memory():
            return np.array(array, order="C")

    def empty(self, shape: Any, dtype: Any) -> NDArray[Any]:
        self._may_fail()
        with self._memory():
            blank = np.empty(shape, dtype)
            blank.view(np.uint8).fill(0xFF)
            return blank

    def lose(self, error: Exception) -> None:
        """Fail everything from now on, copies back included."""
        self.fail_always = self.fail_copies = error

    def asnumpy(self, array: NDArray[Any]) -> NDArray[Any]:
        if self.fail_copies is not None:
            raise self.fail_copies
        with self._memory():
            result = np.array(array)
            self.downloaded_bytes += result.nbytes
            if result.dtype == np.float64:
                result += self.spoil
            return result

    def concatenate(self, arrays: list[NDArray[Any]]) -> NDArray[Any]:
        self._may_fail()
        with self._memory():
            return np.concatenate(arrays)

    def negative(self, array: NDArray[Any]) -> NDArray[Any]:
        with self._memory():
            return -array

    def get_default_memory_pool(self) -> Any:
        return SimpleNamespace(free_all_blocks=self._free_all)

    def _free_all(self) -> None:
        if self.pool_error is not None:
            raise self.pool_error

    def RawModule(self, code: str, options: tuple[str, ...]) -> Any:  # noqa: N802 - CuPy's name
        if self.compile_error is not None:
            raise self.compile_error

        def get_function(name: str) -> Any:
            return _Kernel(self, code, name)

        return SimpleNamespace(get_function=get_function)


class _Kernel:
    def __init__(self, cupy: FakeCupy, code: str, name: str) -> None:
        self._cupy = cupy
        self._name = name
        self._host = build(code, name, cupy.counting)
        self.max_dynamic_shared_size_bytes = 48 * 1024

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...],
        shared_mem: int = 0,
    ) -> None:  # fmt: skip
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        start = time.perf_counter()
        said = self._host.launch(grid, block, arguments, shared_mem, self._cupy.order)
        self._cupy.launches += 1
        self._cupy.launches_s += time.perf_counter() - start
        if self._cupy.counting:
            counts = [int(number) for number in said.split("counted ")[1].split()]
            before = self._cupy.counted.get(self._name, [0, 0])
            self._cupy.counted[self._name] = [a + b for a, b in zip(before, counts)]
