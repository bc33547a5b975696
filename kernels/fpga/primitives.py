"""Multipliers and block RAMs, each in two forms: Amaranth's own, and a Verilog module by name.

The Verilog modules are in verilog/: `ecp5` ones instantiate the vendor's primitives with the
registers inside them, `generic` ones leave the choice to the tools.
"""

from __future__ import annotations

from amaranth import ClockSignal, Instance, Module, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

MULTIPLIER_LATENCY = 3
RAM_LATENCY = 2


def delayed(m: Module, value: Value, cycles: int, name: str) -> Value:
    """A value some clock cycles later, through registers without reset."""
    for cycle in range(cycles):
        later = Signal(value.shape(), name=f"{name}_{cycle + 1}", reset_less=True)
        m.d.sync += later.eq(value)
        value = later
    return value


class Multiplier(wiring.Component):
    """p = a * b, MULTIPLIER_LATENCY cycles later: registers before, within and after the array.

    signed: a and b are in two's complement. b is taken over while load_b is set, and kept else.
    """

    def __init__(self, a_bits: int, b_bits: int, *, signed: bool = False, instances: bool) -> None:
        assert max(a_bits, b_bits) <= 18
        super().__init__(
            {
                "a": In(a_bits),
                "b": In(b_bits),
                "load_b": In(1, init=1),
                "p": Out(a_bits + b_bits),
            }
        )
        self._signed = signed
        self._instances = instances

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self._instances:
            m.submodules.block = Instance(
                "trn_multiplier",
                p_A_BITS=len(self.a),
                p_B_BITS=len(self.b),
                p_SIGNED=int(self._signed),
                i_clk=ClockSignal(),
                i_a=self.a,
                i_b=self.b,
                i_load_b=self.load_b,
                o_p=self.p,
            )
            return m
        a = Signal(len(self.a), reset_less=True)
        b = Signal(len(self.b), reset_less=True)
        inner = Signal(len(self.p), reset_less=True)
        left, right = (a.as_signed(), b.as_signed()) if self._signed else (a, b)
        m.d.sync += [a.eq(self.a), inner.eq(left * right), self.p.eq(inner)]
        with m.If(self.load_b):
            m.d.sync += b.eq(self.b)
        return m


class BlockRam(wiring.Component):
    """A word written, and one read RAM_LATENCY cycles after its address.

    No address may be read in the cycle in which it is written; simulations check that.
    """

    def __init__(self, bits: int, depth: int, *, instances: bool) -> None:
        address_bits = max(1, (depth - 1).bit_length())
        super().__init__(
            {
                "write": In(1),
                "write_address": In(address_bits),
                "write_data": In(bits),
                "read_address": In(address_bits),
                "read_data": Out(bits),
            }
        )
        self._bits = bits
        self._depth = depth
        self._instances = instances

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self._instances:
            m.submodules.block = Instance(
                "trn_block_ram",
                p_BITS=self._bits,
                p_ADDRESS_BITS=len(self.read_address),
                i_clk=ClockSignal(),
                i_write=self.write,
                i_write_address=self.write_address,
                i_write_data=self.write_data,
                i_read_address=self.read_address,
                o_read_data=self.read_data,
            )
            return m
        m.submodules.cells = cells = memory.Memory(shape=self._bits, depth=self._depth, init=[])
        write, read = cells.write_port(), cells.read_port()
        collides = Signal()
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            read.addr.eq(self.read_address),
        ]
        # What a real block gives then is undefined: here, the complement.
        m.d.sync += [
            collides.eq(self.write & (self.write_address == self.read_address)),
            self.read_data.eq(read.data ^ collides.replicate(self._bits)),
        ]
        return m
