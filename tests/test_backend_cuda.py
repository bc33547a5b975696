"""The CUDA backend is used where it works, says why where it does not, and loses no frame."""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.cuda_scenes import above, all_round, random_searches, rough_surface
from tests.host_cuda import shim
from tests.host_cuda.fake_cupy import (
    CompileException,
    CUDADriverError,
    CUDARuntimeError,
    FakeCupy,
    OutOfMemoryError,
)
from tests.test_backend_raycast import fan
from tests.test_correlate import texture
from trn.backend import cuda_usable, select
from trn.backend.cpu import CpuBackend
from trn.backend.cuda import CudaBackend
from trn.backend.cuda_kernels import load_kernel, load_module
from trn.backend.cuda_surfaces import Residents
from trn.errors import WorkError

Run = Callable[..., tuple[int, str, str]]
executes = pytest.mark.skipif(shim.why_not() != "", reason=shim.why_not())

CUDA_12, CUDA_13 = 12060, 13000


@pytest.fixture(autouse=True)
def _unexamined() -> Iterator[None]:
    """Every test finds out anew what is usable."""
    caches = (cuda_usable.examine_cuda, select._say_fallback, load_kernel, load_module)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set up a machine: cupy is a module, an error of its import, or None where not installed."""

    def set_up(
        cupy: FakeCupy | Exception | None, driver: int = CUDA_13, jetson: bool = False
    ) -> None:
        real = importlib.import_module

        def import_module(name: str, package: str | None = None) -> Any:
            if name != "cupy":
                return real(name, package)
            if cupy is None:
                raise ModuleNotFoundError("No module named 'cupy'", name="cupy")
            if isinstance(cupy, Exception):
                raise cupy
            return cupy

        monkeypatch.setattr(importlib, "import_module", import_module)
        monkeypatch.setattr(cuda_usable, "driver_cuda", lambda: driver)
        monkeypatch.setattr(cuda_usable, "JETSON_FILE", Path("/" if jetson else "/not/there"))
        monkeypatch.delenv("TRN_BACKEND", raising=False)

    return set_up


def faulty(**settings: Any) -> FakeCupy:
    cupy = FakeCupy()
    for name, value in settings.items():
        setattr(cupy, name, value)
    return cupy


NO_DEVICE = CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
NVRTC_LOST = CompileException("nvrtc: error: failed to load builtins")
CASES: dict[str, tuple[Any, dict[str, Any], str, str]] = {
    "nothing at all": (None, {"driver": 0}, "no NVIDIA driver", ""),
    "GPU, no CuPy": (None, {}, "CuPy is not installed", "pip install 'lunar-trn[gpu]'"),
    "GPU with CUDA 12, no CuPy": (
        None, {"driver": CUDA_12}, "CuPy is not installed", "pip install 'lunar-trn[gpu-cuda12]'",
    ),
    "Jetson, no CuPy": (
        None, {"driver": CUDA_12, "jetson": True}, "not installed",
        "pip install 'lunar-trn[jetson]'",
    ),
    "old driver, no CuPy": (None, {"driver": 11040}, "not installed", "update the NVIDIA driver"),
    "CuPy that does not load": (
        ImportError("libnvrtc.so.12: cannot open shared object file"), {"driver": CUDA_12},
        "CuPy does not load: libnvrtc.so.12", "pip install 'lunar-trn[gpu-cuda12]'",
    ),
    "a part of CuPy is missing": (
        ModuleNotFoundError("No module named 'cuda.pathfinder'", name="cuda.pathfinder"), {},
        "CuPy does not load: No module named 'cuda.pathfinder'", "pip install 'lunar-trn[gpu]'",
    ),
    "CuPy, no driver": (
        faulty(driver_version=0), {"driver": 0}, "there is no NVIDIA driver", "--gpus all",
    ),
    "CuPy, no GPU": (
        faulty(count_error=NO_DEVICE), {}, "shows no GPU: cudaErrorNoDevice", "nvidia-smi",
    ),
    "CuPy, GPUs hidden": (faulty(devices=0), {}, "shows no GPU", "CUDA_VISIBLE_DEVICES"),
    "CuPy of a newer CUDA than the driver's": (
        faulty(driver_version=CUDA_12), {"driver": CUDA_12},
        "built for CUDA 13, the driver goes up to CUDA 12.6",
        "pip uninstall -y cupy-cuda13x && pip install 'lunar-trn[gpu-cuda12]'",
    ),
    "CuPy of a newer CUDA than a Jetson's": (
        faulty(driver_version=CUDA_12), {"driver": CUDA_12, "jetson": True},
        "built for CUDA 13, the driver goes up to CUDA 12.6",
        "pip uninstall -y cupy-cuda13x && pip install 'lunar-trn[jetson]'",
    ),
    "a GPU older than CUDA 13 knows": (
        faulty(capability="61"), {},
        "built for CUDA 13, which has no code for Fake GPU (compute capability 6.1)",
        "pip uninstall -y cupy-cuda13x && pip install 'lunar-trn[gpu-cuda12]'",
    ),
    "a CuPy that lacks a part": (
        SimpleNamespace(cuda=SimpleNamespace()), {}, "cannot be looked into: AttributeError",
        "pip install 'lunar-trn[gpu]'",
    ),
    "too little memory": (
        faulty(free_bytes=100 << 20), {}, "100 of 16384 MiB are free, 512 are needed", "nvidia-smi",
    ),
    "memory gone meanwhile": (
        faulty(fail_always=OutOfMemoryError("Out of memory allocating 512 bytes")), {},
        "too little memory on the GPU", "nvidia-smi",
    ),
    "kernels that do not compile": (
        faulty(compile_error=NVRTC_LOST), {}, "do not compile: nvrtc: error",
        "pip install 'lunar-trn[gpu]'",
    ),
    "a GPU that fails": (
        faulty(fail_always=CUDARuntimeError("cudaErrorECCUncorrectable: ECC")), {},
        "the GPU fails: cudaErrorECC", "pip install 'lunar-trn[gpu]'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_doctor_gives_the_right_advice(case: str, machine: Callable[..., None], run: Run) -> None:
    cupy, around, reason, advice = CASES[case]
    machine(cupy, **around)
    status, out, err = run("doctor", "--json")
    findings = json.loads(out)
    cuda = next(b for b in findings["backends"] if b["name"] == "cuda")
    assert status == 0 and err == ""
    assert not cuda["usable"]
    assert reason in cuda["reason"]
    given = [line for line in findings["advice"] if line.startswith("backend cuda")]
    assert len(given) == (1 if advice else 0)
    assert advice in "".join(given)


@pytest.mark.parametrize("case", CASES)
def test_asking_for_cuda_says_why_not(case: str, machine: Callable[..., None]) -> None:
    cupy, around, reason, advice = CASES[case]
    machine(cupy, **around)
    assert not cuda_usable.usable()[0]
    with pytest.raises(WorkError) as refused:
        select.select_backend("cuda")
    assert reason in str(refused.value)
    assert (advice or "use --backend cpu") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_auto_falls_back_and_says_so_once(
    machine: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    machine(None)
    with caplog.at_level(logging.INFO):
        assert [select.select_backend().name for _ in range(3)] == ["cpu"] * 3
    assert [r.message for r in caplog.records] == [
        "backend auto: running on the CPU (CuPy is not installed)"
    ]


def test_cpu_does_not_ask_for_a_gpu(machine: Callable[..., None]) -> None:
    machine(RuntimeError("must not be imported"))
    assert select.select_backend("cpu").name == "cpu"
    assert cuda_usable.examine_cuda.cache_info().misses == 0


@executes
def test_a_gpu_that_works_is_taken(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    machine(FakeCupy())
    assert cuda_usable.usable() == (True, "")
    assert select.select_backend().name == "cuda"
    assert select.select_backend("cuda").name == "cuda"
    assert "backend cuda: usable Fake GPU, 16384 MiB" in run("doctor")[1]
    monkeypatch.setenv("TRN_BACKEND", "cpu")
    assert select.select_backend().name == "cpu"


@executes
def test_a_gpu_that_computes_nonsense_is_not_trusted(machine: Callable[..., None]) -> None:
    machine(faulty(spoil=0.5))
    usable, reason = cuda_usable.usable()
    assert not usable
    assert "other results than the CPU" in reason


def test_without_a_driver_the_drivers_cuda_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(cuda_usable.ctypes, "CDLL", missing)
    assert cuda_usable.driver_cuda() == 0


def frame(backend: Any) -> list[Any]:
    """The calls of one frame, and what they give."""
    surface = backend.load_surface(rough_surface(1))
    sun, origin = np.array([0.8, 0.0, 0.6]), above(15_000.0)
    lit = backend.shadow(surface, sun)
    hits = backend.ray_cast(surface, origin, fan(0.5, 500, 1))
    radiance, lit_at = backend.shade(surface, lit, hits, origin, sun)
    image, predicted = backend.load_image(texture(1, 90)), backend.load_image(texture(2, 90))
    peaks = backend.correlate(image, predicted, random_searches(1, 5, 11, 90, 20))
    craters = backend.crater_response(image, np.array([4.0, 6.0, 9.0]), None, 0.2)
    return [
        *(lit, hits.range_m, hits.state, radiance, lit_at),
        *(peaks.x, peaks.y, peaks.score, craters.x, craters.y, craters.score),
    ]


def assert_same_frame(ours: list[Any], theirs: list[Any]) -> None:
    for mine, other in zip(ours, theirs):
        np.testing.assert_allclose(mine, other, atol=1e-4)


CALLS = 5


OUT_OF_MEMORY = (
    OutOfMemoryError("Out of memory allocating 512 bytes"),
    CUDARuntimeError("cudaErrorMemoryAllocation: out of memory", 2),
)


@executes
@pytest.mark.parametrize("at", range(18))
def test_running_out_of_memory_anywhere_costs_one_call_and_no_frame(
    at: int, caplog: pytest.LogCaptureFixture
) -> None:
    cupy = FakeCupy()
    cuda = CudaBackend(cupy)
    allocations = 0
    may_fail = cupy._may_fail

    def fail_once() -> None:
        nonlocal allocations
        if allocations == at:
            cupy.fail_next = OUT_OF_MEMORY[at % 2]
        allocations += 1
        may_fail()

    cupy._may_fail = fail_once  # type: ignore[method-assign]
    with caplog.at_level(logging.WARNING):
        assert_same_frame(frame(cuda), frame(CpuBackend()))
    assert cuda.fallbacks == 1
    assert "out of memory" in caplog.text
    assert_same_frame(frame(cuda), frame(CpuBackend()))
    assert cuda.fallbacks == 1


@executes
@pytest.mark.parametrize(
    "error",
    [
        CUDARuntimeError("cudaErrorDevicesUnavailable: the device is lost"),
        CUDADriverError("CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure"),
        CompileException("nvrtc: error: failed to load builtins"),
    ],
)
def test_a_lost_device_hands_over_to_the_cpu_for_good(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    cupy = FakeCupy()
    cuda = CudaBackend(cupy)
    assert_same_frame(frame(cuda), frame(CpuBackend()))
    cupy.fail_next = error
    with caplog.at_level(logging.WARNING):
        assert_same_frame(frame(cuda), frame(CpuBackend()))
        uploads = cupy.uploads
        assert_same_frame(frame(cuda), frame(CpuBackend()))
    assert cuda.fallbacks == 2 * CALLS
    assert cupy.uploads == uploads
    assert len(caplog.records) == 1
    assert str(error) in caplog.text


@executes
def test_an_older_gpu_is_taken_with_a_cupy_that_has_code_for_it(
    machine: Callable[..., None],
) -> None:
    machine(faulty(capability="61", runtime_version=CUDA_12))
    assert cuda_usable.usable() == (True, "")


@executes
def test_a_device_that_is_lost_while_it_frees_memory_costs_no_frame(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cupy = faulty(
        fail_next=OutOfMemoryError("Out of memory allocating 512 bytes"),
        pool_error=CUDARuntimeError("cudaErrorIllegalAddress: an illegal memory access", 700),
    )
    cuda = CudaBackend(cupy)
    with caplog.at_level(logging.WARNING):
        assert_same_frame(frame(cuda), frame(CpuBackend()))
    assert cuda.fallbacks == CALLS
    assert "the GPU is lost, the CPU carries on: cudaErrorIllegalAddress" in caplog.text


@executes
def test_a_lit_fraction_that_the_caller_changes_is_uploaded_anew() -> None:
    cuda, cpu = CudaBackend(FakeCupy(), strict=True), CpuBackend()
    surface = rough_surface(2)
    loaded, on_cpu = cuda.load_surface(surface), cpu.load_surface(surface)
    sun, origin = np.array([0.6, 0.0, 0.8]), above(1e4)
    hits = cpu.ray_cast(on_cpu, origin, fan(0.2, 50, 1))
    lit = np.ones(surface.heights_m.shape, dtype=np.float32)
    for share in (1.0, 0.25):
        lit[:] = share
        radiance, _ = cuda.shade(loaded, lit, hits, origin, sun)
        expected, _ = cpu.shade(on_cpu, lit, hits, origin, sun)
        np.testing.assert_allclose(radiance, expected, atol=1e-6)


@executes
def test_a_lit_fraction_is_read_only_whoever_made_it() -> None:
    cuda = CudaBackend(faulty(fail_next=OutOfMemoryError("out of memory")))
    for fallbacks in (1, 1):
        lit = cuda.shadow(cuda.load_surface(rough_surface(1)), np.array([0.8, 0.0, 0.6]))
        assert cuda.fallbacks == fallbacks
        with pytest.raises(ValueError, match="read-only"):
            np.asarray(lit)[0, 0] = 0.5


@executes
def test_mistakes_of_the_caller_are_not_blamed_on_the_device() -> None:
    cuda = CudaBackend(FakeCupy())
    with pytest.raises(AttributeError):
        cuda.ray_cast(None, above(1e4), all_round(1, 5))  # type: ignore[arg-type]
    assert cuda.fallbacks == 0


@executes
def test_a_template_too_large_for_shared_memory_is_searched_on_the_cpu() -> None:
    cuda = CudaBackend(FakeCupy())
    image = texture(3, 220)
    searches = random_searches(3, 2, 151, 220, 20)
    ours = cuda.correlate(cuda.load_image(image), cuda.load_image(image), searches)
    theirs = CpuBackend().correlate(image, image, searches)
    assert np.array_equal(ours.x, theirs.x)
    assert cuda.fallbacks == 0


@executes
def test_a_frame_and_its_terrain_are_uploaded_once() -> None:
    cupy = FakeCupy()
    cuda = CudaBackend(cupy)
    surface = cuda.load_surface(rough_surface(1))
    image = cuda.load_image(texture(1, 60))
    searches = random_searches(1, 3, 11, 60, 20)
    sun = np.array([0.8, 0.0, 0.6])
    lit = cuda.shadow(surface, sun)

    def uploads_of_a_round() -> int:
        before = cupy.uploads
        hits = cuda.ray_cast(surface, above(1e4), fan(0.2, 50, 1))
        cuda.shade(surface, lit, hits, above(1e4), sun)
        cuda.correlate(image, image, searches)
        return cupy.uploads - before

    uploads_of_a_round()
    # Origin and rays; the table of searches.
    assert uploads_of_a_round() == 3


@executes
def test_resident_surfaces_stay_within_their_bound() -> None:
    cupy = FakeCupy()
    cuda = CudaBackend(cupy)
    surfaces = [cuda.load_surface(rough_surface(seed)) for seed in range(4)]
    cuda.ray_cast(surfaces[0], above(1e4), fan(0.2, 50, 1))
    one = surfaces[0].resident_bytes
    assert one > 0
    cuda._rays.residents = Residents(2 * one)
    expected = [
        CpuBackend().ray_cast(CpuBackend().load_surface(s.on_host()), above(1e4), fan(0.2, 50, 1))
        for s in surfaces
    ]
    for _ in range(2):
        for surface, hits in zip(surfaces, expected):
            ours = cuda.ray_cast(surface, above(1e4), fan(0.2, 50, 1))
            np.testing.assert_allclose(ours.range_m, hits.range_m, atol=1e-6)
            assert sum(s.resident_bytes for s in surfaces[1:]) <= 2 * one
    assert [s.resident_bytes > 0 for s in surfaces[1:]] == [False, True, True]
