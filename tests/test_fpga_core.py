"""The FPGA core in Amaranth's simulator is the model, bit for bit, whatever is fed and however."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the FPGA core needs amaranth: pip install '.[fpga]'")

from kernels.fpga.core import Core
from kernels.fpga.parameters import LEAST_PASS, Parameters, bits_for
from kernels.fpga.ranking import RING
from kernels.fpga.registers import REGISTERS
from kernels.fpga.simulation import Levels, Run, Stalls, simulate
from trn.backend.fixed_point import frame_levels, placements, search
from trn.backend.fpga_words import RESULT_WORDS, placements_of, result_of
from trn.images import load_image

SMALL = Parameters(template_px=8, columns=2, most_window_px=24)


def noise(seed: int, *shape: int) -> Levels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def pictured(seed: int, rows: int, columns: int) -> Levels:
    smooth = cv2.GaussianBlur(noise(seed, rows, columns).astype(np.float32), (0, 0), 1.5)
    return frame_levels(smooth)


def differences(
    run: Run, windows: list[Levels], templates: list[Levels], exclusion: int
) -> list[str]:
    """In what the core's words differ from the model, in plain words."""
    found = []
    if len(run.words) != len(windows):
        found.append(f"{len(run.words)} results of {len(windows)}")
    for k, (words, window, template) in enumerate(zip(run.words, windows, templates)):
        ours, model = result_of(words), search(window, template, exclusion)
        for name, value in vars(model).items():
            if not np.array_equal(getattr(ours, name), value):
                found.append(f"landmark {k}: {name}")
        if len(words) > RESULT_WORDS:
            every = placements_of(words[RESULT_WORDS:])
            for name, got, wanted in zip(
                ("numerators", "energies"), every, placements(window, template)
            ):
                if not np.array_equal(got, wanted.ravel()):
                    found.append(f"landmark {k}: all {name}")
    return found


@pytest.mark.parametrize(
    ("parameters", "shape"),
    [
        (SMALL, (14, 16)),
        # P divides N, P does not, P = 1, and the smallest window, with passes of the least length.
        (Parameters(12, 4, 24), (15, 18)),
        (Parameters(9, 2, 20), (12, 15)),
        (Parameters(8, 1, 12), (10, 11)),
        (Parameters(8, 4, 12), (10, 10)),
        (Parameters(8, 2, 16, bits=5), (12, 13)),
    ],
)
def test_every_placement_and_the_peaks_are_the_models(
    parameters: Parameters, shape: tuple[int, int]
) -> None:
    side, idle_bits = parameters.template_px, 8 - parameters.bits
    windows = [noise(1, *shape) >> idle_bits, pictured(2, *shape) >> idle_bits]
    templates = [windows[0][1 : 1 + side, 2 : 2 + side], pictured(3, side, side) >> idle_bits]
    run = simulate(parameters, windows, templates, 2, every_placement=True)
    assert differences(run, windows, templates, 2) == []
    assert run.registers["status"] == 0
    assert run.registers["shape"] == side + (parameters.columns << 16)


def extremes(side: int, shape: tuple[int, int]) -> tuple[list[Levels], list[Levels]]:
    rows, columns = np.indices(shape)
    board = (255 * ((rows + columns) % 2)).astype(np.uint8)
    half = np.where(columns < shape[1] // 2, 255, 0).astype(np.uint8)
    white, grey = np.full(shape, 255, np.uint8), np.full(shape, 9, np.uint8)
    one = np.zeros(shape, np.uint8)
    one[shape[0] // 2, shape[1] // 2] = 255
    windows = [white, board, 255 - board, half, grey, one, white]
    corner = one[-side:, -side:]
    templates = [white, board, board, half[:, -side:], noise(4, *shape), corner, board]
    return windows, [template[:side, :side].copy() for template in templates]


def test_extreme_pixels_are_counted_exactly() -> None:
    windows, templates = extremes(8, (10, 11))
    run = simulate(SMALL, windows, templates, 1, every_placement=True)
    assert differences(run, windows, templates, 1) == []


def test_apollo_pixels_are_counted_exactly(data_dir: Path) -> None:
    frame = json.loads((data_dir / "apollo15/frames.json").read_text())["frames"][0]
    picture = load_image(data_dir / "apollo15" / frame["image"])
    levels = frame_levels(cv2.resize(picture.astype(np.float32), (160, 160), interpolation=3))
    windows = [levels[y : y + 12, 60:73].copy() for y in (30, 70, 110)]
    templates = [levels[y + 2 : y + 10, 63:71].copy() for y in (30, 71, 20)]
    run = simulate(SMALL, windows, templates, 2, every_placement=True)
    assert differences(run, windows, templates, 2) == []


@pytest.mark.parametrize(("into", "out"), [(0.5, 0.5), (0.97, 0.0), (0.0, 0.97), (0.97, 0.97)])
def test_stalls_change_nothing(into: float, out: float) -> None:
    windows, templates = [noise(5, 10, 10), noise(6, 10, 10)], [noise(7, 8, 8), noise(8, 8, 8)]
    if max(into, out) > 0.9:
        windows, templates = windows[:1], templates[:1]
    run = simulate(
        SMALL, windows, templates, 1, every_placement=True, stalls=Stalls(into, out, seed=3)
    )
    assert differences(run, windows, templates, 1) == []


@pytest.mark.parametrize("pixels", [30, 100, 230, 334])
def test_a_reset_in_mid_run_leaves_no_trace(pixels: int) -> None:
    windows, templates = [noise(k, 12, 13) for k in (9, 10)], [noise(k, 8, 8) for k in (11, 12)]
    run = simulate(SMALL, windows, templates, 1, every_placement=True, reset_after_pixels=pixels)
    assert differences(run, windows, templates, 1) == []
    assert run.registers["status"] == 0


def test_equal_peaks_go_to_the_first() -> None:
    template = noise(13, 8, 8)
    window = np.full((20, 20), 40, np.uint8)
    # 23 placements apart: in different slots of the ring.
    for y, x in ((0, 11), (9, 0), (9, 11)):
        window[y : y + 8, x : x + 8] = template
    run = simulate(SMALL, [window], [template], 2)
    assert (result_of(run.words[0]).x, result_of(run.words[0]).y) == (11, 0)
    assert differences(run, [window], [template], 2) == []


WIDTHS = ("column_sum_bits", "sum_bits", "product_sum_bits", "energy_bits", "numerator_bits")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_number_that_lacks_a_bit_is_seen(width: str) -> None:
    # Not N = 8: where N^2 is a power of two, the top bit of sum(T I) falls out of the numerator.
    whole = Parameters(9, 3, 20)
    lacking = property(lambda self: getattr(whole, width) - 1)
    narrow = type("Narrow", (Parameters,), {width: lacking})(9, 3, 20)
    windows, templates = (each[:2] for each in extremes(9, (11, 11)))
    run = simulate(narrow, windows, templates, 1, every_placement=True)
    assert any(": all " in each for each in differences(run, windows, templates, 1))


@pytest.mark.parametrize("size", [8, 21, 32, 41, 45])
def test_widths_hold_their_bounds_and_no_bit_is_idle(size: int) -> None:
    p = Parameters(size, 2, 2 * size)
    most = p.most_level
    for bits, bound in (
        (p.column_sum_bits, size * most),
        (p.column_square_bits, size * most**2),
        (p.sum_bits, size**2 * most),
        (p.product_sum_bits, size**2 * most**2),
        (p.energy_bits, max(k * (size**2 - k) for k in (size**2 // 2, size**2)) * most**2),
    ):
        assert 2 ** (bits - 1) <= bound < 2**bits
    # |numerator|^2 <= energy * template energy, each at most most_energy.
    assert math.isqrt(p.most_energy**2) < 2 ** (p.numerator_bits - 1)


def test_bits_hold_both_ends() -> None:
    for low, high in ((0, 0), (0, 255), (0, 256), (-1, 0), (-128, 127), (-129, 5), (-3, 300)):
        bits = bits_for(low, high)
        least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if low < 0 else (0, 2**bits - 1)
        assert least <= low and high <= most
        assert bits == 1 or not (least // 2 <= low and high <= most // 2)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [((7, 2, 20), "template_px"), ((16, 9, 20), "columns"), ((46, 2, 90), "energies pass")],
)
def test_parameters_that_cannot_be_built_are_turned_away(
    wrong: tuple[int, int, int], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Parameters(*wrong)


def test_a_window_out_of_range_is_refused_with_a_status() -> None:
    core = Core(SMALL, instances=False)
    window = noise(14, 9, 12)
    run = simulate(SMALL, [window], [noise(15, 8, 8)], 1, core=core, streams=False)
    assert run.words == []
    assert run.registers["status"] & 1


def test_a_landmark_takes_the_cycles_that_the_design_says() -> None:
    p = Parameters(12, 4, 24)
    windows, templates = [noise(16, 20, 22)], [noise(17, 12, 12)]
    cycles = simulate(p, windows, templates, 2).registers["cycles"]
    row = p.passes * max(22 - 12 + p.columns, LEAST_PASS)
    placements_tried = 9 * 11
    least = 12 * 12 + 12 * 22 + 9 * row + placements_tried + 2 * RING**2
    assert least < cycles < least + 500


def test_registers_lie_at_the_offsets_of_an_hls_overlay() -> None:
    offsets = [each.offset for each in REGISTERS]
    assert offsets[:4] == [0x00, 0x04, 0x08, 0x0C]
    assert all(offset % 8 == 0 for offset in offsets[4:])
    assert len(set(offsets)) == len(offsets)
