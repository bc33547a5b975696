"""A host for the FPGA core in the style of PYNQ. UNTESTED: no core has run on hardware yet.

Only its register traffic is tested, against a stand-in (tests/test_backend_fpga_driver.py). The
core sits behind an AXI DMA: 8 bits wide towards the core, 64 bits wide from it. On a board:

    overlay = pynq.Overlay("trn.bit")
    driver = CoreDriver.of_overlay(overlay, pynq.allocate)
    backend = FpgaBackend("fpga", driver.search_all)
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from trn.backend.fixed_point import CoreResult, Levels
from trn.backend.fpga_words import RESULT_WORDS, pixels_of, result_of
from trn.errors import InputError, WorkError
from trn.resources import resource_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

START, DONE, IDLE = 1, 2, 4
SECONDS_TO_FINISH = 1.0
MOST_LANDMARKS = 65535


class RegisterPort(Protocol):
    """The core's AXI4-Lite port, as pynq.DefaultIP has it."""

    def read(self, offset: int) -> int:
        """The register at a byte offset."""
        ...

    def write(self, offset: int, value: int) -> None:
        """Set the register at a byte offset."""
        ...


class Channel(Protocol):
    """One direction of the DMA, as pynq.lib.dma has it."""

    def transfer(self, buffer: Any) -> None:
        """Begin to send or to receive a whole buffer."""
        ...

    def wait(self) -> None:
        """Until the transfer is over."""
        ...


@lru_cache(maxsize=1)
def register_offsets() -> dict[str, int]:
    """Byte offset of each register, from kernels/fpga/registers.toml."""
    table = tomllib.loads(resource_path("kernels", "fpga/registers.toml").read_text("utf-8"))
    return {name: int(each["offset"]) for name, each in table.items()}


class CoreDriver:
    """Runs searches on a core. allocate(shape=..., dtype=...): a buffer that the DMA can reach.

    Raises WorkError where nothing answers as the core would.
    """

    def __init__(
        self,
        port: RegisterPort,
        send: Channel,
        receive: Channel,
        allocate: Callable[..., Any] = np.empty,
    ) -> None:
        self._port = port
        self._send = send
        self._receive = receive
        self._allocate = allocate
        shape, limits = self._read("shape"), self._read("limits")
        self.template_px = shape & 0xFFFF
        self.most_window_px = limits & 0xFFFF
        if not 8 <= self.template_px < self.most_window_px:
            raise WorkError(
                f"FPGA core: its registers read {shape:#x} and {limits:#x}; load its bitstream"
            )

    @classmethod
    def of_overlay(
        cls,
        overlay: Any,
        allocate: Callable[..., Any],
        core: str = "trn_core_0",
        dma: str = "axi_dma_0",
    ) -> CoreDriver:
        """The driver of a loaded pynq.Overlay; core and dma are names in its block design."""
        channels = getattr(overlay, dma)
        return cls(getattr(overlay, core), channels.sendchannel, channels.recvchannel, allocate)

    def search_all(
        self, windows: Sequence[Levels], templates: Sequence[Levels], exclusion: int
    ) -> list[CoreResult]:
        """What the core says about each search, in order.

        Raises InputError for sizes that this core does not take, WorkError if it does not finish.
        """
        for window, template in zip(windows, templates, strict=True):
            if template.shape != (self.template_px, self.template_px):
                raise InputError(
                    f"FPGA core: template of {template.shape}; it takes {self.template_px} squared"
                )
            if (
                not self.template_px + 2
                <= min(window.shape)
                <= max(window.shape)
                <= (self.most_window_px)
            ):
                raise InputError(
                    f"FPGA core: window of {window.shape}; it takes sides of "
                    f"{self.template_px + 2} to {self.most_window_px}"
                )
        results: list[CoreResult] = []
        for run in _runs_of_one_size(windows):
            results += self._run(windows[run], templates[run], exclusion)
        return results

    def _run(
        self, windows: Sequence[Levels], templates: Sequence[Levels], exclusion: int
    ) -> list[CoreResult]:
        rows, columns = windows[0].shape
        for name, value in (
            ("window_columns", columns),
            ("window_rows", rows),
            ("exclusion", exclusion),
            ("mode", 0),
            ("landmarks", len(windows)),
            ("control", START),
        ):
            self._port.write(register_offsets()[name], value)
        results = []
        out = self._allocate(shape=(RESULT_WORDS,), dtype=np.uint64)
        for window, template in zip(windows, templates, strict=True):
            pixels = pixels_of(template, window)
            buffer = self._allocate(shape=pixels.shape, dtype=np.uint8)
            buffer[:] = pixels
            self._receive.transfer(out)
            self._send.transfer(buffer)
            self._send.wait()
            self._receive.wait()
            results.append(result_of(np.array(out)))
        self._await_done()
        return results

    def _await_done(self) -> None:
        end = time.monotonic() + SECONDS_TO_FINISH
        while not self._read("control") & DONE:
            if time.monotonic() > end:
                raise WorkError(f"FPGA core: not done, status {self._read('status'):#x}; reset it")
        status = self._read("status")
        if status:
            raise WorkError(f"FPGA core: status {status:#x} after a run; reset it")

    def _read(self, name: str) -> int:
        return int(self._port.read(register_offsets()[name]))


def _runs_of_one_size(windows: Sequence[Levels]) -> Iterator[slice]:
    """Landmarks that follow each other with windows of one size."""
    begin = 0
    for k in range(1, len(windows) + 1):
        ends = k == len(windows) or windows[k].shape != windows[begin].shape
        if ends or k - begin == MOST_LANDMARKS:
            yield slice(begin, k)
            begin = k
