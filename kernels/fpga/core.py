"""The whole core: AXI4-Lite registers, an AXI4-Stream of pixels in and one of results out."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from kernels.fpga.correlator import Correlator
from kernels.fpga.feeder import Feeder
from kernels.fpga.parameters import Parameters
from kernels.fpga.ranking import WORD_BITS, Ranking
from kernels.fpga.registers import VERSION, Registers, register_signature

STREAM_BITS = 8
_BUS = (
    "awaddr", "awvalid", "awready", "wdata", "wstrb", "wvalid", "wready", "bresp", "bvalid",
    "bready", "araddr", "arvalid", "arready", "rdata", "rresp", "rvalid", "rready",
)  # fmt: skip


class Core(wiring.Component):
    """Searches as many landmarks a run as its registers say.

    In, a byte a transfer: for each landmark its template, column by column, then its window, row by
    row; TLAST with the last pixel. Out, 64 bits a transfer: see docs/fpga.md; TLAST with the last
    word of each landmark.
    """

    def __init__(self, parameters: Parameters, *, instances: bool) -> None:
        self._parameters = parameters
        self._instances = instances
        registers = register_signature().members
        super().__init__(
            {
                **{f"s_axi_{name}": registers[name] for name in _BUS},
                "s_axis_tdata": In(STREAM_BITS),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "s_axis_tlast": In(1),
                "m_axis_tdata": Out(WORD_BITS),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                "m_axis_tlast": Out(1),
                "interrupt": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        p = self._parameters
        side = p.most_window_px.bit_length()
        m = Module()
        m.submodules.registers = registers = Registers()
        m.submodules.feeder = feeder = Feeder(p, instances=self._instances)
        m.submodules.correlator = correlator = Correlator(p, instances=self._instances)
        m.submodules.ranking = ranking = Ranking(p, instances=self._instances)

        for name in _BUS:
            inner, outer = getattr(registers, name), getattr(self, f"s_axi_{name}")
            into = registers.signature.members[name].flow is In
            m.d.comb += inner.eq(outer) if into else outer.eq(inner)
        m.d.comb += [
            feeder.data.eq(self.s_axis_tdata[: p.bits]),
            feeder.valid.eq(self.s_axis_tvalid),
            feeder.last.eq(self.s_axis_tlast),
            self.s_axis_tready.eq(feeder.ready),
            self.m_axis_tdata.eq(ranking.data),
            self.m_axis_tvalid.eq(ranking.valid),
            self.m_axis_tlast.eq(ranking.last),
            ranking.ready.eq(self.m_axis_tready),
            self.interrupt.eq(registers.interrupt),
        ]

        columns, rows, exclusion = Signal(side), Signal(side), Signal(side)
        every, fits, started = Signal(), Signal(), Signal()
        least = p.template_px + 2
        m.d.sync += [
            columns.eq(registers.window_columns),
            rows.eq(registers.window_rows),
            exclusion.eq(registers.exclusion),
            every.eq(registers.mode[0]),
            fits.eq(
                (registers.window_columns >= least)
                & (registers.window_columns <= p.most_window_px)
                & (registers.window_rows >= least)
                & (registers.window_rows <= p.most_window_px)
            ),
            ranking.columns.eq(columns - (p.template_px - 1)),
            ranking.rows.eq(rows - (p.template_px - 1)),
        ]
        m.d.comb += [
            feeder.window_columns.eq(columns),
            feeder.window_rows.eq(rows),
            feeder.landmarks.eq(registers.landmarks),
            correlator.window_columns.eq(columns),
            correlator.window_rows.eq(rows),
            ranking.exclusion.eq(exclusion),
            ranking.every_placement.eq(every),
            correlator.start.eq(feeder.filled),
            feeder.take.eq(correlator.take),
            correlator.bank.eq(feeder.bank),
            correlator.template_sum.eq(feeder.template_sum),
            feeder.template_address.eq(correlator.template_address),
            correlator.template_column.eq(feeder.template_column),
            correlator.row_waits.eq(feeder.row_waits),
            feeder.pop.eq(correlator.pop),
            correlator.pixel.eq(feeder.pixel),
            correlator.free.eq(ranking.free & ~ranking.begin),
            ranking.begin.eq(correlator.begin),
            ranking.placed.eq(correlator.placed),
            ranking.complete.eq(correlator.complete),
            ranking.numerator.eq(correlator.numerator),
            ranking.energy.eq(correlator.energy),
        ]

        left = Signal(16)
        unfit = Signal()
        cycles = Signal(32)
        idle = Signal()
        m.d.comb += [
            registers.idle.eq(idle),
            registers.cycles.eq(cycles),
            registers.status.eq(Cat(unfit, feeder.misplaced_last)),
            registers.shape.eq(Cat(Const(p.template_px, 16), Const(p.columns, 16))),
            registers.limits.eq(
                Cat(Const(p.most_window_px, 16), Const(p.bits, 8), Const(VERSION, 8))
            ),
        ]
        with m.FSM() as fsm:
            m.d.comb += idle.eq(fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                with m.If(registers.start):
                    # The registers behind the window's size settle meanwhile.
                    m.d.sync += [cycles.eq(0), unfit.eq(0), left.eq(registers.landmarks[:16])]
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += started.eq(1)
                with m.If(started):
                    m.d.sync += started.eq(0)
                    with m.If(fits & (left != 0)):
                        m.d.comb += feeder.run.eq(1)
                        m.next = "RUN"
                    with m.Else():
                        m.d.sync += unfit.eq(~fits)
                        m.d.comb += registers.done.eq(1)
                        m.next = "IDLE"
            with m.State("RUN"):
                m.d.sync += cycles.eq(cycles + 1)
                with m.If(ranking.finished):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 1):
                        m.d.comb += registers.done.eq(1)
                        m.next = "IDLE"
        return m
