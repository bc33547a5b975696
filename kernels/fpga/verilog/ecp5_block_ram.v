// trn_block_ram in ECP5's DP16KD: port A writes, port B reads through its output register.
// read_data is there two cycles after read_address. No address may be read while it is written.
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
    // The widest form that is deep enough; the lower address bits are then unused.
    localparam WIDTH = ADDRESS_BITS <= 10 ? 18 : ADDRESS_BITS == 11 ? 9 : ADDRESS_BITS == 12 ? 4
        : ADDRESS_BITS == 13 ? 2 : 1;
    localparam UNUSED = WIDTH == 18 ? 4 : WIDTH == 9 ? 3 : WIDTH == 4 ? 2 : WIDTH == 2 ? 1 : 0;
    localparam BLOCKS = (BITS + WIDTH - 1) / WIDTH;
    // In the widest form the two lowest address bits let the bytes be written.
    wire [13:0] place_written = write_address << UNUSED | (WIDTH == 18 ? 14'd3 : 14'd0);
    wire [13:0] place_read = read_address << UNUSED;
    wire [BLOCKS*WIDTH-1:0] wide_in = write_data;
    wire [BLOCKS*WIDTH-1:0] wide_out;
    assign read_data = wide_out[BITS-1:0];
    genvar k;
    generate
        for (k = 0; k < BLOCKS; k = k + 1) begin : blocks
            wire [17:0] in = wide_in[k*WIDTH+:WIDTH];
            wire [17:0] out;
            assign wide_out[k*WIDTH+:WIDTH] = out[WIDTH-1:0];
            DP16KD #(
                .DATA_WIDTH_A(WIDTH), .DATA_WIDTH_B(WIDTH), .REGMODE_A("NOREG"),
                .REGMODE_B("OUTREG"), .RESETMODE("SYNC"), .ASYNC_RESET_RELEASE("SYNC"),
                .CSDECODE_A("0b000"), .CSDECODE_B("0b000"), .CLKAMUX("CLKA"), .CLKBMUX("CLKB"),
                .WRITEMODE_A("NORMAL"), .WRITEMODE_B("NORMAL"), .GSR("AUTO")
            ) block (
                .CLKA(clk), .CLKB(clk), .WEA(write), .WEB(1'b0), .CEA(1'b1), .CEB(1'b1),
                .OCEA(1'b1), .OCEB(1'b1), .RSTA(1'b0), .RSTB(1'b0), .CSA0(1'b0), .CSA1(1'b0),
                .CSA2(1'b0), .CSB0(1'b0), .CSB1(1'b0), .CSB2(1'b0), .ADA0(place_written[0]),
                .ADA1(place_written[1]), .ADA2(place_written[2]), .ADA3(place_written[3]),
                .ADA4(place_written[4]), .ADA5(place_written[5]), .ADA6(place_written[6]),
                .ADA7(place_written[7]), .ADA8(place_written[8]), .ADA9(place_written[9]),
                .ADA10(place_written[10]), .ADA11(place_written[11]), .ADA12(place_written[12]),
                .ADA13(place_written[13]), .ADB0(place_read[0]), .ADB1(place_read[1]),
                .ADB2(place_read[2]), .ADB3(place_read[3]), .ADB4(place_read[4]),
                .ADB5(place_read[5]), .ADB6(place_read[6]), .ADB7(place_read[7]),
                .ADB8(place_read[8]), .ADB9(place_read[9]), .ADB10(place_read[10]),
                .ADB11(place_read[11]), .ADB12(place_read[12]), .ADB13(place_read[13]),
                .DIA0(in[0]), .DIA1(in[1]), .DIA2(in[2]), .DIA3(in[3]), .DIA4(in[4]), .DIA5(in[5]),
                .DIA6(in[6]), .DIA7(in[7]), .DIA8(in[8]), .DIA9(in[9]), .DIA10(in[10]),
                .DIA11(in[11]), .DIA12(in[12]), .DIA13(in[13]), .DIA14(in[14]), .DIA15(in[15]),
                .DIA16(in[16]), .DIA17(in[17]), .DIB0(1'b0), .DIB1(1'b0), .DIB2(1'b0), .DIB3(1'b0),
                .DIB4(1'b0), .DIB5(1'b0), .DIB6(1'b0), .DIB7(1'b0), .DIB8(1'b0), .DIB9(1'b0),
                .DIB10(1'b0), .DIB11(1'b0), .DIB12(1'b0), .DIB13(1'b0), .DIB14(1'b0), .DIB15(1'b0),
                .DIB16(1'b0), .DIB17(1'b0), .DOB0(out[0]), .DOB1(out[1]), .DOB2(out[2]),
                .DOB3(out[3]), .DOB4(out[4]), .DOB5(out[5]), .DOB6(out[6]), .DOB7(out[7]),
                .DOB8(out[8]), .DOB9(out[9]), .DOB10(out[10]), .DOB11(out[11]), .DOB12(out[12]),
                .DOB13(out[13]), .DOB14(out[14]), .DOB15(out[15]), .DOB16(out[16]), .DOB17(out[17])
            );
        end
    endgenerate
endmodule
