"""Local contrast and alignment on the device, executed on the CPU, agree with the CPU backend."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.host_cuda import shim
from tests.host_cuda.fake_cupy import FakeCupy, OutOfMemoryError
from tests.test_backend_align import pair
from trn.backend import cpu_align, cuda_align
from trn.backend.cpu import CpuBackend
from trn.backend.cuda import CudaBackend
from trn.backend.cuda_average import averaged, gaussian, known_means
from trn.backend.protocol import Alignment

pytestmark = pytest.mark.skipif(shim.why_not() != "", reason=shim.why_not())

CONTRAST = 5e-5
"""Of values up to 4: floats, of which a local mean some ten times as large was taken."""
SHARE = 1e-4
"""Of the largest of a block's sums."""
MOVED_PX = 2e-6
FILTERS = 2e-6
"""Of the largest weight of a filter."""
MEANS = 1e-6
"""Of the largest value: sums of 97 x 97 floats."""
CPU = CpuBackend()

Array32 = NDArray[np.float32]


def cuda(order: int = 0) -> CudaBackend:
    return CudaBackend(FakeCupy(order), strict=True)


def contrast(backend: CudaBackend, values: Array32) -> Array32:
    return backend.pixels(backend.contrast(backend.load_image(values)))


def align(backend: CudaBackend, image: Array32, predicted: Array32) -> Alignment | None:
    return backend.align(backend.load_image(image), backend.load_image(predicted))


def view(rows: int, columns: int, holes: bool = False, seed: int = 1) -> tuple[Array32, Array32]:
    """An image and its prediction, a fraction of a pixel apart."""
    image, predicted = (part[:rows, :columns].copy() for part in pair(seed, 0.3, -0.2, 0.02))
    if holes:
        predicted[:7] = predicted[rows // 3 : rows // 2, columns // 4 : columns // 2] = np.nan
    for part in (image, predicted):
        part.setflags(write=False)
    return image, predicted


def moved_px(found: Alignment) -> NDArray[np.float64]:
    return np.linalg.solve(found.information.sum(axis=0), found.pull.sum(axis=0))


def assert_same(ours: Alignment | None, theirs: Alignment | None) -> None:
    assert ours is not None and theirs is not None
    assert ours.grid == theirs.grid
    np.testing.assert_array_equal(ours.cells, theirs.cells)
    for mine, other in ((ours.information, theirs.information), (ours.pull, theirs.pull)):
        assert np.abs(mine - other).max() < SHARE * np.abs(other).max()
    assert np.abs(moved_px(ours) - moved_px(theirs)).max() < MOVED_PX


@pytest.mark.parametrize(("rows", "columns"), [(100, 131), (33, 40), (5, 7), (1, 9)])
def test_contrast(rows: int, columns: int) -> None:
    image, predicted = view(rows, columns, holes=True)
    for values in (image, predicted):
        expected = CPU.contrast(values)
        np.testing.assert_allclose(contrast(cuda(), values), expected, rtol=0, atol=CONTRAST)


def test_the_level_that_contrast_is_over_is_of_all_pixels() -> None:
    """Of more tiles than there are threads to add them up, the last ones the brightest."""
    image, _ = view(224, 160)
    image = image * np.linspace(0.1, 10.0, 224, dtype=np.float32)[:, None] ** 2
    np.testing.assert_allclose(contrast(cuda(), image), CPU.contrast(image), rtol=0, atol=CONTRAST)


def test_contrast_of_what_is_flat_or_unknown() -> None:
    for level in (7.0, 0.0, np.nan):
        values = np.full((20, 30), level, np.float32)
        np.testing.assert_allclose(contrast(cuda(), values), CPU.contrast(values), atol=CONTRAST)


@pytest.mark.parametrize(
    ("rows", "columns", "holes"), [(120, 150, False), (131, 110, True), (90, 67, False)]
)
def test_alignment(rows: int, columns: int, holes: bool) -> None:
    image, predicted = view(rows, columns, holes)
    assert_same(align(cuda(), image, predicted), CPU.align(image, predicted))


@pytest.mark.parametrize("dim", [1e-2, 7e-4])
def test_alignment_where_part_of_the_view_is_night(dim: float) -> None:
    """What is dim there still counts: over its own mean, or over what a mean is at least."""
    image, predicted = (part.copy() for part in view(120, 128))
    image[:, :60] *= dim
    predicted[:, :60] *= dim
    assert_same(align(cuda(), image, predicted), CPU.align(image, predicted))


def test_what_cannot_be_aligned_is_not() -> None:
    image, predicted = view(96, 96)
    for other in (predicted[:20, :20], np.full_like(predicted, np.nan), np.ones_like(predicted)):
        part = image[: other.shape[0], : other.shape[1]]
        assert CPU.align(part, other) is None
        assert align(cuda(), part, other) is None


@pytest.mark.parametrize(("rows", "columns"), [(40, 33), (16, 16), (1, 9), (9, 1), (3, 70)])
@pytest.mark.parametrize("order", [0, 2])
def test_averages_of_images_are_opencvs(rows: int, columns: int, order: int) -> None:
    images = np.random.default_rng(rows).normal(size=(3, rows, columns)).astype(np.float32)
    for sigma_px in (0.7, 3.0):
        ours = averaged(cuda(order).device, images, sigma_px)
        theirs = [cpu_align._blurred(image, sigma_px) for image in images]
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=MEANS)


@pytest.mark.parametrize(("rows", "columns"), [(70, 45), (33, 4), (1, 9), (9, 1), (5, 130)])
@pytest.mark.parametrize("order", [0, 2])
def test_local_means_are_of_what_is_known(rows: int, columns: int, order: int) -> None:
    """On images narrower than the average as well; the highest counts from zero on."""
    rng = np.random.default_rng(rows)
    image = rng.normal(size=(rows, columns)).astype(np.float32)
    predicted = np.where(rng.random(image.shape) < 0.8, np.abs(image), np.nan).astype(np.float32)
    device = cuda(order).device
    weights = gaussian(cpu_align.BACKGROUND_PX)
    means, highest = known_means(device, image, predicted, weights)
    known = np.isfinite(predicted)
    for values, mean, bits in zip((image, predicted), means, highest):
        share = cpu_align._blurred(known.astype(np.float32), cpu_align.BACKGROUND_PX)
        filled = np.where(known, values, np.float32(0))
        expected = cpu_align._blurred(filled, cpu_align.BACKGROUND_PX) / (share + 1e-6)
        assert np.abs(mean - expected).max() < MEANS * np.abs(expected).max() + MEANS
        assert bits.view(np.float32) == max(mean.max(), 0.0)


def test_means_below_zero_are_not_the_highest() -> None:
    image = np.full((20, 40), -3.0, np.float32)
    _, highest = known_means(cuda().device, image, image, gaussian(cpu_align.BACKGROUND_PX))
    np.testing.assert_array_equal(highest, 0)


def spectra_of(coherence: NDArray[np.float64], seed: int) -> Array32:
    """Mean spectra of image and view, and of both, that have a coherence at each frequency."""
    rng = np.random.default_rng(seed)
    seen, expected = np.exp(rng.normal(size=(2, *coherence.shape), scale=2.0))
    return np.stack([seen, expected, np.sqrt(coherence * seen * expected)]).astype(np.float32)


@pytest.mark.parametrize("order", [0, 2])
@pytest.mark.parametrize("patches", [6, 60, 400])
def test_filters_from_spectra(patches: int, order: int) -> None:
    """Of random spectra, which no view has, and of none in common."""
    side = cpu_align.PATCH_PX
    for seed, most in ((1, 1.5), (2, 0.3), (3, 0.0)):
        coherence = np.clip(most * np.random.default_rng(seed).random((side, side)), 0.0, 1.0)
        spectra = spectra_of(coherence, seed)
        mean = np.append(spectra, np.float32(patches))
        filters, band = cuda_align._filters(cuda(order).device, mean)
        expected = cpu_align._filters_of(spectra, patches)
        if expected is None:
            assert band[0] == 0.0 and not filters.any()
            continue
        assert band[0] == pytest.approx(expected[2], abs=2.5 / side**2)
        for mine, other in zip(filters, expected):
            assert np.abs(mine - other).max() < FILTERS * np.abs(other).max()


def test_filters_need_patches() -> None:
    side = cpu_align.PATCH_PX
    mean = np.append(spectra_of(np.full((side, side), 0.9), 1), np.float32(5))
    filters, band = cuda_align._filters(cuda().device, mean)
    assert band[0] == 0.0 and not filters.any()


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("blocks", [1, 2, 3, 16, 1023, 2500])
def test_blocks_are_weighed_by_the_noise_around_them(blocks: int, order: int) -> None:
    """By the very median, of an even number or an odd one, of equal noises, and of some unknown."""
    rng = np.random.default_rng(blocks)
    sums = rng.normal(size=(7, blocks)).astype(np.float32)
    least, band = np.float32(cpu_align.LEAST_NOISE_SHARE), np.array([0.3], np.float32)
    several = np.exp(3.0 * rng.normal(size=blocks))
    noises = (several, np.round(several), 1.0 + 1e-6 * rng.random(blocks), np.zeros(blocks))
    for noise, share in zip(noises, (1.0, 0.7, 0.9, 0.8)):
        noise = np.where(rng.random(blocks) < share, noise, np.nan).astype(np.float32)
        weighed = np.empty(5 * blocks + 1, np.float32)
        taken = (sums, noise, np.int32(blocks), band, least, weighed)
        cuda(order).device.launch("align_weights", (1,), (cuda_align.WEIGHTS_THREADS,), taken)
        assert weighed[-1] == band[0]
        finite = noise[np.isfinite(noise)]
        with np.errstate(divide="ignore"):
            floor = least * np.median(finite) if finite.size else np.float32(0)
            scale = band / (noise + floor)
        expected = (sums[2:] * np.outer([1, 1, 1, -1, -1], scale).astype(np.float32)).T
        np.testing.assert_array_equal(weighed[:-1].reshape(-1, 5), expected)


@pytest.mark.parametrize("order", [1, 2])
def test_nothing_depends_on_the_order_of_threads_and_blocks(order: int) -> None:
    image, predicted = view(80, 80)
    straight, mixed = cuda(), cuda(order)
    np.testing.assert_array_equal(contrast(straight, image), contrast(mixed, image))
    one, other = (align(each, image, predicted) for each in (straight, mixed))
    assert one is not None and other is not None
    np.testing.assert_array_equal(one.information, other.information)
    np.testing.assert_array_equal(one.pull, other.pull)


@pytest.mark.parametrize("at", [0, 4, 9])
def test_running_out_of_memory_costs_the_call_and_no_result(
    at: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, predicted = view(70, 70)
    cupy = FakeCupy()
    ours = CudaBackend(cupy)
    may_fail, allocations = cupy._may_fail, iter(range(10_000))

    def fail_once() -> None:
        if next(allocations) == at:
            cupy.fail_next = OutOfMemoryError("Out of memory allocating 512 bytes")
        may_fail()

    monkeypatch.setattr(cupy, "_may_fail", fail_once)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(contrast(ours, image), CPU.contrast(image))
    allocations = iter(range(10_000))
    with caplog.at_level(logging.WARNING):
        assert_same(align(ours, image, predicted), CPU.align(image, predicted))
    assert ours.fallbacks == 2
    assert "out of memory" in caplog.text
