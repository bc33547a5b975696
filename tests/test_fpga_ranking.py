"""The core ranks placements exactly, up to the largest numbers that it can meet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("amaranth", reason="the FPGA core needs amaranth: pip install '.[fpga]'")

from amaranth.sim import Simulator

from kernels.fpga.parameters import Parameters
from kernels.fpga.ranking import RING, Ranking
from trn.backend.fixed_point import ranked
from trn.backend.fpga_words import RESULT_WORDS, result_of

LARGEST = Parameters(template_px=45, columns=3, most_window_px=60)
MOST = LARGEST.most_energy

Integers = NDArray[np.int64]


def ranked_by_the_core(numerators: Integers, energies: Integers, exclusion: int) -> Any:
    """The result of a ranking stage that is given these placements, one a cycle."""
    rows, columns = numerators.shape
    stage = Ranking(LARGEST, instances=False)
    simulator = Simulator(stage)
    simulator.add_clock(1e-8)
    words: list[int] = []

    async def host(ctx: Any) -> None:
        for port, value in (
            (stage.columns, columns), (stage.rows, rows), (stage.exclusion, exclusion),
            (stage.ready, 1), (stage.begin, 1),
        ):  # fmt: skip
            ctx.set(port, value)
        await ctx.tick()
        ctx.set(stage.begin, 0)
        ctx.set(stage.placed, 1)
        for k in range(rows * columns):
            ctx.set(stage.numerator, int(numerators.flat[k]))
            ctx.set(stage.energy, int(energies.flat[k]))
            ctx.set(stage.complete, k == rows * columns - 1)
            await ctx.tick()
        ctx.set(stage.placed, 0)
        while len(words) < RESULT_WORDS:
            *_, valid, word = await ctx.tick().sample(stage.valid, stage.data)
            if valid:
                words.append(int(word))

    simulator.add_testbench(host)
    simulator.run()
    return result_of(np.array(words, dtype=np.uint64))


def spread(rng: np.random.Generator, count: int) -> tuple[list[int], list[int]]:
    """Numbers of every size, both signs, and some energies of zero."""
    energies = [int(2 ** rng.uniform(0, 35.4)) for _ in range(count)]
    energies[::7] = [0] * len(energies[::7])
    numerators = [int(rng.uniform(-1, 1) * (energy * MOST) ** 0.5) for energy in energies]
    return numerators, energies


def nearly_equal(rng: np.random.Generator, count: int) -> tuple[list[int], list[int]]:
    """Ratios that are equal, or differ by one in the last place, at full width."""
    energies = [MOST - int(rng.integers(0, 3)) for _ in range(count)]
    return [MOST - int(rng.integers(0, 3)) for _ in range(count)], energies


def equal(rng: np.random.Generator, count: int) -> tuple[list[int], list[int]]:
    """One ratio in many forms: n = 3 k, E = 5 k^2."""
    factors = rng.integers(1, 90_000, count)
    return [3 * int(k) for k in factors], [5 * int(k) ** 2 for k in factors]


def nothing(rng: np.random.Generator, count: int) -> tuple[list[int], list[int]]:
    """No placement that correlates positively."""
    return [-int(n) for n in rng.integers(0, 2**35, count)], [MOST] * count


@pytest.mark.parametrize("exclusion", [0, 2])
@pytest.mark.parametrize("numbers", [spread, nearly_equal, equal, nothing])
def test_the_core_ranks_as_the_model(numbers: Any, exclusion: int) -> None:
    rng = np.random.default_rng(exclusion + 31)
    shape = (5, 7)
    assert shape[0] * shape[1] > 2 * RING
    numerators, energies = (
        np.array(values, dtype=np.int64).reshape(shape)
        for values in numbers(rng, shape[0] * shape[1])
    )
    assert np.abs(numerators).max() <= MOST and energies.max() <= MOST
    ours = ranked_by_the_core(numerators, energies, exclusion)
    model = ranked(numerators, energies, exclusion)
    for name, value in vars(model).items():
        assert np.array_equal(getattr(ours, name), value), name
