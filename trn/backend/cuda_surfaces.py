"""Map surfaces in device memory: uploaded when needed, kept while there is room."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend import cpu_raycast
from trn.backend.protocol import Surface


class CudaSurface:
    """A surface on the host, and on the device while it is resident there.

    on_cpu: the CPU backend's handle of it, once that had to step in.
    """

    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        self.on_cpu: Any = None
        self._arrays: tuple[Any, ...] | None = None
        self._lit: tuple[NDArray[np.float32], Any] | None = None

    @property
    def resident_bytes(self) -> int:
        """Device memory that it takes."""
        held = [*(self._arrays or ()), *((self._lit[1],) if self._lit else ())]
        return sum(int(array.nbytes) for array in held)

    def release(self) -> None:
        """Give its device memory back; it is uploaded anew when it is next used."""
        self._arrays = self._lit = None

    def arrays(self, cupy: Any) -> tuple[Any, Any, Any, Any]:
        """Heights, holes, maxima and shapes of the pyramid, on the device."""
        if self._arrays is None:
            maxima, shapes = cpu_raycast.pack_pyramid(self.surface.maxima)
            heights = np.ascontiguousarray(self.surface.heights_m, dtype=np.float32)
            hole = np.ascontiguousarray(self.surface.hole).view(np.uint8)
            self._arrays = tuple(cupy.asarray(a) for a in (heights, hole, maxima, shapes))
        heights_d, hole_d, maxima_d, shapes_d = self._arrays
        return heights_d, hole_d, maxima_d, shapes_d

    def keep_lit(self, lit: NDArray[np.float32], on_device: Any) -> None:
        """Remember which array on the device holds the lit fraction handed out as `lit`."""
        self._lit = (lit, on_device)

    def lit(self, cupy: Any, lit: NDArray[np.float32]) -> Any:
        """A lit fraction of every node on the device; uploaded unless it is the one kept.

        One that its owner may write to is not kept: nothing would tell of a change.
        """
        if self._lit is not None and self._lit[0] is lit:
            return self._lit[1]
        on_device = cupy.asarray(np.ascontiguousarray(lit, dtype=np.float32))
        if not lit.flags.writeable:
            self._lit = (lit, on_device)
        return on_device


class Residents:
    """Bounds the device memory of all surfaces: the one unused for longest gives way."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._used: list[weakref.ref[CudaSurface]] = []

    def touch(self, surface: CudaSurface) -> None:
        """Note that a surface has been used, and release others while all are beyond the limit."""
        others = [s for ref in self._used if (s := ref()) is not None and s is not surface]
        total = surface.resident_bytes + sum(s.resident_bytes for s in others)
        for other in others:
            if total <= self.limit_bytes:
                break
            total -= other.resident_bytes
            other.release()
        self._used = [weakref.ref(s) for s in (*others, surface) if s.resident_bytes > 0]

    def release_all(self) -> None:
        """Give the device memory of all surfaces back."""
        for ref in self._used:
            surface = ref()
            if surface is not None:
                surface.release()
        self._used = []
