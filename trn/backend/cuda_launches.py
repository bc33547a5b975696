"""Times of kernel launches on the device itself, by CUDA events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class LaunchTimes:
    """Notes an event before and after each launch; what a launch takes is read afterwards.

    On an idle stream the time between two events has the few microseconds of the launch itself in
    it.
    """

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._noted: list[tuple[str, Any, Any]] = []

    @contextmanager
    def around(self, name: str) -> Iterator[None]:
        """Time the launch of a kernel that the block makes."""
        before, after = self._cupy.cuda.Event(), self._cupy.cuda.Event()
        before.record()
        yield
        after.record()
        self._noted.append((name, before, after))

    def take(self) -> dict[str, float]:
        """Milliseconds of each kernel since the last call, its launches added up."""
        spent: dict[str, float] = {}
        for name, before, after in self._noted:
            after.synchronize()
            elapsed = float(self._cupy.cuda.get_elapsed_time(before, after))
            spent[name] = spent.get(name, 0.0) + elapsed
        self._noted.clear()
        return spent
