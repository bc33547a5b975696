"""Verilog of the core: `python -m kernels.fpga.export` writes what is kept in verilog/."""

from __future__ import annotations

from pathlib import Path

from amaranth.back import verilog

from kernels.fpga.core import Core
from kernels.fpga.parameters import Parameters

FOLDER = Path(__file__).resolve().parent / "verilog"
PLACED = Parameters()
"""The core that is placed and routed."""
CORES = {
    "trn_core.v": PLACED,
    "trn_core_21.v": Parameters(template_px=21, columns=3, most_window_px=281),
    "trn_core_41.v": Parameters(template_px=41, columns=3, most_window_px=281),
}
"""Files kept in verilog/: beside that core, those of the pipeline's templates and windows."""


def core_verilog(parameters: Parameters, name: str = "trn_core") -> str:
    """The core as one text; it needs the modules trn_multiplier and trn_block_ram."""
    return verilog.convert(
        Core(parameters, instances=True), name=name, emit_src=False, strip_internal_attrs=True
    )


def main() -> None:
    """Write the files."""
    for name, parameters in CORES.items():
        temporary = FOLDER / f"{name}.tmp"
        temporary.write_text(core_verilog(parameters), encoding="utf-8")
        temporary.replace(FOLDER / name)


if __name__ == "__main__":
    main()
