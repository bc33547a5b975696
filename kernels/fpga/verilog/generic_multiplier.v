// trn_multiplier for any tool: p is a * b three cycles later; b is taken over while load_b is high.
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
    reg [A_BITS-1:0] held_a;
    reg [B_BITS-1:0] held_b;
    reg [A_BITS+B_BITS-1:0] inner;
    always @(posedge clk) begin
        held_a <= a;
        if (load_b) held_b <= b;
        p <= inner;
    end
    generate
        if (SIGNED) begin : signs
            always @(posedge clk) inner <= $signed(held_a) * $signed(held_b);
        end else begin : no_signs
            always @(posedge clk) inner <= held_a * held_b;
        end
    endgenerate
endmodule
