"""Numerator and energy of every placement of a window, one row of placements after the other.

Line buffers hold N rows, one word a column. A row of placements takes `passes` passes over the
columns; in each, P columns of the template stand in P x N multipliers, whose sums run down a chain
and into an accumulator of their placement, which circulates through a RAM. A column is replaced by
the one a pixel further down when it has been read for the last time in its row; then its sums enter
the running box sums, too.

Signals named NAME_k belong to stage k: they are k cycles behind the address of their column.
"""

from __future__ import annotations

import itertools

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from kernels.fpga.arithmetic import adder_tree, at_latency, product, times_constant
from kernels.fpga.parameters import LEAST_PASS, Parameters
from kernels.fpga.primitives import (
    MULTIPLIER_LATENCY,
    RAM_LATENCY,
    BlockRam,
    Multiplier,
    delayed,
)

_READ = RAM_LATENCY + 1
"""Stage of a column, its sums and the pixel that comes next, after one more register."""
GROUP_LINES = 8
_GAP = 4
"""Cycles between two rows, for the FIFO's level to follow."""


class Correlator(wiring.Component):
    """Searches landmark after landmark, as templates and windows come.

    start: a landmark may begin (held until `take`). free: placements can be taken from here on;
    `begin` says that those of another window follow. placed: a placement's numerator and energy are
    there; `complete` goes with the last one.
    """

    def __init__(self, parameters: Parameters, *, instances: bool) -> None:
        p = parameters
        side = p.most_window_px.bit_length()
        columns = (p.passes * p.columns - 1).bit_length()
        super().__init__(
            {
                "window_columns": In(side),
                "window_rows": In(side),
                "start": In(1),
                "take": Out(1),
                "bank": In(1),
                "template_sum": In(p.sum_bits),
                "template_address": Out(columns + 1),
                "template_column": In(p.template_px * p.bits),
                "row_waits": In(1),
                "pop": Out(1),
                "pixel": In(p.bits),
                "free": In(1),
                "begin": Out(1),
                "idle": Out(1),
                "placed": Out(1),
                "complete": Out(1),
                "numerator": Out(signed(p.numerator_bits)),
                "energy": Out(p.energy_bits),
            }
        )
        self._parameters = parameters
        self._instances = instances
        self._side = side

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._sequence(m)
        column_3 = self._lines(m)
        total, stage = self._products(m, column_3)
        self._integers(m, total, stage)
        return m

    def _sequence(self, m: Module) -> None:
        """Which column is read when, and what for; all of it in registers of stage 0."""
        p, side = self._parameters, self._side
        size = p.template_px
        loading = Signal()
        row = Signal(side)
        last_row = Signal(side)
        cycle = Signal(side)
        before_last_cycle = Signal(side)
        before_last_load = Signal(side)
        pass_ends, load_ends = Signal(), Signal()
        last_load = Signal(side)
        placed_until = Signal(side)
        number = Signal(range(p.passes + 1))
        next_base = Signal(side)
        column = Signal(side)
        gap = Signal(range(_GAP))
        running = Signal()
        bank = Signal()

        self.column_0 = Signal(side)
        self.visit_0 = Signal()
        self.shift_0 = Signal()
        self.fresh_0 = Signal()
        self.first_0 = Signal()
        self.leaving_0 = Signal()
        self.left_0 = Signal(side)
        self.known_0 = Signal()
        self.taps_0 = Signal(p.columns)
        self.place_0 = Signal(side)
        self.first_pass_0 = Signal()
        self.add_0 = Signal()
        self.emit_0 = Signal()
        self.complete_0 = Signal()
        self.sum_of_template = Signal(p.sum_bits)
        sum_of_next = Signal(p.sum_bits)

        in_range, last_pass, visited = Signal(), Signal(), Signal()
        m.d.comb += [
            last_pass.eq(number == p.passes - 1),
            in_range.eq((cycle >= p.columns - 1) & (cycle <= placed_until)),
            visited.eq((loading | last_pass | (cycle < p.columns)) & (column <= last_load)),
            self.template_address.eq(Cat(self.column_0[: len(self.template_address) - 1], bank)),
            self.pop.eq(self.shift_0),
        ]
        m.d.sync += [
            last_row.eq(self.window_rows - size),
            last_load.eq(self.window_columns - 1),
            placed_until.eq(self.window_columns - (size - p.columns + 1)),
            before_last_load.eq(self.window_columns - 2),
            before_last_cycle.eq(
                Mux(
                    self.window_columns < size - p.columns + LEAST_PASS,
                    LEAST_PASS - 2,
                    self.window_columns - (size - p.columns + 2),
                )
            ),
            self.column_0.eq(column),
            self.visit_0.eq(running & visited),
            self.shift_0.eq(running & visited & (loading | (row != last_row))),
            self.fresh_0.eq(loading & (row == 0)),
            self.first_0.eq(column == 0),
            self.leaving_0.eq(column >= size),
            self.left_0.eq(column - size),
            self.known_0.eq(column < size),
            self.taps_0.eq(Cat(running & ~loading & (cycle == tap) for tap in range(p.columns))),
            self.place_0.eq(cycle - (p.columns - 1)),
            self.first_pass_0.eq(number == 0),
            self.add_0.eq(running & ~loading & in_range),
            self.emit_0.eq(running & ~loading & in_range & last_pass),
            self.complete_0.eq((row == last_row) & (cycle == placed_until)),
            self.begin.eq(0),
            self.take.eq(0),
        ]
        with m.FSM() as fsm:
            m.d.comb += self.idle.eq(fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.sync += [row.eq(0), loading.eq(1), gap.eq(0)]
                with m.If(self.start & ~self.take):
                    m.d.sync += [
                        self.take.eq(1),
                        bank.eq(self.bank),
                        sum_of_next.eq(self.template_sum),
                    ]
                    m.next = "GAP"
            with m.State("GAP"):
                m.d.sync += [
                    cycle.eq(0), number.eq(0), column.eq(0), next_base.eq(p.columns),
                    gap.eq(gap + 1), pass_ends.eq(0), load_ends.eq(0),
                ]  # fmt: skip
                with m.If(gap == _GAP - 1):
                    m.next = "WAIT"
            with m.State("WAIT"):
                pixels, room = Signal(), Signal()
                m.d.comb += [
                    pixels.eq(self.row_waits | (~loading & (row == last_row))),
                    room.eq(self.free | loading | (row != 0)),
                ]
                with m.If(pixels & room):
                    m.d.sync += [running.eq(1), self.begin.eq(~loading & (row == 0))]
                    m.next = "ROW"
            with m.State("ROW"):
                # Not before: the last row of the landmark before may still be on its way.
                with m.If(self.begin):
                    m.d.sync += self.sum_of_template.eq(sum_of_next)
                # Whether the next cycle is the last one is found out in this one.
                m.d.sync += [
                    cycle.eq(cycle + 1),
                    column.eq(column + 1),
                    pass_ends.eq(~pass_ends & (cycle == before_last_cycle)),
                    load_ends.eq(cycle == before_last_load),
                ]
                row_ends = Signal()
                with m.If(loading):
                    m.d.comb += row_ends.eq(load_ends)
                with m.Elif(pass_ends):
                    m.d.sync += [
                        cycle.eq(0),
                        number.eq(number + 1),
                        column.eq(next_base),
                        next_base.eq(next_base + p.columns),
                    ]
                    m.d.comb += row_ends.eq(last_pass)
                with m.If(row_ends):
                    m.d.sync += [running.eq(0), row.eq(row + 1), gap.eq(0)]
                    m.next = "GAP"
                    with m.If(loading & (row == size - 1)):
                        m.d.sync += [loading.eq(0), row.eq(0)]
                    with m.Elif(~loading & (row == last_row)):
                        m.next = "IDLE"

    def _lines(self, m: Module) -> Value:
        """Line buffers and box sums: the column read, at stage 3; self.sum_5 and self.square_5."""
        p, side = self._parameters, self._side
        bits = p.bits
        depth = 2**side
        sums_bits = p.column_sum_bits + p.column_square_bits
        m.submodules.lines = lines = BlockRam(
            p.template_px * bits, depth, instances=self._instances
        )
        m.submodules.sums = sums = BlockRam(sums_bits, depth, instances=self._instances)
        m.submodules.history = history = BlockRam(sums_bits, depth, instances=self._instances)
        fresh = delayed(m, self.fresh_0, RAM_LATENCY, "fresh")
        column = Signal(p.template_px * bits, reset_less=True)
        column_sum = Signal(p.column_sum_bits, reset_less=True)
        column_square = Signal(p.column_square_bits, reset_less=True)
        pixel = Signal(bits, reset_less=True)
        m.d.comb += [
            lines.read_address.eq(self.column_0),
            sums.read_address.eq(self.column_0),
            history.read_address.eq(delayed(m, self.left_0, _READ - RAM_LATENCY, "left")),
        ]
        m.d.sync += [
            column.eq(Mux(fresh, 0, lines.read_data)),
            Cat(column_sum, column_square).eq(Mux(fresh, 0, sums.read_data)),
            pixel.eq(self.pixel),
        ]
        address = delayed(m, self.column_0, _READ, "column")
        visit = delayed(m, self.visit_0, _READ, "visit")
        shift = delayed(m, self.shift_0, _READ, "shift")

        # Stage 4: the column moves up by a pixel.
        m.d.sync += [
            lines.write.eq(shift),
            lines.write_address.eq(address),
            lines.write_data.eq(Cat(column[bits:], pixel)),
        ]
        # new^2 - old^2 = (new - old) (new + old).
        difference = Signal(signed(bits + 1), reset_less=True)
        both = Signal(bits + 1, reset_less=True)
        new_sum = Signal(p.column_sum_bits, reset_less=True)
        m.d.sync += [
            difference.eq(pixel - column[:bits]),
            both.eq(pixel + column[:bits]),
            new_sum.eq(column_sum + pixel - column[:bits]),
        ]
        m.submodules.squares = squares = Multiplier(
            bits + 2, bits + 2, signed=True, instances=self._instances
        )
        later = 1 + MULTIPLIER_LATENCY
        change = Signal(signed(2 * bits + 1))
        m.d.comb += [
            squares.a.eq(difference),
            squares.b.eq(both),
            change.eq(squares.p),
        ]
        m.d.sync += [
            sums.write.eq(delayed(m, shift, later, "shift_on")),
            sums.write_address.eq(delayed(m, address, later, "column_on")),
            sums.write_data.eq(
                Cat(
                    delayed(m, new_sum, later - 1, "new_sum"),
                    (delayed(m, column_square, later, "column_square") + change)[
                        : p.column_square_bits
                    ],
                )
            ),
        ]

        # What enters the box at a column leaves it N columns later.
        leaving = delayed(m, self.leaving_0, _READ, "leaving")
        first = delayed(m, self.first_0, _READ + 1, "first")
        gone = Signal(sums_bits)
        sum_change = Signal(signed(p.column_sum_bits + 1), reset_less=True)
        square_change = Signal(signed(p.column_square_bits + 1), reset_less=True)
        self.sum_5 = Signal(p.sum_bits, reset_less=True)
        self.square_5 = Signal(p.product_sum_bits, reset_less=True)
        m.d.comb += [
            history.write.eq(visit),
            history.write_address.eq(address),
            history.write_data.eq(Cat(column_sum, column_square)),
            gone.eq(Mux(leaving, history.read_data, 0)),
        ]
        m.d.sync += [
            sum_change.eq(column_sum - gone[: p.column_sum_bits]),
            square_change.eq(column_square - gone[p.column_sum_bits :]),
        ]
        with m.If(delayed(m, visit, 1, "visit_on")):
            m.d.sync += [
                self.sum_5.eq(Mux(first, 0, self.sum_5) + sum_change),
                self.square_5.eq(Mux(first, 0, self.square_5) + square_change),
            ]
        return column

    def _products(self, m: Module, column_3: Value) -> tuple[Value, int]:
        """sum(T I) of each placement, whole in the last pass: (sum, its stage)."""
        p = self._parameters
        bits = p.bits
        template = Signal(p.template_px * bits, reset_less=True)
        if p.passes * p.columns == p.template_px:
            m.d.sync += template.eq(self.template_column)
        else:
            known = delayed(m, self.known_0, RAM_LATENCY, "known")
            m.d.sync += template.eq(Mux(known, self.template_column, 0))
        # Lines go in groups, each a cycle behind the one before: a tap's pulse and a column have a
        # short way then, and the groups' sums add up along a chain.
        groups = -(-p.template_px // GROUP_LINES)
        bounds = [p.template_px * k // groups for k in range(groups + 1)]
        taps = delayed(m, self.taps_0, _READ, "taps")
        sums: list[list] = [[] for _ in range(p.columns)]
        for group, (low, high) in enumerate(itertools.pairwise(bounds)):
            if group:
                taps = delayed(m, taps, 1, f"taps_{group}")
            pixels = delayed(m, column_3[bits * low : bits * high], group, f"pixels_{group}")
            levels = delayed(m, template[bits * low : bits * high], group, f"levels_{group}")
            for tap in range(p.columns):
                products = []
                for line in range(high - low):
                    block = Multiplier(bits, bits, instances=self._instances)
                    m.submodules[f"product_{tap}_{low + line}"] = block
                    m.d.comb += [
                        block.a.eq(pixels.word_select(line, bits)),
                        block.b.eq(levels.word_select(line, bits)),
                        block.load_b.eq(taps[tap]),
                    ]
                    products.append(block.p)
                sums[tap].append(
                    adder_tree(
                        m, products, [p.most_level**2] * len(products), f"tree_{tap}_{group}"
                    )
                )
        depth = max(latency for _, _, latency in sums[0])
        chain: Value | None = None
        most_chain = 0
        for tap in range(p.columns):
            column, most = None, 0
            for group, (value, bound, latency) in enumerate(sums[tap]):
                value = at_latency(m, value, latency, depth, f"tree_held_{tap}_{group}")
                most += bound
                link = Signal(range(most + 1), name=f"column_{tap}_{group}", reset_less=True)
                m.d.sync += link.eq(value if column is None else value + column)
                column = link
            most_chain += most
            link = Signal(range(most_chain + 1), name=f"chain_{tap}", reset_less=True)
            m.d.sync += link.eq(column if chain is None else column + chain)
            chain = link
        stage = _READ + MULTIPLIER_LATENCY + depth + groups + 1

        # The chain's sum is at `stage`; its accumulator is read for then and written one later.
        m.submodules.accumulators = ring = BlockRam(
            p.product_sum_bits, 2 ** len(self.place_0), instances=self._instances
        )
        read_at = stage - RAM_LATENCY
        place = delayed(m, self.place_0, read_at, "place")
        first_pass = delayed(m, self.first_pass_0, stage, "first_pass")
        total = Signal(p.product_sum_bits, reset_less=True)
        m.d.sync += total.eq(chain + Mux(first_pass, 0, ring.read_data))
        m.d.comb += [
            ring.read_address.eq(place),
            ring.write.eq(delayed(m, self.add_0, stage + 1, "add")),
            ring.write_address.eq(delayed(m, place, RAM_LATENCY + 1, "place_on")),
            ring.write_data.eq(total),
        ]
        return total, stage + 1

    def _integers(self, m: Module, total: Value, stage: int) -> None:
        """Numerator and energy from the three sums."""
        p = self._parameters
        # Where P does not divide N, box sums are whole before the products are.
        early = p.passes * p.columns - p.template_px
        sums_stage = 5
        sum_ = delayed(m, self.sum_5, early, "sum_held")
        square_ = delayed(m, self.square_5, early, "square_held")
        parts = {
            "product": (stage, times_constant(m, total, p.pixels, "n2_product", self._instances)),
            "square": (
                sums_stage,
                times_constant(m, square_, p.pixels, "n2_square", self._instances),
            ),
            "both": (
                sums_stage,
                product(m, sum_, self.sum_of_template, "sum_sum", self._instances),
            ),
            "sum": (sums_stage, product(m, sum_, sum_, "sum_square", self._instances)),
        }
        aligned = max(begins + latency for begins, (_, latency) in parts.values())
        at = {
            name: at_latency(m, value, begins + latency, aligned, f"{name}_aligned")
            for name, (begins, (value, latency)) in parts.items()
        }
        m.d.sync += [
            self.numerator.eq(at["product"] - at["both"]),
            self.energy.eq(at["square"] - at["sum"]),
        ]
        m.d.comb += [
            self.placed.eq(delayed(m, self.emit_0, aligned + 1, "emit")),
            self.complete.eq(delayed(m, self.complete_0, aligned + 1, "complete")),
        ]
