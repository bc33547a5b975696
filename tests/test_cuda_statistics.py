"""Statistics of a frame from the device's sums are those of the CPU."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.host_cuda import shim
from tests.host_cuda.fake_cupy import FakeCupy, OutOfMemoryError
from trn.backend.cpu import CpuBackend
from trn.backend.cuda import CudaBackend
from trn.backend.protocol import FrameStatistics
from trn.correlate.quality import full_scale_of, image_defect

pytestmark = pytest.mark.skipif(shim.why_not() != "", reason=shim.why_not())

CPU = CpuBackend()
SLOPES = 1e-5
"""Of their largest: the smaller copy and its average are sums of floats in another order."""


def frame(rows: int, columns: int, dtype: type = np.uint8, seed: int = 1) -> NDArray[Any]:
    noise = np.random.default_rng(seed).normal(size=(rows, columns))
    smooth = 0.5 + 0.6 * cv2.GaussianBlur(noise, (0, 0), 1.2)
    full_scale = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1.0
    return (np.clip(smooth, 0.0, 1.0) * full_scale).astype(dtype)


def by_both(
    image: NDArray[Any], black: float, saturated: float, order: int = 0
) -> tuple[FrameStatistics, FrameStatistics]:
    cuda = CudaBackend(FakeCupy(order), strict=True)
    ours = cuda.statistics(cuda.load_image(image), black, saturated)
    return ours, CPU.statistics(CPU.load_image(image), black, saturated)


def assert_same(ours: FrameStatistics, theirs: FrameStatistics) -> None:
    assert (ours.black, ours.saturated) == (theirs.black, theirs.saturated)
    assert ours.variance == pytest.approx(theirs.variance, rel=1e-9, abs=1e-12)
    scale = max(theirs.variance, 1e-12)
    assert ours.neighbour == pytest.approx(theirs.neighbour, abs=1e-9 * scale, nan_ok=True)
    largest = max(theirs.slopes[:2])
    assert ours.slopes == pytest.approx(theirs.slopes, abs=SLOPES * max(largest, 1e-12))


@settings(deadline=None, max_examples=30)
@given(
    st.integers(8, 90), st.integers(8, 90),
    st.sampled_from([np.uint8, np.uint16, np.float32]), st.integers(0, 3),
)  # fmt: skip
def test_a_frame_of_any_size_and_depth_has_the_cpus_statistics(
    rows: int, columns: int, dtype: type, order: int
) -> None:
    image = frame(rows, columns, dtype)
    black, saturated = (float(np.quantile(image, share)) for share in (0.2, 0.9))
    assert_same(*by_both(image, black, saturated, order))


@pytest.mark.parametrize("shape", [(300, 520), (700, 9), (1, 40), (40, 1)])
def test_frames_that_are_made_smaller_first_or_are_only_a_line(shape: tuple[int, int]) -> None:
    ours, theirs = by_both(frame(*shape, np.uint16), 9000.0, 50_000.0)
    assert_same(ours, theirs)
    assert np.isnan(ours.neighbour) == (1 in shape)


def test_a_bright_and_flat_frame_is_flat_to_the_last_bit() -> None:
    ours, theirs = by_both(np.full((64, 200), 0.9, np.float32), 0.1, 0.95)
    assert ours == theirs
    assert ours.variance == ours.neighbour == 0.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (17, 40), (79, 99)])
def test_a_value_that_is_not_finite_is_seen_wherever_it_stands(
    value: float, place: tuple[int, int]
) -> None:
    image = frame(80, 100, np.float32)
    image[place] = value
    cuda = CudaBackend(FakeCupy(), strict=True)
    assert "not finite" in image_defect(cuda, cuda.load_image(image), full_scale_of(image))


def test_stripes_are_named_as_on_the_cpu() -> None:
    x, y = np.meshgrid(np.arange(600), np.arange(500))
    stripes = (128 + 80 * np.sign(np.sin(0.21 * x + 0.13 * y))).astype(np.uint8)
    cuda = CudaBackend(FakeCupy(), strict=True)
    assert "stripes" in image_defect(cuda, cuda.load_image(stripes), 255.0)
    assert image_defect(cuda, cuda.load_image(frame(500, 600)), 255.0) == ""


def test_what_the_device_fails_the_cpu_says() -> None:
    cupy = FakeCupy()
    cuda = CudaBackend(cupy)
    image = frame(120, 90)
    handle = cuda.load_image(image)
    cupy.fail_next = OutOfMemoryError()
    found = cuda.statistics(handle, 20.0, 200.0)
    assert dataclasses.asdict(found) == dataclasses.asdict(
        CPU.statistics(CPU.load_image(image), 20.0, 200.0)
    )
    assert cuda.fallbacks == 1


@pytest.mark.parametrize("place", [(0, 0, 30, 40), (11, 7, 25, 60), (70, 0, 10, 100)])
def test_a_part_of_a_frame_is_cut_out_on_the_device(place: tuple[int, int, int, int]) -> None:
    image = frame(80, 100, np.uint16)
    cuda = CudaBackend(FakeCupy(), strict=True)
    part = cuda.crop(cuda.load_image(image), *place)
    assert part.shape == place[2:]
    assert (cuda.pixels(part) == CPU.crop(CPU.load_image(image), *place)).all()
    assert cuda.device.cupy.uploads == 1
