"""The input stream: a template, column by column, then the window, row by row; and so on.

Templates go into one half of a RAM while the other half is in use, so that the next one is there
when a search ends. Window pixels wait in a FIFO for their row.
"""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from kernels.fpga.parameters import Parameters
from kernels.fpga.primitives import BlockRam

FIFO_PIXELS = 2048


class RegisterSlice(wiring.Component):
    """A stream's two registers: neither data nor `ready` pass through without one."""

    def __init__(self, bits: int) -> None:
        super().__init__(
            {
                "data_in": In(bits), "valid_in": In(1), "ready_in": Out(1, init=1),
                "data": Out(bits), "valid": Out(1), "ready": In(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held = Signal.like(self.data, reset_less=True)
        with m.If(~self.valid | self.ready):
            m.d.sync += [
                self.data.eq(Mux(self.ready_in, self.data_in, held)),
                self.valid.eq(self.valid_in | ~self.ready_in),
                self.ready_in.eq(1),
            ]
        with m.Elif(self.valid_in & self.ready_in):
            m.d.sync += [held.eq(self.data_in), self.ready_in.eq(0)]
        return m


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

        m.submodules.slice = stream = RegisterSlice(p.bits + 1)
        data, last = stream.data[: p.bits], stream.data[p.bits]
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
        room = Signal()
        written = Signal(range(2 * FIFO_PIXELS))
        taken = Signal.like(written)
        level = Signal.like(written)

        # States of the stream as registers, and where counters stand as registers too: what a pixel
        # does is then known when it comes.
        in_template, in_window = Signal(), Signal()
        of_template, of_window = Signal(), Signal()
        ends_column, ends_template, ends_row, ends_window = (
            Signal(), Signal(), Signal(), Signal(),
        )  # fmt: skip
        before_last_x = Signal.like(x)
        before_last_y = Signal.like(y)

        m.d.comb += [
            stream.data_in.eq(Cat(self.data, self.last)),
            stream.valid_in.eq(self.valid),
            self.ready.eq(stream.ready_in),
            stream.ready.eq(in_template | (in_window & room)),
            of_template.eq(stream.valid & in_template),
            of_window.eq(stream.valid & in_window & room),
            template.write.eq(store),
            template.write_address.eq(store_address),
            template.write_data.eq(shifted),
            template.read_address.eq(self.template_address),
            self.template_column.eq(template.read_data),
            fifo.read_address.eq(taken[:-1]),
            fifo.write_address.eq(written[:-1]),
            self.pixel.eq(fifo.read_data),
            level.eq(written - taken),
        ]
        m.d.sync += [
            before_last_x.eq(self.window_columns - 2),
            before_last_y.eq(self.window_rows - 2),
            # Pixels on their way make these lag, on the safe side.
            room.eq(level < FIFO_PIXELS - 8),
            self.row_waits.eq(level >= self.window_columns),
            store.eq(0),
            fifo.write.eq(of_window),
            fifo.write_data.eq(data),
        ]
        with m.If(self.pop):
            m.d.sync += taken.eq(taken + 1)
        with m.If(fifo.write):
            m.d.sync += written.eq(written + 1)
        with m.If(self.take):
            m.d.sync += self.filled.eq(0)
        with m.If((of_template & last) | (of_window & (last != (ends_row & ends_window)))):
            m.d.sync += self.misplaced_last.eq(1)

        with m.If(of_template):
            m.d.sync += [
                shifted.eq(Cat(shifted[p.bits :], data)),
                total.eq(total + data),
                row.eq(Mux(ends_column, 0, row + 1)),
                ends_column.eq(row == size - 2),
                store.eq(ends_column),
                store_address.eq(Cat(column, filling)),
            ]
            with m.If(ends_column):
                m.d.sync += [column.eq(column + 1), ends_template.eq(column == size - 2)]
        with m.If(of_window):
            m.d.sync += [
                x.eq(Mux(ends_row, 0, x + 1)),
                ends_row.eq(~ends_row & (x == before_last_x)),
            ]
            with m.If(ends_row):
                m.d.sync += [y.eq(y + 1), ends_window.eq(y == before_last_y)]

        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.run):
                    m.d.sync += [left.eq(self.landmarks), self.misplaced_last.eq(0)]
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.sync += [
                    row.eq(0), column.eq(0), total.eq(0), x.eq(0), y.eq(0), ends_column.eq(0),
                    ends_template.eq(0), ends_row.eq(0), ends_window.eq(0),
                ]  # fmt: skip
                with m.If(left == 0):
                    m.next = "IDLE"
                with m.Elif(~self.filled):
                    m.d.sync += [left.eq(left - 1), in_template.eq(1)]
                    m.next = "TEMPLATE"
            with m.State("TEMPLATE"):
                with m.If(of_template & ends_column & ends_template):
                    m.d.sync += in_template.eq(0)
                    m.next = "FILLED"
            with m.State("FILLED"):
                m.d.sync += [
                    self.filled.eq(1),
                    self.template_sum.eq(total),
                    self.bank.eq(filling),
                    filling.eq(~filling),
                    in_window.eq(1),
                ]
                m.next = "WINDOW"
            with m.State("WINDOW"):
                with m.If(of_window & ends_row & ends_window):
                    m.d.sync += in_window.eq(0)
                    m.next = "WAIT"
        return m
