// Simulation models of the ECP5 blocks that trn_multiplier and trn_block_ram instantiate, in the
// settings that they use; any other setting ends the simulation.
module MULT18X18D (
    input A0, input A1, input A2, input A3, input A4, input A5, input A6, input A7, input A8,
    input A9, input A10, input A11, input A12, input A13, input A14, input A15, input A16,
    input A17, input B0, input B1, input B2, input B3, input B4, input B5, input B6, input B7,
    input B8, input B9, input B10, input B11, input B12, input B13, input B14, input B15,
    input B16, input B17, input C0, input C1, input C2, input C3, input C4, input C5, input C6,
    input C7, input C8, input C9, input C10, input C11, input C12, input C13, input C14, input C15,
    input C16, input C17, input SIGNEDA, input SIGNEDB, input SOURCEA, input SOURCEB, input CLK0,
    input CLK1, input CLK2, input CLK3, input CE0, input CE1, input CE2, input CE3, input RST0,
    input RST1, input RST2, input RST3, output P0, output P1, output P2, output P3, output P4,
    output P5, output P6, output P7, output P8, output P9, output P10, output P11, output P12,
    output P13, output P14, output P15, output P16, output P17, output P18, output P19, output P20,
    output P21, output P22, output P23, output P24, output P25, output P26, output P27, output P28,
    output P29, output P30, output P31, output P32, output P33, output P34, output P35
);
    parameter REG_INPUTA_CLK = "NONE";
    parameter REG_INPUTA_CE = "CE0";
    parameter REG_INPUTA_RST = "RST0";
    parameter REG_INPUTB_CLK = "NONE";
    parameter REG_INPUTB_CE = "CE0";
    parameter REG_INPUTB_RST = "RST0";
    parameter REG_PIPELINE_CLK = "NONE";
    parameter REG_PIPELINE_CE = "CE0";
    parameter REG_PIPELINE_RST = "RST0";
    parameter REG_OUTPUT_CLK = "NONE";
    parameter REG_OUTPUT_CE = "CE0";
    parameter REG_OUTPUT_RST = "RST0";

    initial begin
        if (REG_INPUTA_CLK != "CLK0" || REG_INPUTB_CLK != "CLK0" || REG_PIPELINE_CLK != "CLK0" || REG_OUTPUT_CLK != "CLK0")
            $fatal(1, "MULT18X18D: a register that is not used");
        if (REG_INPUTA_CE != "CE0" || REG_INPUTB_CE != "CE1" || REG_PIPELINE_CE != "CE0"
                || REG_OUTPUT_CE != "CE0")
            $fatal(1, "MULT18X18D: another clock enable");
    end
    wire [17:0] a = {
        A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0
    };
    wire [17:0] b = {
        B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0
    };
    reg [17:0] held_a, held_b;
    reg [35:0] inner, p;
    wire [35:0] wide_a = {{18{SIGNEDA & held_a[17]}}, held_a};
    wire [35:0] wide_b = {{18{SIGNEDB & held_b[17]}}, held_b};
    always @(posedge CLK0) begin
        if (CE0) held_a <= a;
        if (CE1) held_b <= b;
        if (CE0) inner <= wide_a * wide_b;
        if (CE0) p <= inner;
    end
    assign {
        P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
        P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
    } = p;
    wire unused = &{C0, C17, SOURCEA, SOURCEB, CLK1, CE2, CE3, RST0, 1'b0};
endmodule

module DP16KD (
    input CLKA, input CLKB, input WEA, input WEB, input CEA, input CEB, input OCEA, input OCEB,
    input RSTA, input RSTB, input CSA0, input CSA1, input CSA2, input CSB0, input CSB1, input CSB2,
    input ADA0, input ADA1, input ADA2, input ADA3, input ADA4, input ADA5, input ADA6, input ADA7,
    input ADA8, input ADA9, input ADA10, input ADA11, input ADA12, input ADA13, input ADB0,
    input ADB1, input ADB2, input ADB3, input ADB4, input ADB5, input ADB6, input ADB7, input ADB8,
    input ADB9, input ADB10, input ADB11, input ADB12, input ADB13, input DIA0, input DIA1,
    input DIA2, input DIA3, input DIA4, input DIA5, input DIA6, input DIA7, input DIA8, input DIA9,
    input DIA10, input DIA11, input DIA12, input DIA13, input DIA14, input DIA15, input DIA16,
    input DIA17, input DIB0, input DIB1, input DIB2, input DIB3, input DIB4, input DIB5,
    input DIB6, input DIB7, input DIB8, input DIB9, input DIB10, input DIB11, input DIB12,
    input DIB13, input DIB14, input DIB15, input DIB16, input DIB17, output DOB0, output DOB1,
    output DOB2, output DOB3, output DOB4, output DOB5, output DOB6, output DOB7, output DOB8,
    output DOB9, output DOB10, output DOB11, output DOB12, output DOB13, output DOB14,
    output DOB15, output DOB16, output DOB17
);
    parameter DATA_WIDTH_A = 18;
    parameter DATA_WIDTH_B = 18;
    parameter REGMODE_A = "NOREG";
    parameter REGMODE_B = "NOREG";
    parameter RESETMODE = "SYNC";
    parameter ASYNC_RESET_RELEASE = "SYNC";
    parameter CSDECODE_A = "0b000";
    parameter CSDECODE_B = "0b000";
    parameter CLKAMUX = "CLKA";
    parameter CLKBMUX = "CLKB";
    parameter WRITEMODE_A = "NORMAL";
    parameter WRITEMODE_B = "NORMAL";
    parameter GSR = "AUTO";

    initial begin
        if (DATA_WIDTH_A != DATA_WIDTH_B || REGMODE_B != "OUTREG" || CSDECODE_A != "0b000"
                || CSDECODE_B != "0b000")
            $fatal(1, "DP16KD: another setting than the model has");
    end
    localparam UNUSED = DATA_WIDTH_A == 18 ? 4 : DATA_WIDTH_A == 9 ? 3 : DATA_WIDTH_A == 4 ? 2
        : DATA_WIDTH_A == 2 ? 1 : 0;
    wire [13:0] address_a = {
        ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0
    };
    wire [13:0] address_b = {
        ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0
    };
    wire [17:0] in_a = {
        DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4,
        DIA3, DIA2, DIA1, DIA0
    };
    wire [13:0] word_a = address_a >> UNUSED;
    wire [13:0] word_b = address_b >> UNUSED;
    // Bytes are written where the lowest address bits say so; only the 18-bit form has two.
    wire low = UNUSED != 4 || ADA0;
    wire high = UNUSED != 4 || ADA1;
    reg [17:0] cells [0:16383];
    reg [17:0] inner, out;
    wire collides = WEA && CEA && word_a == word_b;
    always @(posedge CLKA) begin
        if (CEA && WEA && !CSA0 && !CSA1 && !CSA2) begin
            if (low) cells[word_a][8:0] <= in_a[8:0];
            if (high) cells[word_a][17:9] <= in_a[17:9];
        end
    end
    // What a block gives where it is being written is undefined: here, the complement.
    always @(posedge CLKB) begin
        if (CEB) inner <= collides ? ~cells[word_b] : cells[word_b];
        if (OCEB) out <= inner;
    end
    assign {
        DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4,
        DOB3, DOB2, DOB1, DOB0
    } = out;
    wire unused = &{WEB, OCEA, RSTA, RSTB, CSB0, DIB0, DIB17, 1'b0};
endmodule
