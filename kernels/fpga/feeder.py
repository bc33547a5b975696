"""The input stream: a template, column by column, then the window, row by row; and so on.

Templates go into one half of a RAM while the other half is in use, so that the next one is there
when a search ends. Window pixels wait in a FIFO for their row.
"""

from __future__ import annotations

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from kernels.fpga.parameters import Parameters
from kernels.fpga.primitives import BlockRam

FIFO_PIXELS = 2048


class Feeder(wiring.Component):
    """Takes the stream apart. `run` starts so many landmarks; `take` frees what was filled.

    filled: a template is whole; template_sum, bank: its sum and its half of the RAM. row_waits: a
    whole row of the window is in the FIFO; `pop` takes a pixel of it, which comes with the RAM's
    latency. misplaced_last: TLAST came elsewhere than at a landmark's last pixel, or not there.
    """

    def __init__(self, parameters: Parameters, *, instances: bool) -> None:
        side = (parameters.most_window_px).bit_length()
        columns = (parameters.passes * parameters.columns - 1).bit_length()
        super().__init__(
            {
                "data": In(parameters.bits),
                "valid": In(1),
                "ready": Out(1),
                "last": In(1),
                "run": In(1),
                "landmarks": In(16),
                "window_columns": In(side),
                "window_rows": In(side),
                "filled": Out(1),
                "template_sum": Out(parameters.sum_bits),
                "bank": Out(1),
                "take": In(1),
                "template_address": In(columns + 1),
                "template_column": Out(parameters.template_px * parameters.bits),
                "row_waits": Out(1),
                "pop": In(1),
                "pixel": Out(parameters.bits),
                "misplaced_last": Out(1),
            }
        )
        self._parameters = parameters
        self._instances = instances

    def elaborate(self, platform: object) -> Module:
        p = self._parameters
        m = Module()
        size = p.template_px
        m.submodules.template = template = BlockRam(
            size * p.bits, 2 ** len(self.template_address), instances=self._instances
        )
        m.submodules.fifo = fifo = BlockRam(p.bits, FIFO_PIXELS, instances=self._instances)

        filling = Signal()
        shifted = Signal(size * p.bits, reset_less=True)
        row = Signal(range(size))
        column = Signal(len(self.template_address) - 1)
        store = Signal()
        store_address = Signal(len(self.template_address))
        total = Signal(p.sum_bits)
        left = Signal(16)
        x = Signal.like(self.window_columns)
        y = Signal.like(self.window_rows)
        last_x = Signal.like(x)
        last_y = Signal.like(y)
        room = Signal()
        written = Signal(range(2 * FIFO_PIXELS))
        taken = Signal.like(written)
        level = Signal.like(written)
        accepted = Signal()
        ends = Signal()

        m.d.comb += [
            accepted.eq(self.valid & self.ready),
            template.write.eq(store),
            template.write_address.eq(store_address),
            template.write_data.eq(shifted),
            template.read_address.eq(self.template_address),
            self.template_column.eq(template.read_data),
            fifo.read_address.eq(taken[:-1]),
            self.pixel.eq(fifo.read_data),
            level.eq(written - taken),
        ]
        m.d.sync += [
            last_x.eq(self.window_columns - 1),
            last_y.eq(self.window_rows - 1),
            # Pixels on their way make these lag, on the safe side.
            room.eq(level < FIFO_PIXELS - 8),
            self.row_waits.eq(level >= self.window_columns),
            store.eq(0),
            fifo.write.eq(0),
        ]
        with m.If(self.pop):
            m.d.sync += taken.eq(taken + 1)
        with m.If(fifo.write):
            m.d.sync += written.eq(written + 1)
        m.d.comb += fifo.write_address.eq(written[:-1])
        with m.If(self.take):
            m.d.sync += self.filled.eq(0)
        with m.If(accepted & (self.last != ends)):
            m.d.sync += self.misplaced_last.eq(1)

        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.run):
                    m.d.sync += [left.eq(self.landmarks), self.misplaced_last.eq(0)]
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.sync += [row.eq(0), column.eq(0), total.eq(0), x.eq(0), y.eq(0)]
                with m.If(left == 0):
                    m.next = "IDLE"
                with m.Elif(~self.filled):
                    m.next = "TEMPLATE"
            with m.State("TEMPLATE"):
                m.d.comb += self.ready.eq(1)
                with m.If(accepted):
                    m.d.sync += [
                        shifted.eq(Cat(shifted[p.bits :], self.data)),
                        total.eq(total + self.data),
                        row.eq(row + 1),
                    ]
                    with m.If(row == size - 1):
                        m.d.sync += [
                            row.eq(0),
                            column.eq(column + 1),
                            store.eq(1),
                            store_address.eq(Cat(column, filling)),
                        ]
                        with m.If(column == size - 1):
                            m.next = "FILLED"
            with m.State("FILLED"):
                m.d.sync += [
                    self.filled.eq(1),
                    self.template_sum.eq(total),
                    self.bank.eq(filling),
                    filling.eq(~filling),
                ]
                m.next = "WINDOW"
            with m.State("WINDOW"):
                m.d.comb += [
                    self.ready.eq(room),
                    ends.eq((x == last_x) & (y == last_y)),
                ]
                with m.If(accepted):
                    m.d.sync += [fifo.write.eq(1), fifo.write_data.eq(self.data), x.eq(x + 1)]
                    with m.If(x == last_x):
                        m.d.sync += [x.eq(0), y.eq(y + 1)]
                        with m.If(y == last_y):
                            m.d.sync += left.eq(left - 1)
                            m.next = "WAIT"
        return m
