// trn_block_ram for any tool: read_data is there two cycles after read_address.
// No address may be read while it is written; simulations give the word's complement then.
module trn_block_ram #(
    parameter BITS = 18,
    parameter ADDRESS_BITS = 10
) (
    input wire clk,
    input wire write,
    input wire [ADDRESS_BITS-1:0] write_address,
    input wire [BITS-1:0] write_data,
    input wire [ADDRESS_BITS-1:0] read_address,
    output reg [BITS-1:0] read_data
);
    (* no_rw_check *) reg [BITS-1:0] cells [0:(1 << ADDRESS_BITS)-1];
    reg [BITS-1:0] inner;
    always @(posedge clk) begin
        if (write) cells[write_address] <= write_data;
`ifdef VERILATOR
        inner <= write && write_address == read_address ? ~cells[read_address] : cells[read_address];
`else
        inner <= cells[read_address];
`endif
        read_data <= inner;
    end
endmodule
