"""AXI4-Lite registers, at the offsets and with the control bits of an HLS overlay."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

ADDRESS_BITS = 7
VERSION = 1


@dataclass(frozen=True)
class Register:
    """One 32-bit register: where it is, whether software may write it, and what it holds."""

    name: str
    offset: int
    writable: bool
    meaning: str


REGISTERS = (
    Register(
        "control", 0x00, True,
        "bit 0 start (set to start; clears itself), bit 1 done (cleared by reading), bit 2 idle, "
        "bit 3 ready (as done)",
    ),
    Register("global_interrupt_enable", 0x04, True, "bit 0"),
    Register("interrupt_enable", 0x08, True, "bit 0: interrupt when done"),
    Register("interrupt_status", 0x0C, True, "bit 0: done; written 1 to clear"),
    Register("window_columns", 0x10, True, "width of every window of a run, pixels"),
    Register("window_rows", 0x18, True, "height of every window of a run, pixels"),
    Register("exclusion", 0x20, True, "a second peak is further than this from the first, pixels"),
    Register("mode", 0x28, True, "bit 0: send all placements after each result"),
    Register("landmarks", 0x30, True, "landmarks of a run, at most 65535"),
    Register("cycles", 0x38, False, "clock cycles of the last run"),
    Register(
        "status", 0x40, False,
        "bit 0: the window's size was out of range, nothing was run; bit 1: TLAST was not at the "
        "last pixel of each landmark",
    ),
    Register("shape", 0x48, False, "template side, bits 15-0; template columns at a time, 31-16"),
    Register("limits", 0x50, False, "longest window side, bits 15-0; bits of a pixel, 23-16; "
             "version, 31-24"),
)  # fmt: skip


def register_toml() -> str:
    """The register map as TOML, for hosts."""
    return "\n".join(
        f"[{each.name}]\noffset = {each.offset:#04x}\nwritable = {str(each.writable).lower()}\n"
        f'meaning = "{each.meaning}"\n'
        for each in REGISTERS
    )


def register_table() -> str:
    """The register map as a Markdown table."""
    lines = ["| offset | register | access | meaning |", "| --- | --- | --- | --- |"]
    for each in REGISTERS:
        access = "read, write" if each.writable else "read"
        lines.append(f"| 0x{each.offset:02x} | `{each.name}` | {access} | {each.meaning} |")
    return "\n".join(lines)


def register_signature() -> wiring.Signature:
    """The bus, and the registers as outputs (what software writes) and inputs (what it reads)."""
    bus = {
        "awaddr": In(ADDRESS_BITS), "awvalid": In(1), "awready": Out(1),
        "wdata": In(32), "wstrb": In(4), "wvalid": In(1), "wready": Out(1),
        "bresp": Out(2), "bvalid": Out(1), "bready": In(1),
        "araddr": In(ADDRESS_BITS), "arvalid": In(1), "arready": Out(1),
        "rdata": Out(32), "rresp": Out(2), "rvalid": Out(1), "rready": In(1),
    }  # fmt: skip
    values = {
        each.name: Out(32) if each.writable else In(32) for each in REGISTERS if each.offset >= 0x10
    }
    ends = {"start": Out(1), "done": In(1), "idle": In(1), "interrupt": Out(1)}
    return wiring.Signature({**bus, **values, **ends})


class Registers(wiring.Component):
    """The bus's end: holds what software writes, shows what the core says.

    start is high for a cycle when software starts a run; done has to be high for one when it ends.
    """

    def __init__(self) -> None:
        super().__init__(register_signature())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        asked, done, globally, enabled, raised = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [self.start.eq(asked & self.idle), self.interrupt.eq(globally & raised)]
        with m.If(self.start):
            m.d.sync += asked.eq(0)
        held = {
            "control": Cat(asked, done, self.idle & ~asked, done),
            "global_interrupt_enable": globally,
            "interrupt_enable": enabled,
            "interrupt_status": raised,
        }
        values = {
            each.name: held.get(each.name, getattr(self, each.name, None)) for each in REGISTERS
        }
        written, word, mask = self._write_bus(m)
        read = self._read_bus(m, values)

        for each in REGISTERS:
            if each.writable and each.offset >= 0x10:
                with m.If(written[each.name]):
                    m.d.sync += values[each.name].eq((values[each.name] & ~mask) | (word & mask))
        low = word[0] & mask[0]
        with m.If(written["control"] & low):
            m.d.sync += asked.eq(1)
        with m.If(written["global_interrupt_enable"] & mask[0]):
            m.d.sync += globally.eq(word[0])
        with m.If(written["interrupt_enable"] & mask[0]):
            m.d.sync += enabled.eq(word[0])
        with m.If(written["interrupt_status"] & low):
            m.d.sync += raised.eq(0)
        with m.If(read["control"]):
            m.d.sync += done.eq(0)
        with m.If(self.done):
            m.d.sync += [done.eq(1), raised.eq(raised | enabled)]
        return m

    def _write_bus(self, m: Module) -> tuple[dict[str, Signal], Signal, Signal]:
        """Which register is written in this cycle, the word, and its bits that count."""
        address, word, mask = Signal(ADDRESS_BITS), Signal(32), Signal(32)
        have_address, have_word, decoded = Signal(), Signal(), Signal()
        both = Signal()
        m.d.comb += [
            self.awready.eq(~have_address),
            self.wready.eq(~have_word),
            both.eq(have_address & have_word & ~decoded & ~self.bvalid),
        ]
        with m.If(self.awvalid & self.awready):
            m.d.sync += [address.eq(self.awaddr), have_address.eq(1)]
        with m.If(self.wvalid & self.wready):
            m.d.sync += [
                word.eq(self.wdata),
                mask.eq(Cat(strobe.replicate(8) for strobe in self.wstrb)),
                have_word.eq(1),
            ]
        m.d.sync += decoded.eq(both)
        with m.If(decoded):
            m.d.sync += [have_address.eq(0), have_word.eq(0), self.bvalid.eq(1)]
        with m.Elif(self.bready):
            m.d.sync += self.bvalid.eq(0)
        written = {each.name: Signal(name=f"{each.name}_written") for each in REGISTERS}
        for each in REGISTERS:
            m.d.sync += written[each.name].eq(both & (address == each.offset))
        return written, word, mask

    def _read_bus(self, m: Module, values: dict[str, Value]) -> dict[str, Signal]:
        """Which register is read in this cycle; the answer takes a few cycles, for speed."""
        address = Signal(ADDRESS_BITS)
        steps = Signal(3)
        m.d.comb += self.arready.eq(~steps.any() & ~self.rvalid)
        with m.If(self.arvalid & self.arready):
            m.d.sync += address.eq(self.araddr)
        m.d.sync += steps.eq(Cat(self.arvalid & self.arready, steps[:-1]))
        read = {each.name: Signal(name=f"{each.name}_read") for each in REGISTERS}
        shown = []
        for each in REGISTERS:
            chosen = Signal(32, name=f"{each.name}_shown")
            m.d.sync += [
                read[each.name].eq(steps[0] & (address == each.offset)),
                chosen.eq(Mux(read[each.name], values[each.name], 0)),
            ]
            shown.append(chosen)
        with m.If(steps[2]):
            word = shown[0]
            for each in shown[1:]:
                word = word | each
            m.d.sync += [self.rdata.eq(word), self.rvalid.eq(1)]
        with m.Elif(self.rready):
            m.d.sync += self.rvalid.eq(0)
        return read
