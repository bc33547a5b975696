"""The core's parameters, and how wide its numbers are: every width follows from a bound."""

from __future__ import annotations

from dataclasses import dataclass

LIMB_BITS = 18
"""Of the multiplier blocks of ECP5, Nexus and 7-series parts, taken without sign."""
ENERGY_LIMBS = 2
LEAST_PASS = 8
"""Cycles of a pass over a row: an accumulator must be written before it is read again."""


def bits_for(low: int, high: int) -> int:
    """Bits that hold every whole number from low to high; in two's complement where low < 0."""
    if low < 0:
        return max((-low - 1).bit_length(), high.bit_length()) + 1
    return max(high.bit_length(), 1)


@dataclass(frozen=True)
class Parameters:
    """What a core is made for.

    template_px: side N of the square templates. columns: template columns multiplied at a time, P;
    the core has N P multipliers for products. most_window_px: longest side of a window. bits: of a
    pixel.
    """

    template_px: int = 32
    columns: int = 4
    most_window_px: int = 100
    bits: int = 8

    def __post_init__(self) -> None:
        if not 8 <= self.template_px < self.most_window_px <= 511:
            raise ValueError("need 8 <= template_px < most_window_px <= 512")
        if not 1 <= self.columns <= self.template_px // 2:
            raise ValueError("columns: from 1 to half of template_px, so that a row has two passes")
        if not 2 <= self.bits <= 8:
            raise ValueError("bits: 2 to 8")
        if self.energy_bits > ENERGY_LIMBS * LIMB_BITS:
            raise ValueError(
                f"templates of {self.template_px} pixels: energies pass "
                f"{ENERGY_LIMBS * LIMB_BITS} bits"
            )

    @property
    def pixels(self) -> int:
        """Pixels of a template, N^2."""
        return self.template_px**2

    @property
    def passes(self) -> int:
        """Passes over a row, each with P template columns; missing ones are zero."""
        return -(-self.template_px // self.columns)

    @property
    def most_level(self) -> int:
        """Of a pixel."""
        return 2**self.bits - 1

    @property
    def most_placements(self) -> int:
        """In the largest window."""
        return (self.most_window_px - self.template_px + 1) ** 2

    @property
    def column_sum_bits(self) -> int:
        """Sum of N pixels."""
        return bits_for(0, self.template_px * self.most_level)

    @property
    def column_square_bits(self) -> int:
        """Sum of N squares."""
        return bits_for(0, self.template_px * self.most_level**2)

    @property
    def sum_bits(self) -> int:
        """Sum of N^2 pixels."""
        return bits_for(0, self.pixels * self.most_level)

    @property
    def product_sum_bits(self) -> int:
        """Sum of N^2 products of two pixels."""
        return bits_for(0, self.pixels * self.most_level**2)

    @property
    def most_energy(self) -> int:
        """N^2 sum(I^2) - sum(I)^2 is largest where half of the pixels are at full scale."""
        return self.pixels**2 * self.most_level**2 // 4

    @property
    def energy_bits(self) -> int:
        """Of an energy."""
        return bits_for(0, self.most_energy)

    @property
    def numerator_bits(self) -> int:
        """Signed. |numerator| <= sqrt(energy template energy) (Cauchy-Schwarz)."""
        return bits_for(-self.most_energy, self.most_energy)
