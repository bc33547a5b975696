// trn_multiplier in the vendor's blocks of Nexus parts (CertusPro, CrossLink-NX): two registers are
// inside, the third one behind. p is a * b three cycles later; b is taken over while load_b is high.
module trn_multiplier #(
    parameter A_BITS = 18,
    parameter B_BITS = 18,
    parameter SIGNED = 0
) (
    input wire clk,
    input wire [A_BITS-1:0] a,
    input wire [B_BITS-1:0] b,
    input wire load_b,
    output reg [A_BITS+B_BITS-1:0] p
);
    localparam WIDTH = A_BITS <= 9 && B_BITS <= 9 ? 9 : 18;
    wire [WIDTH-1:0] wide_a = {{(WIDTH + 1 - A_BITS){SIGNED ? a[A_BITS-1] : 1'b0}}, a};
    wire [WIDTH-1:0] wide_b = {{(WIDTH + 1 - B_BITS){SIGNED ? b[B_BITS-1] : 1'b0}}, b};
    wire [2*WIDTH-1:0] wide_p;
    always @(posedge clk) p <= wide_p[A_BITS+B_BITS-1:0];
    generate
        if (WIDTH == 9) begin : narrow
            MULT9X9 #(
                .REGINPUTA("REGISTER"), .REGINPUTB("REGISTER"), .REGOUTPUT("REGISTER"),
                .GSR("DISABLED"), .RESETMODE("SYNC")
            ) block (
                .A(wide_a), .B(wide_b), .CLK(clk), .CEA(1'b1), .RSTA(1'b0), .CEB(load_b),
                .RSTB(1'b0), .SIGNEDA(SIGNED ? 1'b1 : 1'b0), .SIGNEDB(SIGNED ? 1'b1 : 1'b0),
                .RSTOUT(1'b0), .CEOUT(1'b1), .Z(wide_p)
            );
        end else begin : wide
            MULT18X18 #(
                .REGINPUTA("REGISTER"), .REGINPUTB("REGISTER"), .REGOUTPUT("REGISTER"),
                .GSR("DISABLED"), .RESETMODE("SYNC")
            ) block (
                .A(wide_a), .B(wide_b), .CLK(clk), .CEA(1'b1), .RSTA(1'b0), .CEB(load_b),
                .RSTB(1'b0), .SIGNEDA(SIGNED ? 1'b1 : 1'b0), .SIGNEDB(SIGNED ? 1'b1 : 1'b0),
                .RSTOUT(1'b0), .CEOUT(1'b1), .Z(wide_p)
            );
        end
    endgenerate
endmodule
