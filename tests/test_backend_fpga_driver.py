"""The driver's register traffic and transfers, against a stand-in for core and DMA."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trn.backend import fpga_driver
from trn.backend.fixed_point import CoreResult, Levels, search
from trn.backend.fpga_driver import CoreDriver, register_offsets
from trn.backend.fpga_words import RESULT_WORDS, result_of
from trn.errors import InputError, WorkError

SIDE = 8


def words_of(result: CoreResult) -> NDArray[np.uint64]:
    """The words that the core sends for a result."""
    has_second = result.second_numerator > 0
    header = result.x | result.y << 16 | result.found << 32 | has_second << 33
    pairs = np.stack([result.numerators.ravel(), result.energies.ravel()], axis=-1).ravel()
    second = [result.second_numerator, result.second_energy]
    return np.array([header, *pairs, *second], dtype=np.int64).view(np.uint64)


class StandIn:
    """A core with its registers and both DMA channels, which computes as the model does."""

    def __init__(self, hangs: bool = False) -> None:
        self.offsets = register_offsets()
        self.registers = dict.fromkeys(self.offsets.values(), 0)
        self.registers[self.offsets["shape"]] = SIDE | 2 << 16
        self.registers[self.offsets["limits"]] = 40 | 8 << 16 | 1 << 24
        self.written: list[tuple[str, int]] = []
        self.hangs = hangs
        self.left = 0
        self.out: Any = None

    def read(self, offset: int) -> int:
        if offset == self.offsets["control"]:
            return 0 if self.left or self.hangs else fpga_driver.DONE | fpga_driver.IDLE
        return self.registers[offset]

    def write(self, offset: int, value: int) -> None:
        name = next(name for name, its in self.offsets.items() if its == offset)
        self.written.append((name, value))
        self.registers[offset] = value
        if name == "control":
            self.left = self.registers[self.offsets["landmarks"]]

    def transfer(self, buffer: Any) -> None:
        if buffer.dtype == np.uint64:
            self.out = buffer
            return
        assert self.left > 0, "pixels before the start"
        shape = (
            self.registers[self.offsets["window_rows"]],
            self.registers[self.offsets["window_columns"]],
        )
        assert buffer.size == SIDE * SIDE + shape[0] * shape[1]
        template = buffer[: SIDE * SIDE].reshape(SIDE, SIDE).T
        window = buffer[SIDE * SIDE :].reshape(shape)
        found = search(window, template, self.registers[self.offsets["exclusion"]])
        self.out[:] = words_of(found)
        self.left -= 1

    def wait(self) -> None:
        assert self.out is not None


def noise(seed: int, *shape: int) -> Levels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_words_hold_a_result() -> None:
    window = noise(1, 14, 15)
    result = search(window, window[2:10, 3:11], 2)
    again = result_of(words_of(result))
    assert words_of(result).size == RESULT_WORDS
    for name, value in vars(result).items():
        assert np.array_equal(getattr(again, name), value)


def test_runs_of_one_window_size_are_set_up_once_and_give_the_models_results() -> None:
    core = StandIn()
    driver = CoreDriver(core, core, core)
    windows = [noise(k, *shape) for k, shape in enumerate([(12, 14), (12, 14), (11, 10)])]
    templates = [window[1:9, 2:10] for window in windows]
    results = driver.search_all(windows, templates, 3)
    for result, window, template in zip(results, windows, templates):
        model = search(window, template, 3)
        assert all(np.array_equal(vars(result)[name], vars(model)[name]) for name in vars(model))
    first = [("window_columns", 14), ("window_rows", 12), ("exclusion", 3), ("mode", 0)]
    assert core.written[:6] == [*first, ("landmarks", 2), ("control", fpga_driver.START)]
    second = [("window_columns", 10), ("window_rows", 11), ("exclusion", 3), ("mode", 0)]
    assert core.written[6:] == [*second, ("landmarks", 1), ("control", fpga_driver.START)]


@pytest.mark.parametrize(("window", "side"), [((9, 20), 8), ((20, 41), 8), ((20, 20), 9)])
def test_sizes_that_the_core_does_not_take_are_turned_away(
    window: tuple[int, int], side: int
) -> None:
    core = StandIn()
    with pytest.raises(InputError, match="it takes"):
        CoreDriver(core, core, core).search_all([noise(1, *window)], [noise(2, side, side)], 2)
    assert core.written == []


def test_a_core_that_does_not_finish_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fpga_driver, "SECONDS_TO_FINISH", 0.0)
    core = StandIn(hangs=True)
    with pytest.raises(WorkError, match="not done, status 0x0"):
        CoreDriver(core, core, core).search_all([noise(1, 12, 12)], [noise(2, 8, 8)], 2)


def test_where_there_is_no_core_the_driver_says_so() -> None:
    core = StandIn()
    core.registers[core.offsets["shape"]] = 0
    with pytest.raises(WorkError, match="load its bitstream"):
        CoreDriver(core, core, core)
