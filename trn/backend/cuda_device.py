"""One GPU through CuPy: memory, launches, and the CPU in its place where it fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from trn.backend.cuda_kernels import FREE_SHARED_BYTES, SQUARE, THREADS, blocks, load_kernel
from trn.backend.cuda_launches import LaunchTimes

logger = logging.getLogger(__name__)

OUT_OF_MEMORY = 2
"""cudaErrorMemoryAllocation and CUDA_ERROR_OUT_OF_MEMORY, which a launch can raise as well."""

Result = TypeVar("Result")


class CudaDevice:
    """The current GPU.

    cupy: the CuPy module. strict: raise what the device raises, to find out whether it works.
    make_room: called where memory has run out. most_shared: bytes of shared memory that a block can
    have. total_bytes: of memory. fallbacks: calls done on the CPU because the device ran out of
    memory or was lost; after a loss, which a process cannot mend, that is all of them.
    """

    def __init__(
        self, cupy: Any, *, strict: bool = False, make_room: Callable[[], object] = lambda: None
    ) -> None:
        self.cupy = cupy
        self._strict = strict
        self._make_room = make_room
        self._number = int(cupy.cuda.runtime.getDevice())
        attributes = cupy.cuda.Device(self._number).attributes
        self.most_shared = int(attributes["MaxSharedMemoryPerBlockOptin"])
        self.total_bytes = int(cupy.cuda.runtime.memGetInfo()[1])
        self._failures: tuple[type[Exception], ...] = (
            cupy.cuda.memory.OutOfMemoryError,
            cupy.cuda.runtime.CUDARuntimeError,
            cupy.cuda.driver.CUDADriverError,
            # Derives from Exception itself.
            cupy.cuda.compiler.CompileException,
        )
        self._kernels: dict[str, Any] = {}
        self._constants: dict[int, tuple[NDArray[Any], Any]] = {}
        self._lost = False
        self._times: LaunchTimes | None = None
        self.fallbacks = 0

    def upload(self, array: NDArray[Any]) -> Any:
        """A copy of an array on the device."""
        return self.cupy.asarray(np.ascontiguousarray(array))

    def constant(self, array: NDArray[Any]) -> Any:
        """A copy on the device of an array that never changes, uploaded once."""
        kept = self._constants.get(id(array))
        if kept is None:
            # The array is kept as well, so that no other one gets its number.
            kept = self._constants[id(array)] = array, self.upload(array)
        return kept[1]

    def joined(self, arrays: list[Any]) -> Any:
        """Arrays of the device, (N,) each, one after the other in one; one alone is not copied."""
        return arrays[0] if len(arrays) == 1 else self.cupy.concatenate(arrays)

    def empty(self, shape: int | tuple[int, ...], dtype: Any) -> Any:
        """An array on the device whose values are not set."""
        return self.cupy.empty(shape, dtype=dtype)

    def to_host(self, array: Any) -> NDArray[Any]:
        """A copy of a device's array."""
        copied: NDArray[Any] = self.cupy.asnumpy(array)
        return copied

    def launch(
        self,
        name: str,
        grid: tuple[int, ...],
        threads: tuple[int, ...],
        arguments: tuple[Any, ...],
        dynamic_bytes: int = 0,
    ) -> None:
        """Launch a kernel, compiled on first use."""
        kernel = self._kernels.get(name)
        if kernel is None:
            kernel = self._kernels[name] = load_kernel(self.cupy, name, self._number)
        if dynamic_bytes > FREE_SHARED_BYTES:
            kernel.max_dynamic_shared_size_bytes = dynamic_bytes
        if self._times is None:
            kernel(grid, threads, arguments, shared_mem=dynamic_bytes)
            return
        with self._times.around(name):
            kernel(grid, threads, arguments, shared_mem=dynamic_bytes)

    def launch_each(self, name: str, count: int, arguments: tuple[Any, ...]) -> None:
        """Launch a kernel with one thread each for `count` entries."""
        self.launch(name, (blocks(count, THREADS),), (THREADS,), arguments)

    def launch_over(
        self, name: str, shape: tuple[int, ...], arguments: tuple[Any, ...], images: int = 1
    ) -> None:
        """Launch a kernel with one thread each for the cells of a grid, (rows, columns).

        images: grids of that shape, along z.
        """
        across, down = blocks(shape[1], SQUARE[0]), blocks(shape[0], SQUARE[1])
        self.launch(name, (across, down, images), SQUARE, arguments)

    @contextmanager
    def timed_launches(self) -> Iterator[LaunchTimes]:
        """Time the kernels by themselves, without copies to and fro, while the block runs."""
        self._times = LaunchTimes(self.cupy)
        try:
            yield self._times
        finally:
            self._times = None

    def guarded(self, on_device: Callable[[], Result], on_cpu: Callable[[], Result]) -> Result:
        """The result from the device or, where the device fails the call, from the CPU."""
        if not self._lost:
            try:
                with self.cupy.cuda.Device(self._number):
                    return on_device()
            except self._failures as error:
                if self._strict:
                    raise
                self._note(error)
        self.fallbacks += 1
        return on_cpu()

    def _note(self, error: Exception) -> None:
        """Log a failure of the device, and make room or give the device up."""
        if isinstance(error, MemoryError) or getattr(error, "status", None) == OUT_OF_MEMORY:
            logger.warning("the GPU is out of memory, this call runs on the CPU: %s", error)
            try:
                # What other frames left there may be what was missing.
                self._make_room()
                self.cupy.get_default_memory_pool().free_all_blocks()
                return
            except self._failures as failure:
                # Freeing waits for the device, and hears of what it did wrong before.
                error = failure
        self._lost = True
        logger.warning("the GPU is lost, the CPU carries on: %s", error)
