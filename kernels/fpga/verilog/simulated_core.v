// The core as Verilator compiles it: its reset behind a register. From a pin it would make all of
// the core's next state depend on an input, and be computed again whenever any input may have changed.
module simulated_core (
    input clk,
    input rst,
    input [6:0] s_axi_awaddr,
    input s_axi_awvalid,
    output s_axi_awready,
    input [31:0] s_axi_wdata,
    input [3:0] s_axi_wstrb,
    input s_axi_wvalid,
    output s_axi_wready,
    output [1:0] s_axi_bresp,
    output s_axi_bvalid,
    input s_axi_bready,
    input [6:0] s_axi_araddr,
    input s_axi_arvalid,
    output s_axi_arready,
    output [31:0] s_axi_rdata,
    output [1:0] s_axi_rresp,
    output s_axi_rvalid,
    input s_axi_rready,
    input [7:0] s_axis_tdata,
    input s_axis_tvalid,
    output s_axis_tready,
    input s_axis_tlast,
    output [63:0] m_axis_tdata,
    output m_axis_tvalid,
    input m_axis_tready,
    output m_axis_tlast,
    output interrupt
);
    reg held_rst;
    always @(posedge clk) held_rst <= rst;
    trn_core core (.*, .rst(held_rst));
endmodule
