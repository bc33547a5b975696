"""Map surfaces in device memory: put there when needed, kept while there is room."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from trn.backend import cpu_raycast
from trn.backend.protocol import Surface

SurfaceArrays = tuple[Any, Any, Any, Any]
"""On the device: heights, holes, maxima and shapes of the pyramid (as cpu_raycast.pack_pyramid)."""


class CudaLit:
    """Lit fraction of every node of a surface, made on the device.

    An array of the host, float32 (rows, columns), read-only, where NumPy asks for one; nothing else
    brings it there. cast: makes it on the device. to_host: brings this one to the host.
    """

    def __init__(
        self, cast: Callable[[], Any], to_host: Callable[[CudaLit], NDArray[np.float32]]
    ) -> None:
        self.cast = cast
        self._to_host = to_host
        self._on_host: NDArray[np.float32] | None = None

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if self._on_host is None:
            self._on_host = self._to_host(self)
            self._on_host.setflags(write=False)
        return np.array(self._on_host, dtype=dtype, copy=copy)


class CudaSurface:
    """A surface on the device while it is resident there, and on the host where one asks for it.

    grid: float64 (4,), x0, y0, step and radius. to_device: puts it on the device, given CuPy.
    arrays: what that gave, where it has been called. on_host: gives it to the host. on_cpu: the CPU
    backend's handle of it, once that had to step in. resident_bytes: device memory that it takes.
    """

    def __init__(
        self,
        grid: NDArray[np.float64],
        to_device: Callable[[Any], SurfaceArrays],
        on_host: Callable[[], Surface],
        arrays: SurfaceArrays | None = None,
    ) -> None:
        self.grid = grid
        self.on_host = on_host
        self.on_cpu: Any = None
        self._to_device = to_device
        self._arrays = arrays
        self._lit: tuple[weakref.ref[Any], Any] | None = None
        self.resident_bytes = 0
        self._count_bytes()

    def _count_bytes(self) -> None:
        held = [*(self._arrays or ()), *((self._lit[1],) if self._lit else ())]
        self.resident_bytes = sum(int(array.nbytes) for array in held)

    def release(self) -> None:
        """Give its device memory back; it is put there anew when it is next used."""
        self._arrays = self._lit = None
        self.resident_bytes = 0

    def arrays(self, cupy: Any) -> SurfaceArrays:
        """Heights, holes, maxima and shapes of the pyramid, on the device."""
        if self._arrays is None:
            self._arrays = self._to_device(cupy)
            self._count_bytes()
        return self._arrays

    def lit(self, cupy: Any, lit: CudaLit | NDArray[np.float32]) -> Any:
        """A lit fraction of every node on the device; put there unless it is the one kept.

        An array that its owner may write to is not kept: nothing would tell of a change.
        """
        if self._lit is not None and self._lit[0]() is lit:
            return self._lit[1]
        if isinstance(lit, CudaLit):
            on_device = lit.cast()
        else:
            on_device = cupy.asarray(np.ascontiguousarray(lit, dtype=np.float32))
        if isinstance(lit, CudaLit) or not lit.flags.writeable:
            # Weakly: a lit fraction knows its surface, and a circle would keep device memory.
            self._lit = (weakref.ref(lit), on_device)
            self._count_bytes()
        return on_device


def loaded_surface(surface: Surface) -> CudaSurface:
    """A surface of the host's, uploaded when needed."""

    def uploaded(cupy: Any) -> SurfaceArrays:
        maxima, shapes = cpu_raycast.pack_pyramid(surface.maxima)
        heights = np.ascontiguousarray(surface.heights_m, dtype=np.float32)
        hole = np.ascontiguousarray(surface.hole).view(np.uint8)
        return (
            cupy.asarray(heights),
            cupy.asarray(hole),
            cupy.asarray(maxima),
            cupy.asarray(shapes),
        )

    return CudaSurface(cpu_raycast.grid_of(surface), uploaded, lambda: surface)


class Resident(Protocol):
    """What stands in device memory and can be put there anew."""

    @property
    def resident_bytes(self) -> int:
        """Device memory that it takes."""
        ...

    def release(self) -> None:
        """Give its device memory back."""
        ...


class Residents:
    """Bounds the device memory of all terrain: what has been unused for longest gives way."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._used: list[weakref.ref[Resident]] = []
        self._last_bytes = 0

    def touch(self, resident: Resident) -> None:
        """Note that something has been used, and release others while all are beyond the limit."""
        bytes_now = resident.resident_bytes
        if self._used and self._used[-1]() is resident and bytes_now == self._last_bytes:
            return
        self._last_bytes = bytes_now
        others = [s for ref in self._used if (s := ref()) is not None and s is not resident]
        total = bytes_now + sum(s.resident_bytes for s in others)
        for other in others:
            if total <= self.limit_bytes:
                break
            total -= other.resident_bytes
            other.release()
        self._used = [weakref.ref(s) for s in (*others, resident) if s.resident_bytes > 0]

    def release_all(self) -> None:
        """Give the device memory of all of them back."""
        for ref in self._used:
            resident = ref()
            if resident is not None:
                resident.release()
        self._used = []
