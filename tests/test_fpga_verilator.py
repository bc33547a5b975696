"""The core's Verilog, compiled by Verilator, is the model on 100,000 placements and more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from trn.backend import fpga_simulation, select
from trn.backend.fixed_point import Levels, frame_levels, placements, search
from trn.backend.fpga_simulation import Setting, Words, compile_verilog, compiled_core, run_core
from trn.backend.fpga_words import RESULT_WORDS, placements_of, result_of
from trn.backend.protocol import Searches
from trn.errors import WorkError
from trn.resources import resource_path

missing = pytest.mark.skipif(
    bool(fpga_simulation.missing_tools()), reason="needs verilator, g++ and make"
)


def needs_tools(test: Callable[..., None]) -> Callable[..., None]:
    """Compiling the cores takes minutes."""
    return pytest.mark.slow(missing(test))


def verilog(*names: str) -> list[Path]:
    return [resource_path("kernels", f"fpga/verilog/{name}") for name in names]


def noise(seed: int, *shape: int) -> Levels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def pictured(seed: int, *shape: int) -> Levels:
    return frame_levels(cv2.GaussianBlur(noise(seed, *shape).astype(np.float32), (0, 0), 1.5))


def landmarks(side: int, shape: tuple[int, int], count: int) -> tuple[list[Levels], list[Levels]]:
    """Windows and templates: noise, pictures, and the extremes of what 8 bits can hold."""
    rows, columns = np.indices(shape)
    board = (255 * ((rows + columns) % 2)).astype(np.uint8)
    half = np.where(columns < shape[1] // 2, 255, 0).astype(np.uint8)
    white = np.full(shape, 255, np.uint8)
    windows = [white, board, half, white, *(noise(k, *shape) for k in range(3))]
    windows += [pictured(k, *shape) for k in range(len(windows), count)]
    templates = [each[3 : 3 + side, 2 : 2 + side].copy() for each in windows]
    templates[3] = board[:side, :side]
    templates[2] = half[:side, shape[1] // 2 - side // 2 :][:, :side].copy()
    return windows[:count], templates[:count]


def wrong(words: list[Words], windows: list[Levels], templates: list[Levels], near: int) -> int:
    """How many landmarks are not the model's, peaks and, where they came, all placements."""
    assert len(words) == len(windows)
    count = 0
    for each, window, template in zip(words, windows, templates):
        ours, model = vars(result_of(each.words)), vars(search(window, template, near))
        alike = all(np.array_equal(ours[name], model[name]) for name in model)
        if len(each.words) > RESULT_WORDS:
            got = placements_of(each.words[RESULT_WORDS:])
            alike &= all(
                np.array_equal(mine, its.ravel())
                for mine, its in zip(got, placements(window, template))
            )
        count += not alike
    return count


@needs_tools
@pytest.mark.parametrize(
    ("part", "core", "count", "placements"),
    [
        ("ecp5", "trn_core.v", 22, 100_000),
        ("nexus", "trn_core_nexus.v", 8, 30_000),
    ],
)
def test_the_netlist_that_is_placed_is_the_model(
    part: str, core: str, count: int, placements: int
) -> None:
    # The vendor's multipliers and RAMs as instantiated, in models of their own.
    blocks = (f"{part}_{name}.v" for name in ("multiplier", "block_ram", "models"))
    host = compile_verilog(verilog(core, *blocks))
    windows, templates = landmarks(32, (100, 100), count)
    assert count * (100 - 32 + 1) ** 2 > placements
    words = run_core(host, windows, templates, 8, Setting(every_placement=True))
    assert sum(len(each.words) - RESULT_WORDS for each in words) == 2 * count * (100 - 32 + 1) ** 2
    assert wrong(words, windows, templates, 8) == 0


@needs_tools
@pytest.mark.parametrize("size", sorted(fpga_simulation.CORES))
def test_every_core_is_the_model_under_stalls(size: int) -> None:
    host = compiled_core(size)
    windows, templates = landmarks(size, (size + 12, size + 9), 10)
    for into, out in ((0.0, 0.0), (0.3, 0.0), (0.0, 0.6), (0.97, 0.97)):
        setting = Setting(every_placement=True, stall_in=into, stall_out=out, seed=size)
        assert wrong(run_core(host, windows, templates, 4, setting), windows, templates, 4) == 0


@needs_tools
@pytest.mark.parametrize("pixels", [200, 700, 1500, 3000])
def test_a_reset_in_mid_run_leaves_no_trace(pixels: int) -> None:
    windows, templates = landmarks(21, (31, 33), 8)
    setting = Setting(every_placement=True, reset_after=pixels)
    words = run_core(compiled_core(21), windows, templates, 4, setting)
    assert wrong(words, windows, templates, 4) == 0


@needs_tools
def test_a_multiplier_that_lacks_a_bit_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (whole,) = verilog("generic_multiplier.v")
    lacking = tmp_path / "generic_multiplier.v"
    text = whole.read_text()
    assert "p <= inner;" in text
    lacking.write_text(text.replace("p <= inner;", "p <= inner[A_BITS+B_BITS-2:0];"))
    host = compile_verilog([*verilog("trn_core_21.v", "generic_block_ram.v"), lacking])
    windows, templates = landmarks(21, (31, 33), 7)
    words = run_core(host, windows, templates, 4, Setting(every_placement=True))
    assert wrong(words, windows, templates, 4) >= 3


@needs_tools
@pytest.mark.parametrize("size", [21, 41])
def test_the_backend_with_the_core_says_what_the_one_with_the_model_says(size: int) -> None:
    rng = np.random.default_rng(size)
    image = cv2.GaussianBlur(rng.normal(size=(220, 200)).astype(np.float32), (0, 0), 2.0)
    predicted = image + 0.1 * rng.normal(size=image.shape).astype(np.float32)
    count, reach = 12, 20
    x = rng.integers(reach, 200 - size - reach, count).astype(np.int32)
    y = rng.integers(reach, 220 - size - reach, count).astype(np.int32)
    tried = [rng.integers(3, 2 * reach, count).astype(np.int32) for _ in range(2)]
    searches = Searches(size, x, y, x - tried[0] // 2, y - tried[1] // 2, *tried)
    ours, models = (
        select.select_backend(name).correlate(image, predicted, searches)
        for name in ("fpga-sim", "fpga-model")
    )
    assert models.inside.any()
    for name, value in vars(models).items():
        assert np.array_equal(getattr(ours, name), value), name


def test_without_tools_there_is_one_line_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fpga_simulation, "missing_tools", lambda: ["verilator"])
    monkeypatch.setattr(select, "missing_tools", lambda: ["verilator"])
    with pytest.raises(WorkError, match=r"verilator not found; apt install verilator g\+\+ make"):
        compiled_core(21)
    with pytest.raises(WorkError, match=r"verilator not found.*or use --backend fpga-model"):
        select.select_backend("fpga-sim")


def test_a_size_without_a_core_is_turned_away() -> None:
    search_all: Callable[..., object] = fpga_simulation.search_all
    with pytest.raises(WorkError, match=r"no core for templates of 8 pixels; has 21, 32, 41"):
        search_all([noise(1, 12, 12)], [noise(2, 8, 8)], 2)
