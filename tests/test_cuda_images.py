"""Images shrunk, told apart and searched for landmarks on the device agree with the CPU's."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.host_cuda import shim
from tests.host_cuda.fake_cupy import CUDARuntimeError, FakeCupy, OutOfMemoryError
from trn.backend.cpu import CpuBackend
from trn.backend.cuda import CudaBackend
from trn.backend.protocol import PixelGrid

pytestmark = pytest.mark.skipif(shim.why_not() != "", reason=shim.why_not())

CPU = CpuBackend()
SHRUNK = 2e-7
"""Of the brightest pixel: sums of floats in one order or another."""
INFORMATION = 1e-6
"""Of the largest: a smaller eigenvalue is a difference of two floats."""
RESEMBLANCE = 1e-6


def cuda(order: int = 0) -> CudaBackend:
    return CudaBackend(FakeCupy(order), strict=True)


def ground(rows: int, columns: int, seed: int = 1, holes: bool = False) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.5))
    if holes:
        smooth[: rows // 6] = smooth[rows // 2 : rows // 2 + 5, 3 : columns // 3] = np.nan
        smooth[rows - 3, columns - 4] = np.inf
    return smooth


def shrunk(backend: CudaBackend, image: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    return backend.pixels(backend.shrink(backend.load_image(image), width, height))


@settings(deadline=None, max_examples=25)
@given(st.integers(3, 60), st.integers(3, 60), st.data())
def test_an_image_shrinks_to_any_size(rows: int, columns: int, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, rows)), data.draw(st.integers(1, columns))
    image = ground(rows, columns)
    ours, theirs = shrunk(cuda(), image, width, height), CPU.shrink(image, width, height)
    assert np.abs(ours - theirs).max() <= SHRUNK * np.abs(image).max()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_frames_of_every_type_go_to_the_device_once(dtype: type) -> None:
    image = (200.0 * np.random.default_rng(1).random((96, 120))).astype(dtype)
    ours = cuda()
    handle = ours.load_image(image)
    for width, height in ((60, 48), (31, 17), (120, 96)):
        expected = CPU.shrink(CPU.load_image(image), width, height)
        small = ours.pixels(ours.shrink(handle, width, height))
        assert small.dtype == np.float32
        assert np.abs(small - expected).max() <= SHRUNK * 200.0
    fake = ours.device.cupy
    assert fake.uploads == 1
    assert fake.uploaded_bytes == image.size * min(4, image.itemsize)


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize(
    ("size", "grid"),
    [
        (21, PixelGrid(10, 10, 7, 9, 8)),
        (5, PixelGrid(2, 2, 3, 26, 22)),
        (41, PixelGrid(30, 20, 18, 1, 2)),
        (3, PixelGrid(1, 1, 3, 20, 20)),
    ],
)
def test_what_templates_tell(size: int, grid: PixelGrid, holes: bool) -> None:
    image = ground(80, 70, 2, holes)
    ours = cuda()
    told = ours.information(ours.load_image(image), size, grid)
    expected = CPU.information(image, size, grid)
    np.testing.assert_array_equal(told > 0, expected > 0)
    assert np.abs(told - expected).max() <= INFORMATION * expected.max()
    if size == 5:
        assert (expected > 0).any() and (expected == 0).any() == holes


def test_nothing_is_told_by_what_is_flat_unknown_or_striped() -> None:
    stripes = np.repeat(np.sin(np.arange(60, dtype=np.float32))[:, None], 60, axis=1)
    grid = PixelGrid(12, 12, 5, 7, 7)
    ours = cuda()
    for image in (np.zeros((60, 60), np.float32), np.full((60, 60), np.nan, np.float32), stripes):
        assert ours.information(ours.load_image(image), 11, grid).max() < 1e-5
    assert ours.information(ours.load_image(stripes), 11, PixelGrid(5, 5, 5, 0, 3)).size == 0


@pytest.mark.parametrize(("rows", "columns"), [(150, 131), (33, 200), (9, 9)])
def test_how_much_two_images_look_alike(rows: int, columns: int) -> None:
    first, second = ground(rows, columns, 1), ground(rows, columns, 2, holes=True)
    for image, predicted in ((first, second), (second, second), (0.5 * first, first + 2.0)):
        image = np.nan_to_num(image, posinf=0.0)
        ours = cuda()
        found = ours.resemblance(ours.load_image(image), ours.load_image(predicted))
        assert abs(found - CPU.resemblance(image, predicted)) < RESEMBLANCE


def test_hardly_anything_known_resembles_nothing() -> None:
    predicted = np.full((40, 40), np.nan, np.float32)
    predicted[:7, :9] = ground(7, 9)
    ours = cuda()
    image = ground(40, 40)
    assert ours.resemblance(ours.load_image(image), ours.load_image(predicted)) == 0.0


def test_a_negative_is_the_same_on_both() -> None:
    image = ground(20, 30, holes=True)
    ours = cuda()
    turned = ours.pixels(ours.negative(ours.load_image(image)))
    np.testing.assert_array_equal(turned, CPU.negative(image))


@pytest.mark.parametrize("order", [1, 2])
def test_nothing_depends_on_the_order_of_threads_and_blocks(order: int) -> None:
    image, predicted = ground(80, 90, 1), ground(80, 90, 2, holes=True)
    grid = PixelGrid(12, 12, 9, 6, 7)
    results = []
    for which in (cuda(), cuda(order)):
        handle, other = which.load_image(image), which.load_image(predicted)
        results.append(
            (
                which.pixels(which.shrink(handle, 37, 41)),
                which.information(other, 21, grid),
                np.array(which.resemblance(handle, other)),
            )
        )
    for mine, other in zip(*results):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(
    "error", [OutOfMemoryError("out of memory"), CUDARuntimeError("unspecified launch failure")]
)
@pytest.mark.parametrize("after", ["nothing", "shrink", "contrast"])
def test_an_image_that_the_device_loses_is_made_again(error: Exception, after: str) -> None:
    """What was made there comes from the CPU instead, from the frame that the host kept."""
    frame = (255.0 * np.random.default_rng(3).random((70, 80))).astype(np.uint8)
    fake = FakeCupy()
    ours = CudaBackend(fake)

    handle = ours.load_image(frame)
    if after == "nothing":
        fake.lose(error)
    small = ours.shrink(handle, 40, 35)
    if after == "shrink":
        fake.lose(error)
    contrast = ours.contrast(small)
    fake.lose(error)
    expected = CPU.contrast(CPU.shrink(CPU.load_image(frame), 40, 35))
    np.testing.assert_array_equal(ours.pixels(contrast), expected)
    assert ours.fallbacks >= 1
