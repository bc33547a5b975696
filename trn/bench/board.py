"""A Jetson around the timed fixes: its state, and the energy that a frame takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trn.bench import jetson
from trn.bench.jetson import Rail

IDLE_S = 5.0
SAMPLE_S = 0.02

Show = Callable[[str, float, float], object]


@dataclass
class Power:
    """Watts at a rail, sampled while something ran, and for how many seconds that was."""

    samples_w: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def mean_w(self) -> float | None:
        """Mean of the samples; None where there is none."""
        return float(np.mean(self.samples_w)) if self.samples_w else None


@contextmanager
def sampled(rail: Rail, interval_s: float = SAMPLE_S) -> Iterator[Power]:
    """Sample a rail in a thread while the block runs; the samples are there at its end."""
    power, done = Power(), threading.Event()

    def sample() -> None:
        while True:
            watts = rail.power_w()
            if watts is not None:
                power.samples_w.append(watts)
            if done.wait(interval_s):
                return

    thread = threading.Thread(target=sample, daemon=True)
    start = time.perf_counter()
    thread.start()
    try:
        yield power
    finally:
        done.set()
        thread.join()
        power.seconds = time.perf_counter() - start


def energy_per_frame(rail: Rail, idle: Power, busy: Power, frames: int) -> dict[str, Any]:
    """Joules that a frame took above idle, with what they come from; None where nothing answered.

    Of the whole machine: what the CPU does for a frame counts as well.
    """
    joules = None
    if idle.mean_w is not None and busy.mean_w is not None:
        joules = (busy.mean_w - idle.mean_w) * busy.seconds / frames
    return {
        "rail": rail.label,
        "whole_input": rail.whole,
        "idle_w": idle.mean_w,
        "busy_w": busy.mean_w,
        "joules_per_frame": joules,
    }


class Board:
    """What a Jetson says of itself around the timed fixes; nothing on another machine."""

    def __init__(self, show: Show, root: Path = jetson.ROOT, idle_s: float = IDLE_S) -> None:
        self._root = root if jetson.is_jetson(root) else None
        self._rail = jetson.input_rail(root) if self._root else None
        self._idle = Power()
        self._energy: dict[str, Any] = {}
        self._states: dict[str, Any] = {}
        if self._root is None:
            return
        if self._rail is not None:
            show("idle power", 0, 1)
            with sampled(self._rail) as self._idle:
                time.sleep(idle_s)
        self._states["idle"] = jetson.describe(self._root)

    @contextmanager
    def measured(self, backend: str, frames: int) -> Iterator[None]:
        """Measure the energy of the frames that the block locates."""
        if self._root is None:
            yield
            return
        with sampled(self._rail) if self._rail else nullcontext(Power()) as busy:
            yield
        # At once: clocks fall soon after the work ends.
        self._states[f"after fixes on {backend}"] = jetson.describe(self._root)
        if self._rail is not None:
            self._energy[backend] = energy_per_frame(self._rail, self._idle, busy, frames)

    def found(self) -> dict[str, Any] | None:
        """State by when it was read, and energy a frame; None where there is no Jetson."""
        return None if self._root is None else {"states": self._states, "energy": self._energy}
