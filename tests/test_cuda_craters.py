"""The CUDA crater response, executed on the CPU from its own source, agrees with the CPU's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.host_cuda import shim
from tests.host_cuda.fake_cupy import FakeCupy
from tests.pictured import craters_pictured
from tests.test_correlate import texture
from trn.backend import cpu_crater, cuda_craters
from trn.backend.cpu import CpuBackend
from trn.backend.cuda import CudaBackend
from trn.backend.cuda_craters import CraterScales
from trn.backend.protocol import CraterPeaks
from trn.detect.filter import detect_craters

pytestmark = pytest.mark.skipif(shim.why_not() != "", reason=shim.why_not())

RESPONSE = 1e-5
"""Of a response of about 1: float sums over 169 pixels, and OpenCV's own bilinear weights."""
CPU = CpuBackend()
RADII = np.array([2.5, 4.0, 5.1, 8.0, 8.1, 11.0, 15.0, 16.0, 23.0])
"""Below the bowl's own size, on the edge of an octave, just beside it, and in between."""
SHAPES = [(13, 13), (14, 150), (97, 61), (130, 171)]


def backend(order: int = 0) -> CudaBackend:
    return CudaBackend(FakeCupy(order), strict=True)


def image_of(shape: tuple[int, int], seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def found_by_both(
    image: NDArray[np.float32],
    sun_px: float | None,
    least: float,
    order: int = 0,
    radii: NDArray[np.float64] = RADII,
) -> tuple[CraterPeaks, CraterPeaks]:
    image.setflags(write=False)
    cuda = backend(order)
    ours = cuda.crater_response(cuda.load_image(image), radii, sun_px, least)
    return ours, CPU.crater_response(image, radii, sun_px, least)


def assert_same_peaks(ours: CraterPeaks, theirs: CraterPeaks) -> None:
    """The same places in the same order; response and Sun within rounding."""
    for name in ("x", "y", "radius_px"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name))
    assert np.abs(ours.score - theirs.score).max(initial=0.0) < RESPONSE
    # The angle of two parts is as good as they are, measured against their length.
    turn = np.abs(np.exp(1j * ours.sun_px) - np.exp(1j * theirs.sun_px))
    assert (turn * theirs.score).max(initial=0.0) < 2 * RESPONSE


@pytest.mark.parametrize("sun_px", [None, 0.7])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_every_scale_responds_as_on_the_cpu(
    shape: tuple[int, int], sun_px: float | None, order: int
) -> None:
    image = image_of(shape)
    cuda = backend(order)
    scales = CraterScales(shape, RADII)
    kernel = cpu_crater.kernel_for(sun_px)
    flat, _, _ = cuda_craters.responses(cuda.device, cuda.load_image(image), scales, kernel)
    expected = cpu_crater.responses(image, RADII, sun_px, lambda count, work, _: work(0, count))
    assert [scale.shape[1:] for scale in expected] == scales.shapes
    assert flat.shape == (sum(scale.size for scale in expected),)
    ours = np.split(flat, np.cumsum([scale.size for scale in expected])[:-1])
    for mine, scale in zip(ours, expected):
        assert np.abs(mine.reshape(scale.shape) - scale).max() < RESPONSE


@pytest.mark.parametrize("sun_px", [None, -2.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_peaks_stand_in_the_same_places_in_the_same_order(
    shape: tuple[int, int], sun_px: float | None
) -> None:
    ours, theirs = found_by_both(image_of(shape, 1), sun_px, 0.1)
    assert_same_peaks(ours, theirs)
    assert len(theirs) > 2


@pytest.mark.parametrize("order", [1, 2, 3])
def test_peaks_do_not_depend_on_the_order_of_threads_and_blocks(order: int) -> None:
    image = image_of((90, 110), 2)
    straight, _ = found_by_both(image, None, 0.1)
    mixed, _ = found_by_both(image, None, 0.1, order)
    for name in vars(straight):
        assert np.array_equal(getattr(straight, name), getattr(mixed, name))


def test_a_bright_frame_of_faint_contrast_keeps_its_peaks() -> None:
    image = (1000.0 + 5.0 * texture(3, 120)).astype(np.float32)
    ours, theirs = found_by_both(image, None, 0.2)
    assert_same_peaks(ours, theirs)
    assert len(theirs) > 5


def test_the_rounding_of_bright_floats_looks_like_nothing() -> None:
    noise = 1e-4 * image_of((90, 110), 5)
    ours, theirs = found_by_both((1000.0 + noise).astype(np.float32), None, 0.2)
    assert len(ours) == len(theirs) == 0
    assert len(found_by_both(noise, None, 0.2)[1]) > 5


def test_of_places_exactly_as_strong_the_first_one_counts() -> None:
    # Mirrored up and down at its own scale: every peak has a twin that is as strong to the bit.
    half = image_of((40, 70), 4)
    image = np.concatenate([half, half[::-1]])
    ours, theirs = found_by_both(image, None, 0.1, radii=np.array([4.0]))
    assert_same_peaks(ours, theirs)
    assert len(theirs) > 20


def peaks_of_responses(
    responses: list[NDArray[np.float32]], least: float, order: int = 0
) -> tuple[CraterPeaks, CraterPeaks]:
    """Peaks that the kernel and the CPU find in given responses of the scales of RADII."""
    cuda = backend(order)
    scales = CraterScales(SHAPES[3], RADII)
    room = np.zeros(8 + 32 * scales.most_peaks, dtype=np.uint8)
    flat = np.concatenate([response.ravel() for response in responses])
    parts = len(responses[0])
    found = cuda_craters.find_peaks(cuda.device, flat, scales.table, room, scales, parts, least)
    expected = []
    for k, response in enumerate(responses):
        peaks = np.empty((cpu_crater.most_peaks(*response.shape[1:]), 5))
        below, above = responses[max(k - 1, 0)], responses[min(k + 1, len(responses) - 1)]
        expected.append(peaks[: cpu_crater.find_peaks(below, response, above, least, peaks)])
    return scales.peaks_of(found, None), cpu_crater.peaks_of(
        expected, SHAPES[3], scales.shapes, scales.radii_px, None
    )


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("steps", [1, 3, 20])
def test_responses_full_of_ties_give_the_cpus_peaks_to_the_bit(parts: int, steps: int) -> None:
    random = np.random.default_rng(steps)
    responses = [
        (random.integers(-steps, steps + 1, (parts, *shape)) / 20).astype(np.float32)
        for shape in CraterScales(SHAPES[3], RADII).shapes
    ]
    # The least response that counts is one that there is.
    ours, theirs = peaks_of_responses(responses, float(np.float32(steps / 20)), order=steps)
    for name in vars(theirs):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name))
    assert len(theirs) > 0


def test_a_plateau_has_one_peak_and_a_lattice_as_many_as_the_cpu_keeps() -> None:
    shapes = CraterScales(SHAPES[3], RADII).shapes
    plateau = [np.full((1, *shape), 0.5, dtype=np.float32) for shape in shapes]
    ours, theirs = peaks_of_responses(plateau, 0.5)
    assert len(ours) == len(theirs) == len(shapes)
    lattice = [np.zeros((1, *shape), dtype=np.float32) for shape in shapes]
    for scale in lattice:
        scale[0, ::2, ::2] = 1.0
    ours, theirs = peaks_of_responses(lattice, 0.5)
    assert len(ours) > cuda_craters.FIRST_PEAKS
    for name in vars(theirs):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name))


def test_flat_small_and_lost_frames_end_as_on_the_cpu() -> None:
    flat = np.full((60, 60), 3.0, dtype=np.float32)
    small = image_of((12, 80))
    nothing = np.empty(0)
    for ours, theirs in (
        found_by_both(flat, 0.0, 0.3),
        found_by_both(small, None, 0.1, radii=np.array([4.0, 50.0])),
        found_by_both(image_of((40, 40)), None, 0.1, radii=nothing),
    ):
        assert len(ours) == len(theirs) == 0
    lost = image_of((40, 40))
    lost[20, 20] = np.nan
    with np.errstate(invalid="ignore"):
        ours, theirs = found_by_both(lost, 0.3, 0.2)
    assert len(ours) == len(theirs) == 0


def test_the_craters_of_a_frame_are_those_of_the_cpu() -> None:
    random = np.random.default_rng(6)
    a = random.uniform(6.0, 14.0, 12)
    circles = np.column_stack(
        [random.uniform(20, 236, 12), random.uniform(20, 236, 12), a, a, np.zeros(12)]
    )
    image = craters_pictured(circles, 256, 0.5, noise=1.0)
    ours, theirs = (detect_craters(image, backend=used) for used in (backend(), CPU))
    assert len(ours) == len(theirs) > 3
    assert np.abs(ours.values[:, :4] - theirs.values[:, :4]).max() < 0.1  # pixels
    assert math.isclose(float(ours.score.sum()), float(theirs.score.sum()), rel_tol=1e-3)
