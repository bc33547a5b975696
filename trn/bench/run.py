"""The benchmark: whole fixes, their stages and single operations, on every backend in one run."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from trn import __version__
from trn.backend.cuda import CudaBackend
from trn.backend.protocol import Backend
from trn.backend.select import describe_backends, describe_cpu, select_backend
from trn.bench.board import Board
from trn.bench.cucim import compared
from trn.bench.frames import Frame, make_frames
from trn.bench.kernels import kernel_times
from trn.bench.operations import Operation, correlate_inputs, operations
from trn.bench.rendering import render_operation
from trn.bench.roofline import Rates, rates_of
from trn.bench.timing import Timing, summarised, timed_ms
from trn.camera import Camera
from trn.detect.filter import detect_craters
from trn.fix import PositionFix
from trn.localizer import Localizer
from trn.maps import LunarMap

FRAMES = 4
SIDE_PX = 1024
RUNS = 100

Show = Callable[[str, float, float], object]


def run_bench(
    names: Sequence[str] | None = None,
    runs: int = RUNS,
    side_px: int = SIDE_PX,
    show: Show | None = None,
) -> dict[str, Any]:
    """Time everything on the backends named, or on all that are usable; the result is JSON-ready.

    runs: timed repetitions of each thing, after warm-up. show: is told how far a part is. Raises
    WorkError for a backend that is not usable.
    """
    told = show or (lambda part, done, total: None)
    # Whether a GPU is usable is found out only where one is asked for.
    described = describe_backends() if names is None or "cuda" in names else [describe_cpu()]
    if names is None:
        names = [str(each["name"]) for each in described if each["usable"]]
    backends = {name: select_backend(name) for name in names}
    with tempfile.TemporaryDirectory(prefix="trn-bench-") as folder:
        told("frames", 0, 1)
        moon_map, camera, frames = make_frames(Path(folder), side_px, FRAMES)
        told("frames", 1, 1)
        fixes: dict[str, list[PositionFix]] = {}
        stages, single, roofline, accuracy = {}, {}, {}, {}
        kernels: dict[str, Any] = {}
        cucim: dict[str, Any] | None = None
        board = Board(told)
        for name, backend in backends.items():
            fixes[name] = _locate_all(moon_map, camera, frames, name, runs, told, board)
            stages[name] = _stages(fixes[name])
            every = operations(backend, side_px)
            every["render"] = render_operation(backend, Path(folder), side_px)
            single[name] = _single(backend, frames, every, runs, told)
            rates = rates_of(backend)
            roofline[name] = _roofline(rates, every, single[name])
            accuracy[name] = _accuracy(fixes[name], frames)
            if isinstance(backend, CudaBackend):
                kernels[name] = kernel_times(backend, every, rates, runs)
                told("cuCIM", 0, 1)
                image, searches = correlate_inputs(side_px)
                cucim = compared(image, searches, every["correlate"].call(), max(runs // 10, 1))
        agreement = _agreement(fixes, moon_map.resolution_m)
    return {
        "trn": __version__,
        "machine": _machine(described, list(backends)),
        "frame_px": side_px,
        "runs": runs,
        "locate": _plain(stages),
        "operations": _plain(single),
        "roofline": roofline,
        "kernels": kernels,
        "cucim_match_template": cucim,
        "jetson": board.found(),
        "accuracy": accuracy,
        "agreement_with_cpu": agreement,
    }


def _locate_all(
    moon_map: LunarMap,
    camera: Camera,
    frames: list[Frame],
    name: str,
    runs: int,
    show: Show,
    board: Board,
) -> list[PositionFix]:
    """Fixes of `runs` frames, in turn, after one turn that warms up."""
    localizer = Localizer(moon_map, camera, name)
    for frame in frames:
        localizer.locate(frame.image, frame.prior)
    fixes = []
    with board.measured(name, runs):
        for k in range(runs):
            show(f"locate on {name}", k, runs)
            frame = frames[k % len(frames)]
            fixes.append(localizer.locate(frame.image, frame.prior))
    return fixes


def _stages(fixes: list[PositionFix]) -> dict[str, Timing]:
    """Every stage over the fixes that got to it; `total` last."""
    names = dict.fromkeys(name for fix in fixes for name in fix.latency_ms if name != "total")
    return {
        name: summarised([f.latency_ms[name] for f in fixes if name in f.latency_ms], "frames")
        for name in (*names, "total")
    }


def _single(
    backend: Backend, frames: list[Frame], every: dict[str, Operation], runs: int, show: Show
) -> dict[str, Timing]:
    """Crater detection in a frame, and each operation by itself."""
    image = frames[0].image
    times = timed_ms(lambda: detect_craters(image, backend=backend), max(runs // 10, 1))
    found = {"detect_craters": summarised(times, "frames")}
    for done, (name, operation) in enumerate(every.items()):
        show(f"operations on {backend.name}", done, len(every))
        times = timed_ms(operation.call, operation.runs(runs))
        found[name] = summarised(times, operation.unit, operation.work)
    return found


def _roofline(
    rates: Rates, every: dict[str, Operation], timings: dict[str, Timing]
) -> dict[str, Any]:
    """The device's rates, and of each operation the share of its time that they explain."""
    needed = {}
    for name, operation in every.items():
        floor_ms = rates.floor_ms(operation.moved_bytes, operation.flops)
        needed[name] = {
            "moved_bytes": operation.moved_bytes,
            "flops": operation.flops,
            "floor_ms": floor_ms,
            "share": floor_ms / max(timings[name].median_ms, 1e-6),
        }
    return {**asdict(rates), "operations": needed}


def _accuracy(fixes: list[PositionFix], frames: list[Frame]) -> dict[str, Any]:
    """How far off the fixes of the distinct frames are."""
    errors = [
        float(np.linalg.norm(fix.position_m - frame.position_m))
        for fix, frame in zip(fixes, frames)
        if fix.position_m is not None
    ]
    quantiles = {"p50": float(np.median(errors)), "max": max(errors)} if errors else None
    count = min(len(fixes), len(frames))
    return {"frames": count, "fixes": len(errors), "position_error_m": quantiles}


def _agreement(fixes: dict[str, list[PositionFix]], resolution_m: float) -> dict[str, Any]:
    """Of every other backend: share of the CPU's statuses, and how far fixes are from the CPU's."""
    agreement = {}
    for name in fixes.keys() - {"cpu"} if "cpu" in fixes else ():
        pairs = list(zip(fixes[name], fixes["cpu"]))
        apart_m = [
            float(np.linalg.norm(ours.position_m - theirs.position_m))
            for ours, theirs in pairs
            if ours.position_m is not None and theirs.position_m is not None
        ]
        agreement[name] = {
            "same_status": float(np.mean([ours.status == theirs.status for ours, theirs in pairs])),
            "largest_apart_map_px": max(apart_m) / resolution_m if apart_m else None,
        }
    return agreement


def _machine(described: list[dict[str, object]], used: list[str]) -> dict[str, Any]:
    """What the times depend on. load: of the last minute before the end, 1 for one busy core."""
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": load,
        "devices": {str(d["name"]): d["device"] for d in described if d["name"] in used},
        "not_usable": {str(d["name"]): d["reason"] for d in described if not d["usable"]},
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _plain(timings: dict[str, dict[str, Timing]]) -> dict[str, Any]:
    return {
        backend: {stage: timing.to_dict() for stage, timing in found.items()}
        for backend, found in timings.items()
    }
