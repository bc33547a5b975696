"""Verilog of the core and its register map: `python -m kernels.fpga.export` writes what is kept."""

from __future__ import annotations

from pathlib import Path

from amaranth.back import verilog

from kernels.fpga.core import Core
from kernels.fpga.parameters import Parameters
from kernels.fpga.registers import register_toml
from trn.files import write_whole

FOLDER = Path(__file__).resolve().parent / "verilog"
CORES = {
    "trn_core.v": Parameters(),
    "trn_core_nexus.v": Parameters(columns=1),
    "trn_core_21.v": Parameters(template_px=21, columns=3, most_window_px=281),
    "trn_core_41.v": Parameters(template_px=41, columns=3, most_window_px=281),
}
"""Files kept in verilog/: the cores that are placed, on an ECP5 and a Nexus part, and those of the
pipeline's templates and windows, for simulation."""


def core_verilog(parameters: Parameters, name: str = "trn_core") -> str:
    """The core as one text; it needs the modules trn_multiplier and trn_block_ram."""
    return verilog.convert(
        Core(parameters, instances=True), name=name, emit_src=False, strip_internal_attrs=True
    )


def main() -> None:
    """Write the files."""
    write_whole(FOLDER.parent / "registers.toml", register_toml())
    for name, parameters in CORES.items():
        write_whole(FOLDER / name, core_verilog(parameters))


if __name__ == "__main__":
    main()
