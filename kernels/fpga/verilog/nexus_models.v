// Simulation models of the Nexus blocks that trn_multiplier and trn_block_ram instantiate, in the
// settings that they use; any other setting ends the simulation.
module MULT18X18 (
    input CLK,
    input [17:0] A,
    input [17:0] B,
    input SIGNEDA,
    input SIGNEDB,
    input CEA,
    input CEB,
    input CEOUT,
    input RSTA,
    input RSTB,
    input RSTOUT,
    output reg [35:0] Z
);
    parameter REGINPUTA = "REGISTER";
    parameter REGINPUTB = "REGISTER";
    parameter REGOUTPUT = "REGISTER";
    parameter RESETMODE = "SYNC";
    parameter GSR = "ENABLED";

    initial begin
        if (REGINPUTA != "REGISTER" || REGINPUTB != "REGISTER" || REGOUTPUT != "REGISTER"
                || RESETMODE != "SYNC" || GSR != "DISABLED")
            $fatal(1, "MULT18X18: another setting than the model has");
    end
    reg [18:0] held_a, held_b;
    wire [37:0] whole = $signed(held_a) * $signed(held_b);
    always @(posedge CLK) begin
        if (RSTA) held_a <= 0;
        else if (CEA) held_a <= {SIGNEDA & A[17], A};
        if (RSTB) held_b <= 0;
        else if (CEB) held_b <= {SIGNEDB & B[17], B};
        if (RSTOUT) Z <= 0;
        else if (CEOUT) Z <= whole[35:0];
    end
endmodule

module PDPSC16K (
    input CLK,
    input CEW,
    input [2:0] CSW,
    input [13:0] ADW,
    input [35:0] DI,
    input CER,
    input RST,
    input [2:0] CSR,
    input [13:0] ADR,
    output reg [35:0] DO
);
    parameter DATA_WIDTH_W = "X36";
    parameter DATA_WIDTH_R = "X36";
    parameter OUTREG = "BYPASSED";
    parameter RESETMODE = "SYNC";
    parameter CSDECODE_W = "000";
    parameter CSDECODE_R = "000";
    parameter ECC = "DISABLED";
    parameter GSR = "ENABLED";

    initial begin
        if (DATA_WIDTH_W != DATA_WIDTH_R || OUTREG != "USED" || RESETMODE != "SYNC"
                || CSDECODE_W != "111" || CSDECODE_R != "111" || ECC != "DISABLED"
                || GSR != "DISABLED")
            $fatal(1, "PDPSC16K: another setting than the model has");
    end
    localparam UNUSED = DATA_WIDTH_W == "X36" ? 5 : DATA_WIDTH_W == "X18" ? 4
        : DATA_WIDTH_W == "X9" ? 3 : DATA_WIDTH_W == "X4" ? 2 : DATA_WIDTH_W == "X2" ? 1 : 0;
    // Bytes are written where the lowest address bits say so; only forms of more than one have them.
    wire [3:0] bytes = UNUSED == 5 ? ADW[3:0] : UNUSED == 4 ? {2'b11, ADW[1:0]} : 4'b1111;
    wire [13:0] word_written = ADW >> UNUSED;
    wire [13:0] word_read = ADR >> UNUSED;
    wire writes = CEW && CSW == 3'b111;
    reg [35:0] cells [0:(16384 >> UNUSED)-1];
    reg [35:0] inner;
    integer k;
    always @(posedge CLK) begin
        if (writes)
            for (k = 0; k < 4; k = k + 1)
                if (bytes[k]) cells[word_written][9*k+:9] <= DI[9*k+:9];
        // What a block gives where it is being written is undefined: here, the complement.
        if (CER && CSR == 3'b111)
            inner <= writes && word_written == word_read ? ~cells[word_read] : cells[word_read];
        if (RST) DO <= 0;
        else if (CER) DO <= inner;
    end
endmodule
