"""What the kernels could do at best on GPUs that nothing here has run on: an estimate, no more.

Run as `python -m tests.host_cuda.estimate`. The arithmetic of every kernel is counted by executing
it on the CPU (counting.h), the bytes are those that its inputs and results have; both are divided
by the rates that the makers publish. A kernel takes the longest of its times for bytes, floats and
doubles, and in truth longer: a division counts as one operation, and neither a cache that misses,
nor threads that wait for each other, nor a launch is in it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from tests.host_cuda.fake_cupy import FakeCupy
from tests.host_cuda.shim import HostKernel
from trn.backend.cpu import CpuBackend
from trn.backend.cuda import CudaBackend
from trn.bench.frames import (
    ALTITUDE_M,
    Frame,
    bench_camera,
    make_frames,
    make_terrain,
    true_pose,
)
from trn.bench.operations import operations
from trn.bench.rendering import render_bytes
from trn.localizer import Localizer
from trn.simulate.render import radiance_of, view_surface
from trn.simulate.render_cuda import CudaTracer
from trn.simulate.surface import Surface

SIDE_PX = 1024
REPEATS = 20
COUNTED_SIDE_PX = 256
"""Side of the frames that operations are counted on; the count a pixel hardly depends on it."""


@dataclass(frozen=True)
class Published:
    """A GPU's rates as its maker gives them: a second, and of a float32 multiply-add two."""

    name: str
    bytes_per_s: float
    flops_per_s: float
    double_flops_per_s: float

    def floor_ms(self, moved_bytes: float, flops: float, doubles: float) -> float:
        """The longest of the three times, in ms."""
        return 1e3 * max(
            moved_bytes / self.bytes_per_s,
            flops / self.flops_per_s,
            doubles / self.double_flops_per_s,
        )


GPUS = {
    "H100": Published("H100 SXM", 3.35e12, 66.9e12, 33.5e12),
    "Orin": Published("Jetson AGX Orin 64 GB", 204.8e9, 5.3e12, 5.3e12 / 64),
}


@dataclass(frozen=True)
class Need:
    """What an operation on one frame takes."""

    moved_bytes: float
    flops: float
    doubles: float


def operation_needs() -> dict[str, Need]:
    """Every operation of `trn bench` on a frame of SIDE_PX, its kernels added up."""
    cupy = FakeCupy(counting=True)
    counted = operations(CudaBackend(cupy, strict=True), COUNTED_SIDE_PX)
    whole = operations(CpuBackend(), SIDE_PX)
    needs = {}
    for name, operation in counted.items():
        cupy.counted.clear()
        operation.call()
        share = whole[name].work / operation.work
        flops, doubles = (share * sum(counts) for counts in zip(*cupy.counted.values()))
        needs[name] = Need(whole[name].moved_bytes, flops, doubles)
    return needs


@contextmanager
def beside_kernels(cupy: FakeCupy) -> Iterator[list[float]]:
    """Milliseconds that the block takes without launches and the device's memory; at its end."""
    spent: list[float] = []
    start, before_s = time.perf_counter(), cupy.launches_s + cupy.memory_s
    yield spent
    there_s = cupy.launches_s + cupy.memory_s - before_s
    spent.append(1e3 * (time.perf_counter() - start - there_s))


def stages_beside_kernels(cupy: FakeCupy) -> Any:
    """While patched in, the stages of a fix are timed as by beside_kernels."""

    def clock() -> float:
        return time.perf_counter() - cupy.launches_s - cupy.memory_s

    return mock.patch("trn.channels.frame.clock", clock)


class Rerun:
    """Launches recorded while they run, and repeated without running: their results are put back.

    Beside a process for every launch a host works with cold caches; so it can be timed without.
    """

    def __init__(self) -> None:
        self._recorded: list[tuple[str, list[NDArray[Any]]]] = []
        self._launch = HostKernel.launch

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record the block's launches."""

        def launch(kernel: HostKernel, *given: Any) -> str:
            said = self._launch(kernel, *given)
            self._recorded.append((said, [result.copy() for result in _results(kernel, given)]))
            return said

        with mock.patch.object(HostKernel, "launch", launch):
            yield

    @contextmanager
    def repeated(self) -> Iterator[None]:
        """Launches of the block are those recorded, in their order."""
        left = iter(self._recorded)

        def launch(kernel: HostKernel, *given: Any) -> str:
            said, kept = next(left)
            for result, value in zip(_results(kernel, given), kept, strict=True):
                result[...] = value
            return said

        with mock.patch.object(HostKernel, "launch", launch):
            yield
        assert next(left, None) is None


def _results(kernel: HostKernel, given: tuple[Any, ...]) -> list[NDArray[Any]]:
    """What a launch (grid, block, arguments, ...) may write to."""
    return [array for array, is_result in zip(given[2], kernel.results) if is_result == "1"]


def render_need(folder: Path) -> tuple[Need, float]:
    """A frame of SIDE_PX of the simulator: rays on every eighth pixel, all else in full.

    Also the milliseconds that the host takes for its ground and light, beside the kernels: the
    median of REPEATS frames.
    """
    cupy = FakeCupy(counting=True)
    tracer = CudaTracer(CudaBackend(cupy, strict=True).device)
    terrain, (pose, sun) = make_terrain(folder), true_pose(np.random.default_rng(0))
    whole, few = bench_camera(SIDE_PX), bench_camera(SIDE_PX // 8)

    def drawn() -> tuple[Surface, float]:
        with beside_kernels(cupy) as host_ms:
            surface = view_surface(terrain, whole, pose, sun, relief=tracer.relief)
            radiance_of(terrain, few, pose, sun, surface=surface, tracer=tracer)
        return surface, host_ms[0]

    drawn()  # compiles
    cupy.counted.clear()
    run = Rerun()
    with run.recorded():
        surface, _ = drawn()
    flops = doubles = 0.0
    for kernel, counts in cupy.counted.items():
        share = 64.0 if kernel.startswith("render_") else 1.0
        flops, doubles = flops + share * counts[0], doubles + share * counts[1]
    repeats = []
    for _ in range(REPEATS):
        with run.repeated():
            repeats.append(drawn()[1])
    return Need(render_bytes(surface, SIDE_PX**2), flops, doubles), float(np.median(repeats))


def locate_need(folder: Path) -> tuple[Need, FakeCupy, dict[str, float]]:
    """The arithmetic of one fix of a frame of SIDE_PX, and a stand-in that has counted the rest.

    Its bytes are those that go to the device and come back. Also the milliseconds that the host
    takes beside the kernels, by stage: medians of REPEATS fixes.
    """
    moon_map, camera, frames = make_frames(folder, SIDE_PX, 2)
    cupy = FakeCupy(counting=True)
    backend = CudaBackend(cupy, strict=True)
    with mock.patch("trn.localizer.select_backend", return_value=backend):
        localizer = Localizer(moon_map, camera)

    def located(frame: Frame) -> dict[str, float]:
        with stages_beside_kernels(cupy), beside_kernels(cupy) as whole_ms:
            fix = localizer.locate(frame.image, frame.prior)
        assert fix.status == "fix"
        stages = {stage: ms for stage, ms in fix.latency_ms.items() if stage != "total"}
        return stages | {"between them": whole_ms[0] - sum(stages.values())}

    for frame in frames:  # compiles, and fills what is kept from frame to frame
        located(frame)
    runs = Rerun(), Rerun()
    for run, frame in zip(runs, frames):
        cupy.counted.clear()
        cupy.launches = cupy.uploads = cupy.uploaded_bytes = cupy.downloaded_bytes = 0
        with run.recorded():
            located(frame)
    flops, doubles = (float(sum(counts)) for counts in zip(*cupy.counted.values()))
    need = Need(float(cupy.uploaded_bytes + cupy.downloaded_bytes), flops, doubles)
    counted, launches, uploads = dict(cupy.counted), cupy.launches, cupy.uploads
    repeats = []
    for _ in range(REPEATS):
        for run, frame in zip(runs, frames):
            with run.repeated():
                repeats.append(located(frame))
    cupy.counted, cupy.launches, cupy.uploads = counted, launches, uploads
    host_ms = {stage: float(np.median([run[stage] for run in repeats])) for stage in repeats[0]}
    return need, cupy, host_ms


def table(needs: dict[str, Need], gpus: list[Published]) -> str:
    """Markdown: what each operation needs, and its least time on each GPU."""
    head = ["operation", "MB", "float GFLOP", "double GFLOP", *(f"{g.name}, ms" for g in gpus)]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]
    for name, need in needs.items():
        numbers = [need.moved_bytes / 1e6, need.flops / 1e9, need.doubles / 1e9]
        numbers += [g.floor_ms(need.moved_bytes, need.flops, need.doubles) for g in gpus]
        lines.append("| " + " | ".join([name, *(f"{number:.3g}" for number in numbers)]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, and what one fix adds up to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", choices=GPUS, action="append", help="may be repeated")
    gpus = [GPUS[name] for name in parser.parse_args().gpu or GPUS]
    with tempfile.TemporaryDirectory() as folder:
        rendering, render_host_ms = render_need(Path(folder))
    needs = operation_needs() | {"render": rendering}
    with tempfile.TemporaryDirectory() as folder:
        fix, cupy, fix_host_ms = locate_need(Path(folder))
    print(f"Estimate from published peak rates, not measured; {SIDE_PX} x {SIDE_PX} pixels")
    print(f"and {ALTITUDE_M / 1e3:.0f} km up, inputs on the device.\n")
    print(table(needs, gpus))
    print(
        f"\nThe kernels of one fix: {cupy.launches} launches, {fix.flops / 1e9:.3g} GFLOP of floats"
        f" and {fix.doubles / 1e9:.3g} of doubles;\n{cupy.uploads} uploads, "
        f"{fix.moved_bytes / 1e6:.1f} MB to the device and back. Arithmetic alone, at peak:"
    )
    for gpu in gpus:
        each = sum(gpu.floor_ms(0.0, *counts) for counts in cupy.counted.values())
        print(f"  {gpu.name}: {each:.3g} ms")
        for kernel, counts in sorted(cupy.counted.items()):
            print(f"    {kernel}: {gpu.floor_ms(0.0, *counts):.3g} ms")
    print(
        f"\nBeside kernels and copies the host took, here ({os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}): {sum(fix_host_ms.values()):.0f} ms for a fix, "
        f"{render_host_ms:.0f} ms for a rendered frame without its sensor. The fix's stages, ms:"
    )
    print("  " + ", ".join(f"{stage} {ms:.1f}" for stage, ms in fix_host_ms.items()))


if __name__ == "__main__":
    main()
