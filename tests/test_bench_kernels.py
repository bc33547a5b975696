"""On a GPU the benchmark times kernels alone and cuCIM beside ours: over stand-ins of both."""

from __future__ import annotations

import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.host_cuda import shim
from tests.host_cuda.fake_cupy import FakeCupy
from trn import localizer
from trn.backend.cpu import CpuBackend
from trn.backend.cuda import CudaBackend
from trn.bench import operations
from trn.bench import run as bench_run
from trn.bench.cucim import compared
from trn.bench.kernels import kernel_times
from trn.bench.operations import Operation, correlate_inputs
from trn.bench.report import _kernel_lines, as_markdown
from trn.bench.roofline import Rates

executes = pytest.mark.skipif(shim.why_not() != "", reason=shim.why_not())
RATES = Rates(1e9, 1e9)


@executes
def test_kernels_are_timed_without_what_is_around_them() -> None:
    cuda = CudaBackend(FakeCupy(), strict=True)
    image = cuda.load_image(np.random.default_rng(1).normal(size=(90, 90)).astype(np.float32))

    whole_ms = []

    def slow_way_there() -> None:
        start = time.perf_counter()
        time.sleep(0.5)
        cuda.crater_response(image, np.array([4.0, 9.0]), None, 0.2)
        whole_ms.append(1e3 * (time.perf_counter() - start))

    every = {
        "crater_response": Operation(slow_way_there, "pixels", 8100.0, 1e6, 2e6),
        "on the host": Operation(lambda: None, "calls", 1.0, 1.0),
    }
    times = kernel_times(cuda, every, RATES, runs=2)
    assert set(times) == {"crater_response"}
    found = times["crater_response"]
    assert set(found["kernels_ms"]) == {
        "image_sums", "crater_brightness", "crater_halve", "crater_response", "crater_peaks",
    }  # fmt: skip
    assert found["median_ms"] == pytest.approx(sum(found["kernels_ms"].values()), rel=0.9)
    assert 0.0 < found["median_ms"] <= max(whole_ms) - 500.0
    assert found["share"] == pytest.approx(2.0 / found["median_ms"])


@executes
def test_launches_of_one_kernel_add_up_and_nothing_is_noted_unasked() -> None:
    cuda = CudaBackend(FakeCupy(), strict=True)
    image = cuda.load_image(np.random.default_rng(1).normal(size=(200, 200)).astype(np.float32))
    radii = np.array([4.0, 8.0, 16.0, 32.0])
    cuda.crater_response(image, radii, None, 0.2)
    with cuda.device.timed_launches() as times:
        cuda.crater_response(image, radii, None, 0.2)
        noted = [name for name, _, _ in times._noted]
        spent = times.take()
    assert noted.count("crater_halve") > 1
    assert len(spent) == 5
    cuda.crater_response(image, radii, None, 0.2)
    assert times.take() == {}


class Cupy(SimpleNamespace):
    """What the comparison uses of CuPy."""

    def __init__(self) -> None:
        super().__init__(asarray=np.asarray, asnumpy=np.asarray, stack=np.stack)


@pytest.fixture
def cucim(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """cuCIM's stand-in: scikit-image's matcher, which it follows."""
    feature = pytest.importorskip("skimage.feature")
    module = ModuleType("cucim.skimage.feature")
    module.match_template = feature.match_template  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", Cupy())
    for name in ("cucim", "cucim.skimage"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "cucim.skimage.feature", module)
    return module


def inputs() -> tuple[NDArray[np.float32], Any, Any]:
    image, searches = correlate_inputs(256)
    few = type(searches)(
        searches.size_px,
        *(getattr(searches, name)[:8] for name in (
            "template_x", "template_y", "window_x", "window_y", "window_columns", "window_rows",
        )),
    )  # fmt: skip
    return image, few, CpuBackend().correlate(image, image, few)


@pytest.mark.usefixtures("cucim")
def test_cucim_does_the_same_searches_and_finds_the_same_places() -> None:
    found = compared(*inputs(), runs=1)
    assert found["same_place"] == 1.0
    assert found["timing"]["unit"] == "searches"
    assert found["timing"]["median_ms"] > 0.0


def test_a_matcher_that_finds_other_places_shows(cucim: ModuleType) -> None:
    cucim.match_template = lambda image, template: np.zeros((41, 41))  # type: ignore[attr-defined]
    assert compared(*inputs(), runs=1)["same_place"] == 0.0


def test_where_cucim_is_absent_or_fails_the_reason_is_given(
    cucim: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(image: Any, template: Any) -> Any:
        raise RuntimeError("nvrtc: error\nat line 2")

    cucim.match_template = fails  # type: ignore[attr-defined]
    assert compared(*inputs(), runs=1)["absent"] == "it fails here, RuntimeError: nvrtc: error"
    monkeypatch.setitem(sys.modules, "cucim.skimage.feature", None)
    absent = compared(*inputs(), runs=1)
    assert "ModuleNotFoundError" in absent["absent"]
    results = {"kernels": {}, "cucim_match_template": absent}
    assert "was not run: ModuleNotFoundError" in "\n".join(_kernel_lines(results))


def test_the_table_has_kernels_and_how_much_slower_cucim_is() -> None:
    results = {
        "kernels": {
            "cuda": {"shade": {"median_ms": 0.5, "share": 0.25, "kernels_ms": {"shade": 0.5}}}
        },
        "operations": {"cuda": {"correlate": {"median_ms": 2.0}}},
        "cucim_match_template": {"timing": {"median_ms": 50.0}, "same_place": 0.995},
    }
    text = "\n".join(_kernel_lines(results))
    assert "| shade | 0.5 | 25.0% | shade 0.5 |" in text
    assert "50 ms, 25 times ours; same place in 99.5%" in text


@executes
@pytest.mark.usefixtures("cucim")
def test_a_gpu_adds_kernels_and_cucim_to_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fixes by the CPU under the GPU's name and two operations of a few: the rest is as it is."""
    cpu = CpuBackend()
    cpu.name = "cuda"
    cuda = CudaBackend(FakeCupy(), strict=True)
    monkeypatch.setattr(localizer, "select_backend", lambda name: cpu)
    monkeypatch.setattr(bench_run, "select_backend", lambda name: cuda)
    monkeypatch.setattr(bench_run, "rates_of", lambda backend: RATES)
    monkeypatch.setattr(bench_run, "FRAMES", 1)
    monkeypatch.setattr(bench_run, "detect_craters", lambda image, backend: None)
    monkeypatch.setattr(operations, "TEMPLATES", 3)
    monkeypatch.setattr(operations, "NODES", 33)

    def two(backend: CudaBackend, side_px: int) -> dict[str, Operation]:
        every = operations.operations(backend, side_px)
        return {name: every[name] for name in ("ray_cast_view", "correlate")}

    monkeypatch.setattr(bench_run, "operations", two)
    rendering = Operation(lambda: None, "frames", 1.0, 1.0, slow=True)
    monkeypatch.setattr(bench_run, "render_operation", lambda *given: rendering)
    results = bench_run.run_bench(["cuda"], runs=1, side_px=256)
    assert set(results["kernels"]["cuda"]) == {"ray_cast_view", "correlate"}
    for name, found in results["kernels"]["cuda"].items():
        assert found["median_ms"] > 0.0 and found["share"] > 0.0, name
    assert results["cucim_match_template"]["same_place"] == 1.0
    assert results["jetson"] is None
    text = as_markdown(results)
    assert "| kernels of an operation | cuda median ms |" in text
    assert "same place in 100.0%" in text
