// trn_multiplier in the vendor's block of Nexus, with the registers inside it.
// p is a * b three cycles later; b is taken over while load_b is high. The block has no register
// between its array and its output: the third one is in the fabric.
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
    wire [17:0] wide_a = {{(19 - A_BITS){SIGNED ? a[A_BITS-1] : 1'b0}}, a};
    wire [17:0] wide_b = {{(19 - B_BITS){SIGNED ? b[B_BITS-1] : 1'b0}}, b};
    wire [35:0] wide_p;
    MULT18X18 #(
        .REGINPUTA("REGISTER"), .REGINPUTB("REGISTER"), .REGOUTPUT("REGISTER"),
        .RESETMODE("SYNC"), .GSR("DISABLED")
    ) block (
        .CLK(clk), .A(wide_a), .B(wide_b), .SIGNEDA(SIGNED ? 1'b1 : 1'b0),
        .SIGNEDB(SIGNED ? 1'b1 : 1'b0), .CEA(1'b1), .CEB(load_b), .CEOUT(1'b1), .RSTA(1'b0),
        .RSTB(1'b0), .RSTOUT(1'b0), .Z(wide_p)
    );
    always @(posedge clk) p <= wide_p[A_BITS+B_BITS-1:0];
endmodule
