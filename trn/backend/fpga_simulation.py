"""The FPGA core itself, compiled by Verilator: backend `fpga-sim`.

The core's Verilog (kernels/fpga/verilog/) is compiled once a size and kept in a cache folder; each
batch of searches is then a process that takes pixels and gives the words of the core's stream.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trn.backend.cpu import WORKERS
from trn.backend.fixed_point import CoreResult, Levels
from trn.backend.fpga_words import pixels_of, result_of
from trn.errors import WorkError
from trn.resources import resource_path

CORES = {21: "trn_core_21.v", 32: "trn_core.v", 41: "trn_core_41.v"}
"""Verilog of the core for each side of the templates."""
TOOLS = ("verilator", "g++", "make")
GENERIC = ("generic_multiplier.v", "generic_block_ram.v")
HOST = ("simulated_core.v", "host.cpp")
OPTIONS = (
    "--cc", "--exe", "--build", "--top-module", "simulated_core", "-Wno-fatal", "-Wno-lint",
    "--x-assign", "fast", "--x-initial", "fast", "-O3", "--no-assert",
    # Verilator's own -Os comes after CFLAGS.
    "-MAKEFLAGS", "OPT_FAST=-O3",
)  # fmt: skip
BUILD_SECONDS = 600
SECONDS_A_LANDMARK = 60


@dataclass(frozen=True)
class Setting:
    """How a host treats the core: see kernels/fpga/verilog/host.cpp."""

    every_placement: bool = False
    stall_in: float = 0.0
    stall_out: float = 0.0
    seed: int = 0
    reset_after: int = 0


@dataclass(frozen=True, eq=False)
class Words:
    """Of one landmark: the words that came out, and the clock cycles of its run."""

    words: NDArray[np.uint64]
    cycles: int


def missing_tools() -> list[str]:
    """What of Verilator, g++ and make is not on the path."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def search_all(
    windows: Sequence[Levels], templates: Sequence[Levels], exclusion: int
) -> list[CoreResult]:
    """What the core says about each search, on all workers; templates are all of one size.

    Raises WorkError where there is no core of that size, or it cannot be compiled.
    """
    if not windows:
        return []
    host = compiled_core(templates[0].shape[0])
    count = len(windows)
    parts = min(WORKERS, count)
    # Landmarks with the same window next to each other make longer runs.
    order = sorted(range(count), key=lambda k: windows[k].shape)
    spans = [order[count * k // parts : count * (k + 1) // parts] for k in range(parts)]

    def work(span: list[int]) -> list[Words]:
        return run_core(host, [windows[k] for k in span], [templates[k] for k in span], exclusion)

    results: dict[int, CoreResult] = {}
    with ThreadPoolExecutor(parts) as pool:
        for span, found in zip(spans, pool.map(work, spans), strict=True):
            for k, each in zip(span, found, strict=True):
                results[k] = result_of(each.words)
    return [results[k] for k in range(count)]


def run_core(
    host: Path,
    windows: Sequence[Levels],
    templates: Sequence[Levels],
    exclusion: int,
    setting: Setting | None = None,
) -> list[Words]:
    """One process of a compiled core over landmarks, in order. Raises WorkError if it fails."""
    setting = setting or Setting()
    parts: list[bytes] = []
    for window, template in zip(windows, templates, strict=True):
        pixels = pixels_of(template, window)
        parts += [np.array([*window.shape, pixels.size], "<u4").tobytes(), pixels.tobytes()]
    words = [
        exclusion, int(setting.every_placement), round(1000 * setting.stall_in),
        round(1000 * setting.stall_out), setting.seed, setting.reset_after,
    ]  # fmt: skip
    done = subprocess.run(
        [str(host), *map(str, words)],
        input=b"".join(parts),
        capture_output=True,
        timeout=60 + SECONDS_A_LANDMARK * len(windows),
        check=False,
    )
    if done.returncode != 0:
        raise WorkError(f"backend fpga-sim: {host} ended with {done.returncode}; remove its folder")
    return _split(done.stdout, len(windows))


def _split(output: bytes, count: int) -> list[Words]:
    results, at = [], 0
    for _ in range(count):
        size, cycles = (int(value) for value in np.frombuffer(output, "<u4", 2, at))
        results.append(Words(np.frombuffer(output, "<u8", size, at + 8), cycles))
        at += 8 + 8 * size
    return results


def compiled_core(size_px: int) -> Path:
    """The program of the core for templates of a size, compiled unless it was before."""
    if size_px not in CORES:
        sizes = ", ".join(map(str, CORES))
        raise WorkError(f"backend fpga-sim: no core for templates of {size_px} pixels; has {sizes}")
    sources = [resource_path("kernels", f"fpga/verilog/{name}") for name in GENERIC]
    return compile_verilog([resource_path("kernels", f"fpga/verilog/{CORES[size_px]}"), *sources])


def compile_verilog(sources: Sequence[Path]) -> Path:
    """The program of a core and its host, from a cache that knows sources by their contents.

    Raises WorkError where a tool is missing or the compiler fails.
    """
    missing = missing_tools()
    if missing:
        raise WorkError(
            f"backend fpga-sim: {', '.join(missing)} not found; apt install verilator g++ make"
        )
    host = [resource_path("kernels", f"fpga/verilog/{name}") for name in HOST]
    digest = hashlib.sha256(" ".join(OPTIONS).encode())
    for path in (*sources, *host):
        digest.update(path.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trn" / "fpga-sim"
    program = cache / digest.hexdigest()[:20] / "host"
    if program.exists():
        return program
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        command = [
            "verilator", *OPTIONS, "-o", "host", "-Mdir", scratch, "-j", str(WORKERS),
            *map(str, sources), *map(str, host),
        ]  # fmt: skip
        try:
            built = subprocess.run(
                command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as late:
            raise WorkError(f"backend fpga-sim: no core after {BUILD_SECONDS} s") from late
        if built.returncode != 0:
            last = (built.stderr.strip() or built.stdout.strip() or "no message").splitlines()[-1]
            raise WorkError(f"backend fpga-sim: the core does not compile: {last}")
        program.parent.mkdir(exist_ok=True)
        os.replace(Path(scratch) / "host", program)
    return program
