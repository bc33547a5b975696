"""Pipelined sums and products, as wide as their bounds ask for."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Signal, Value

from kernels.fpga.parameters import LIMB_BITS, bits_for
from kernels.fpga.primitives import MULTIPLIER_LATENCY, Multiplier, delayed


def adder_tree(
    m: Module, values: list[Value], most: list[int], name: str
) -> tuple[Value, int, int]:
    """Sum of unsigned values, each at most its bound: (sum, its bound, latency).

    One level of adders a cycle; no level can overflow, since widths follow the bounds.
    """
    latency = 0
    while len(values) > 1:
        sums, bounds = [], []
        for k in range(0, len(values), 2):
            bound = sum(most[k : k + 2])
            total = Signal(bits_for(0, bound), name=f"{name}_{latency}_{k // 2}", reset_less=True)
            m.d.sync += total.eq(sum(values[k + 1 : k + 2], values[k]))
            sums.append(total)
            bounds.append(bound)
        values, most = sums, bounds
        latency += 1
    return values[0], most[0], latency


def limbs_of(value: Value) -> list[Value]:
    """A value in limbs of LIMB_BITS, lowest first."""
    return [value[low : low + LIMB_BITS] for low in range(0, len(value), LIMB_BITS)]


def limb_product(m: Module, a: Value, b: Value, name: str, instances: bool) -> Value:
    """Product of two limbs, MULTIPLIER_LATENCY later."""
    m.submodules[name] = block = Multiplier(len(a), len(b), instances=instances)
    m.d.comb += [block.a.eq(a), block.b.eq(b)]
    return block.p


def product(m: Module, a: Value, b: Value, name: str, instances: bool) -> tuple[Value, int]:
    """a * b, unsigned and of any width: (product, latency)."""
    terms, most = [], []
    for i, left in enumerate(limbs_of(a)):
        for j, right in enumerate(limbs_of(b)):
            part = limb_product(m, left, right, f"{name}_{i}_{j}", instances)
            shift = LIMB_BITS * (i + j)
            terms.append(Cat(Const(0, shift), part) if shift else part)
            most.append(((1 << len(left)) - 1) * ((1 << len(right)) - 1) << shift)
    total, _, latency = adder_tree(m, terms, most, f"{name}_sum")
    return total[: len(a) + len(b)], MULTIPLIER_LATENCY + latency


def square(m: Module, a: Value, name: str, instances: bool) -> tuple[Value, int]:
    """a^2 of two limbs, with three multipliers: (square, latency)."""
    low, high = limbs_of(a)
    low_square, high_square, between = (
        limb_product(m, left, right, f"{name}_{k}", instances)
        for k, (left, right) in enumerate(((low, low), (high, high), (low, high)))
    )
    total = Signal(2 * len(a), name=name, reset_less=True)
    m.d.sync += total.eq(Cat(low_square, high_square) + Cat(Const(0, LIMB_BITS + 1), between))
    return total, MULTIPLIER_LATENCY + 1


def times_constant(
    m: Module, a: Value, factor: int, name: str, instances: bool
) -> tuple[Value, int]:
    """a times a constant: (product, latency); a power of two costs nothing."""
    if factor & (factor - 1) == 0:
        return Cat(Const(0, factor.bit_length() - 1), a), 0
    return product(m, a, Const(factor, factor.bit_length()), name, instances)


def at_latency(m: Module, value: Value, latency: int, wanted: int, name: str) -> Value:
    """A value that came with one latency, held back until another."""
    assert wanted >= latency
    return delayed(m, value, wanted - latency, name)
