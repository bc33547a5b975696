"""The FPGA core: zero-mean NCC of one template in one window, in Amaranth."""
