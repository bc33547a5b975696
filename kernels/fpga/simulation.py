"""The core in Amaranth's simulator, with bus and streams driven as a host would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from amaranth import ClockDomain, Module
from amaranth.sim import Simulator
from numpy.typing import NDArray

from kernels.fpga.core import Core
from kernels.fpga.parameters import Parameters
from kernels.fpga.registers import REGISTERS
from trn.backend.fpga_words import pixels_of

Levels = NDArray[np.uint8]
MOST_CYCLES = 100_000
OFFSETS = {each.name: each.offset for each in REGISTERS}


@dataclass
class Run:
    """What came out: the words of each landmark, and what registers held afterwards."""

    words: list[NDArray[np.uint64]] = field(default_factory=list)
    registers: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Stalls:
    """Share of the cycles in which the input offers nothing and the output takes nothing."""

    into: float = 0.0
    out: float = 0.0
    seed: int = 0


def simulate(
    parameters: Parameters,
    windows: Sequence[Levels],
    templates: Sequence[Levels],
    exclusion: int,
    *,
    every_placement: bool = False,
    stalls: Stalls | None = None,
    reset_after_pixels: int | None = None,
    core: Core | None = None,
    streams: bool = True,
) -> Run:
    """Search landmarks in one run, their windows all of one size.

    reset_after_pixels: resets the core once so many bytes are in, then does all of the run.
    streams: False offers no pixels at all.
    """
    stalls = stalls or Stalls()
    core = core or Core(parameters, instances=False)
    landmarks = [pixels_of(t, w) for t, w in zip(templates, windows, strict=True)]
    lasts = {int(end) - 1 for end in np.cumsum([len(each) for each in landmarks])}
    stream = np.concatenate(landmarks).tolist()
    settings = {
        "window_columns": windows[0].shape[1],
        "window_rows": windows[0].shape[0],
        "exclusion": exclusion,
        "mode": int(every_placement),
        "landmarks": len(windows),
        "control": 1,
    }
    run = Run()
    top = Module()
    top.domains.sync = domain = ClockDomain()
    top.submodules.core = core
    simulator = Simulator(top)
    simulator.add_clock(1e-8)

    async def write(ctx, name: str, value: int) -> None:
        ctx.set(core.s_axi_awaddr, OFFSETS[name])
        ctx.set(core.s_axi_wdata, value)
        ctx.set(core.s_axi_wstrb, 15)
        for valid in (core.s_axi_awvalid, core.s_axi_wvalid, core.s_axi_bready):
            ctx.set(valid, 1)
        await ctx.tick().until(core.s_axi_awready & core.s_axi_wready)
        ctx.set(core.s_axi_awvalid, 0)
        ctx.set(core.s_axi_wvalid, 0)
        await ctx.tick().until(core.s_axi_bvalid)

    async def read(ctx, name: str) -> int:
        ctx.set(core.s_axi_araddr, OFFSETS[name])
        ctx.set(core.s_axi_arvalid, 1)
        ctx.set(core.s_axi_rready, 1)
        await ctx.tick().until(core.s_axi_arready)
        ctx.set(core.s_axi_arvalid, 0)
        (value,) = await ctx.tick().sample(core.s_axi_rdata).until(core.s_axi_rvalid)
        return int(value)

    async def feed(ctx, count: int) -> None:
        rng = np.random.default_rng([stalls.seed, 0])
        sent = 0
        while sent < count:
            offered = rng.uniform() >= stalls.into
            ctx.set(core.s_axis_tvalid, offered)
            ctx.set(core.s_axis_tdata, stream[sent])
            ctx.set(core.s_axis_tlast, sent in lasts)
            *_, ready = await ctx.tick().sample(core.s_axis_tready)
            sent += bool(offered and ready)
        ctx.set(core.s_axis_tvalid, 0)

    async def host(ctx) -> None:
        if reset_after_pixels is not None:
            for name, value in settings.items():
                await write(ctx, name, value)
            await feed(ctx, reset_after_pixels)
            ctx.set(domain.rst, 1)
            await ctx.tick()
            await ctx.tick()
            ctx.set(domain.rst, 0)
            run.words.clear()
        for name, value in settings.items():
            await write(ctx, name, value)
        await feed(ctx, len(stream) if streams else 0)
        while not await read(ctx, "control") & 2:
            pass
        for name in OFFSETS:
            run.registers[name] = await read(ctx, name)

    async def drain(ctx) -> None:
        rng = np.random.default_rng([stalls.seed, 1])
        words: list[int] = []
        for _ in range(MOST_CYCLES):
            taken = rng.uniform() >= stalls.out
            ctx.set(core.m_axis_tready, taken)
            *_, valid, word, last, reset = await ctx.tick().sample(
                core.m_axis_tvalid, core.m_axis_tdata, core.m_axis_tlast, domain.rst
            )
            if reset:
                words = []
            elif valid and taken:
                words.append(int(word))
                if last:
                    run.words.append(np.array(words, dtype=np.uint64))
                    words = []
        raise RuntimeError(f"the core is not done after {MOST_CYCLES} cycles")

    simulator.add_testbench(host)
    simulator.add_testbench(drain, background=True)
    simulator.run()
    return run
