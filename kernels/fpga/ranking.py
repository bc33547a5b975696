"""The best placement, the second best away from it, and what surrounds the best.

All placements of a window stay in a RAM. They are read twice: for the best one while they come in,
then for the best one outside its neighbourhood. Two are compared as n^2 E' > n'^2 E, without a
divider, in a pipeline of RING stages that takes one a cycle: RING running bests circulate in it,
and are at last compared with one another.
"""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In, Out

from kernels.fpga.arithmetic import limb_product, limbs_of, square
from kernels.fpga.parameters import ENERGY_LIMBS, LIMB_BITS, Parameters
from kernels.fpga.primitives import MULTIPLIER_LATENCY, RAM_LATENCY, BlockRam, delayed

ENERGY_BITS = ENERGY_LIMBS * LIMB_BITS
COORDINATE_BITS = 16
WORD_BITS = 64
"""Of the output stream."""
_OFFSETS = 3 * ENERGY_LIMBS - 1
"""Limbs of n^2 E are sums of products at so many offsets."""
RING = MULTIPLIER_LATENCY + 2 + (_OFFSETS - 1) + 2
"""Products, sums at each offset, carries from offset to offset, and the choice."""
_SQUARED = RAM_LATENCY + 2 + MULTIPLIER_LATENCY + 1
"""Cycles from a placement's address to its squared numerator."""


class Ranking(wiring.Component):
    """Takes the placements of a window, then gives their result, and all of them if asked.

    `begin` starts a window, when `free`; `finished` tells that its last word has left.
    """

    def __init__(self, parameters: Parameters, *, instances: bool) -> None:
        p = parameters
        side = p.most_window_px.bit_length()
        super().__init__(
            {
                "columns": In(side),
                "rows": In(side),
                "exclusion": In(side),
                "every_placement": In(1),
                "begin": In(1),
                "free": Out(1),
                "finished": Out(1),
                "placed": In(1),
                "complete": In(1),
                "numerator": In(signed(p.numerator_bits)),
                "energy": In(p.energy_bits),
                "data": Out(WORD_BITS),
                "valid": Out(1),
                "ready": In(1),
                "last": Out(1),
            }
        )
        self._parameters = parameters
        self._instances = instances
        self._side = side
        self._index_bits = (p.most_placements - 1).bit_length()
        self._entry = data.StructLayout(
            {
                "square": 2 * ENERGY_BITS,
                "energy": ENERGY_BITS,
                "x": side,
                "y": side,
                "index": self._index_bits,
                "found": 1,
            }
        )

    def elaborate(self, platform: object) -> Module:
        p, side = self._parameters, self._side
        m = Module()
        m.submodules.placements = cells = BlockRam(
            p.numerator_bits + p.energy_bits, 2**self._index_bits, instances=self._instances
        )
        index = self._index_bits
        written = Signal(index + 1)
        whole = Signal()
        m.d.sync += [
            cells.write.eq(self.placed),
            cells.write_address.eq(written[:index]),
            cells.write_data.eq(Cat(self.numerator, self.energy)),
        ]
        with m.If(self.placed):
            m.d.sync += [written.eq(written + 1), whole.eq(self.complete)]
        with m.If(self.begin):
            m.d.sync += [written.eq(0), whole.eq(0)]
        # A placement may be read once its write is over.
        readable = delayed(m, written, 2, "readable")
        all_readable = delayed(m, whole, 4, "all_readable")

        # Reading: numerator and energy come RAM_LATENCY + 1 after the address.
        address = Signal(index, reset_less=True)
        fetching = Signal()
        fetched = Signal(index)
        reached = Signal(index + 1)
        numerator = Signal(signed(p.numerator_bits), reset_less=True)
        energy = Signal(p.energy_bits, reset_less=True)
        m.d.comb += cells.read_address.eq(address)
        m.d.sync += [
            address.eq(Mux(fetching, fetched, reached[:index])),
            Cat(numerator, energy).eq(cells.read_data),
        ]

        again = Signal()
        scan = Signal()
        x, y = Signal(side), Signal(side)
        best = Signal(self._entry)
        second = Signal(self._entry)
        clear, reduce = Signal(), Signal()
        candidate = self._candidate(m, scan, again, address, x, y, numerator, energy, best)
        winner = self._ring(m, candidate, clear, reduce)

        m.submodules.words = words = fifo.SyncFIFOBuffered(width=WORD_BITS + 1, depth=16)
        told = Signal(WORD_BITS, reset_less=True)
        final = Signal()
        m.d.comb += [
            Cat(self.data, self.last).eq(words.r_data),
            self.valid.eq(words.r_rdy),
            words.r_en.eq(self.ready),
            words.w_data.eq(Cat(told, final)),
        ]

        wait = Signal(range(RING * RING + 1))
        following = Signal.like(reached)
        step = Signal(range(11))
        across, down = Signal(range(3)), Signal(range(3))
        shown, ends, header, whole_pair = Signal(), Signal(), Signal(), Signal()
        last_x, last_y, row_step = Signal(side), Signal(side), Signal(side)
        m.d.sync += [
            last_x.eq(self.columns - 1),
            last_y.eq(self.rows - 1),
            row_step.eq(self.columns - 2),
            self.finished.eq(0),
            scan.eq(0),
        ]
        with m.If(scan):
            m.d.sync += [reached.eq(following), following.eq(following + 1), x.eq(x + 1)]
            with m.If(x == last_x):
                m.d.sync += [x.eq(0), y.eq(y + 1)]

        with m.FSM() as fsm:
            m.d.comb += self.free.eq(fsm.ongoing("FREE"))
            m.d.sync += [clear.eq(fsm.ongoing("CLEAR")), reduce.eq(fsm.ongoing("REDUCE"))]
            with m.State("FREE"):
                m.d.sync += [again.eq(0), wait.eq(0)]
                with m.If(self.begin):
                    m.next = "CLEAR"
            with m.State("CLEAR"):
                m.d.sync += [
                    wait.eq(wait + 1), fetching.eq(0), reached.eq(0), following.eq(1),
                    x.eq(0), y.eq(0),
                ]  # fmt: skip
                with m.If(wait == RING + 1):
                    m.next = "SCAN"
            with m.State("SCAN"):
                more = Signal()
                # Whether there is a placement after this cycle's is found out in this cycle.
                m.d.comb += more.eq(Mux(scan, following != readable, reached != readable))
                m.d.sync += [wait.eq(0), scan.eq(more)]
                with m.If(all_readable & ~more & ~scan):
                    m.next = "DRAIN"
            with m.State("DRAIN"):
                m.d.sync += wait.eq(wait + 1)
                with m.If(wait == _SQUARED + RING + 4):
                    m.d.sync += wait.eq(0)
                    m.next = "REDUCE"
            with m.State("REDUCE"):
                m.d.sync += wait.eq(wait + 1)
                with m.If(wait == RING * RING):
                    m.d.sync += [wait.eq(0), again.eq(1)]
                    with m.If(again):
                        m.d.sync += second.eq(winner)
                        m.next = "HEADER"
                    with m.Else():
                        m.d.sync += best.eq(winner)
                        m.next = "CLEAR"
            with m.State("HEADER"):
                padding = Const(0, COORDINATE_BITS - side)
                m.d.sync += [
                    told.eq(
                        Cat(
                            Mux(best.found, best.x, 0), padding,
                            Mux(best.found, best.y, 0), padding,
                            best.found, second.found,
                        )
                    ),
                    final.eq(0), header.eq(1), whole_pair.eq(1), fetching.eq(1),
                    fetched.eq(best.index - self.columns - 1),
                    across.eq(0), down.eq(0), step.eq(0),
                ]  # fmt: skip
                m.next = "PUSH"
            with m.State("FETCH"):
                m.d.sync += [wait.eq(wait + 1), header.eq(0), whole_pair.eq(0)]
                with m.If(step == 9):
                    m.d.sync += [shown.eq(second.found), ends.eq(~self.every_placement)]
                with m.Elif(step == 10):
                    m.d.sync += [shown.eq(1), ends.eq(following == written)]
                with m.Else():
                    m.d.sync += [
                        ends.eq(0),
                        shown.eq(
                            best.found
                            & ((across != 0) | (best.x != 0))
                            & ((across != 2) | (best.x != last_x))
                            & ((down != 0) | (best.y != 0))
                            & ((down != 2) | (best.y != last_y))
                        ),
                    ]
                with m.If(wait == RAM_LATENCY + 4):
                    m.d.sync += [wait.eq(0), told.eq(Mux(shown, numerator, 0))]
                    m.next = "PUSH"
            with m.State("ENERGY"):
                m.d.sync += [told.eq(Mux(shown, energy, 0)), final.eq(ends), whole_pair.eq(1)]
                m.next = "PUSH"
            with m.State("PUSH"):
                m.d.comb += words.w_en.eq(1)
                with m.If(words.w_rdy):
                    m.next = "ENERGY"
                    with m.If(whole_pair):
                        m.next = "NEXT"
                    with m.If(header):
                        m.next = "FETCH"
                    with m.If(final):
                        m.next = "LEAVE"
            with m.State("NEXT"):
                m.d.sync += [fetched.eq(fetched + 1), across.eq(across + 1), step.eq(step + 1)]
                with m.If(across == 2):
                    m.d.sync += [across.eq(0), down.eq(down + 1), fetched.eq(fetched + row_step)]
                with m.If(step == 8):
                    m.d.sync += fetched.eq(second.index)
                with m.If(step == 9):
                    m.d.sync += [fetched.eq(0), following.eq(1)]
                with m.If(step == 10):
                    m.d.sync += [
                        fetched.eq(fetched + 1), following.eq(following + 1), step.eq(10),
                    ]  # fmt: skip
                m.next = "FETCH"
            with m.State("LEAVE"):
                with m.If(~words.r_rdy):
                    m.d.sync += [self.finished.eq(1), final.eq(0)]
                    m.next = "FREE"
        return m

    def _candidate(
        self, m: Module, scan: Value, again: Value, address: Value, x: Value, y: Value,
        numerator: Value, energy: Value, best: data.View,
    ) -> data.View:  # fmt: skip
        """A placement read, as an entry of the ring; nothing where none is read."""
        side = self._side
        low_x, high_x = Signal(signed(side + 2)), Signal(signed(side + 2))
        low_y, high_y = Signal(signed(side + 2)), Signal(signed(side + 2))
        m.d.sync += [
            low_x.eq(best.x - self.exclusion),
            high_x.eq(best.x + self.exclusion),
            low_y.eq(best.y - self.exclusion),
            high_y.eq(best.y + self.exclusion),
        ]
        # Stage 0 is the address, a register behind the count; stage 1 knows what is near the best.
        x, y, scan = (
            delayed(m, value, 1, name) for value, name in ((x, "x"), (y, "y"), (scan, "s"))
        )
        near_x, near_y, wanted = Signal(), Signal(), Signal()
        m.d.sync += [
            near_x.eq((x >= low_x) & (x <= high_x)),
            near_y.eq((y >= low_y) & (y <= high_y)),
            wanted.eq(delayed(m, scan, 1, "scan_on") & ~(again & best.found & near_x & near_y)),
        ]
        counts = delayed(m, wanted, RAM_LATENCY - 1, "wanted")
        positive = Signal(ENERGY_BITS, reset_less=True)
        found = Signal(reset_less=True)
        m.d.sync += [
            positive.eq(Mux(counts & (numerator >= 0), numerator, 0)),
            found.eq(positive != 0),
        ]
        squared, latency = square(m, positive, "square", self._instances)
        assert RAM_LATENCY + 2 + latency == _SQUARED
        entry = Signal(self._entry)
        m.d.comb += [
            entry.square.eq(squared),
            entry.energy.eq(delayed(m, energy, 1 + latency, "energy")),
            entry.x.eq(delayed(m, x, _SQUARED, "x_on")),
            entry.y.eq(delayed(m, y, _SQUARED, "y_on")),
            entry.index.eq(delayed(m, address, _SQUARED, "index")),
            entry.found.eq(delayed(m, found, latency - 1, "found")),
        ]
        return entry

    def _ring(self, m: Module, candidate: data.View, clear: Value, reduce: Value) -> data.View:
        """Candidates against running bests: the one at the ring's entry.

        While `reduce`, each running best is a candidate against the one that follows it. Of equal
        ones the one with the lower index wins.
        """
        challenger = Signal(self._entry, reset_less=True)
        holder = Signal(self._entry, reset_less=True)
        m.d.sync += challenger.eq(Mux(reduce, holder.as_value(), candidate.as_value()))

        # win if holder.square challenger.energy - challenger.square holder.energy - tie < 0.
        differences = []
        terms = [([], []) for _ in range(_OFFSETS)]
        for side, (squares, energies) in enumerate(((holder, challenger), (challenger, holder))):
            for i, a in enumerate(limbs_of(squares.square)):
                for j, b in enumerate(limbs_of(energies.energy)):
                    part = limb_product(m, a, b, f"cross_{side}_{i}_{j}", self._instances)
                    terms[i + j][side].append(part)
        tie = Signal(reset_less=True)
        m.d.sync += tie.eq(challenger.found & (challenger.index < holder.index))
        tie_on = delayed(m, tie, MULTIPLIER_LATENCY - 1, "tie")
        terms[0][1].append(tie_on)
        most = 2 * (2 ** (2 * LIMB_BITS) - 1)
        for offset, (plus, minus) in enumerate(terms):
            sums = []
            for side, values in enumerate((plus, minus)):
                total = Signal(range(most + 1), name=f"sum_{offset}_{side}", reset_less=True)
                m.d.sync += total.eq(sum(values[1:], values[0]))
                sums.append(total)
            difference = Signal(
                signed(2 * LIMB_BITS + 3), name=f"difference_{offset}", reset_less=True
            )
            m.d.sync += difference.eq(sums[0] - sums[1])
            differences.append(difference)
        carried = differences[0]
        for offset in range(1, _OFFSETS):
            total = Signal(signed(2 * LIMB_BITS + 4), name=f"carried_{offset}", reset_less=True)
            waiting = delayed(m, differences[offset], offset - 1, f"waiting_{offset}")
            m.d.sync += total.eq(waiting + (carried >> LIMB_BITS))
            carried = total
        wins = carried < 0

        stages = MULTIPLIER_LATENCY + 2 + (_OFFSETS - 1)
        challenger_on = delayed(m, challenger.as_value(), stages, "challenger")
        holder_on = delayed(m, holder.as_value(), stages, "holder")
        nothing = self._entry.const({"energy": 1})
        winner = Signal(self._entry, reset_less=True)
        m.d.sync += winner.eq(Mux(wins, challenger_on, holder_on))
        m.d.sync += holder.eq(Mux(clear, nothing.as_value(), winner.as_value()))
        assert stages + 2 == RING
        return holder
