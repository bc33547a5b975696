// trn_block_ram in Nexus' PDPSC16K: one clock, a port that writes, one that reads through its
// output register. read_data is there two cycles after read_address. No address may be read while
// it is written.
module trn_block_ram #(
    parameter BITS = 18,
    parameter ADDRESS_BITS = 10
) (
    input wire clk,
    input wire write,
    input wire [ADDRESS_BITS-1:0] write_address,
    input wire [BITS-1:0] write_data,
    input wire [ADDRESS_BITS-1:0] read_address,
    output wire [BITS-1:0] read_data
);
    // The widest form that is deep enough; the lower address bits are then unused, and high: in
    // forms of more than a byte they let the bytes be written.
    localparam WIDTH = ADDRESS_BITS <= 9 ? 36 : ADDRESS_BITS == 10 ? 18 : ADDRESS_BITS == 11 ? 9
        : ADDRESS_BITS == 12 ? 4 : ADDRESS_BITS == 13 ? 2 : 1;
    localparam UNUSED = ADDRESS_BITS <= 9 ? 5 : 14 - ADDRESS_BITS;
    localparam FORM = WIDTH == 36 ? "X36" : WIDTH == 18 ? "X18" : WIDTH == 9 ? "X9"
        : WIDTH == 4 ? "X4" : WIDTH == 2 ? "X2" : "X1";
    localparam BLOCKS = (BITS + WIDTH - 1) / WIDTH;
    localparam [13:0] LOW = (14'd1 << UNUSED) - 14'd1;
    wire [13:0] place_written = write_address << UNUSED | LOW;
    wire [13:0] place_read = read_address << UNUSED | LOW;
    wire [BLOCKS*WIDTH-1:0] wide_in = write_data;
    wire [BLOCKS*WIDTH-1:0] wide_out;
    assign read_data = wide_out[BITS-1:0];
    genvar k;
    generate
        for (k = 0; k < BLOCKS; k = k + 1) begin : blocks
            wire [35:0] in = wide_in[k*WIDTH+:WIDTH];
            wire [35:0] out;
            assign wide_out[k*WIDTH+:WIDTH] = out[WIDTH-1:0];
            PDPSC16K #(
                .DATA_WIDTH_W(FORM), .DATA_WIDTH_R(FORM), .OUTREG("USED"), .RESETMODE("SYNC"),
                .CSDECODE_W("111"), .CSDECODE_R("111"), .ECC("DISABLED"), .GSR("DISABLED")
            ) block (
                .CLK(clk), .CEW(write), .CSW(3'b111), .ADW(place_written), .DI(in), .CER(1'b1),
                .RST(1'b0), .CSR(3'b111), .ADR(place_read), .DO(out)
            );
        end
    endgenerate
endmodule
