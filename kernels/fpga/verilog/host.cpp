// A host for the core as Verilator compiled it: pixels in on standard input, result words out.
//
//   host EXCLUSION EVERY_PLACEMENT STALL_IN STALL_OUT SEED RESET_AFTER
//
// Stalls are cycles in a thousand in which the input offers nothing and the output takes nothing.
// RESET_AFTER > 0 resets the core once that many bytes of a run are in; the run is then done whole.
// In: landmarks as rows, columns and bytes (32 bits each), then the bytes. Landmarks with the same
// window that follow each other make one run. Out: for each landmark the number of words and the
// clock cycles of its run (32 bits each), then the words (64 bits each).
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "Vsimulated_core.h"
#include "verilated.h"

namespace {

struct Landmark {
    uint32_t rows = 0, columns = 0;
    std::vector<uint8_t> bytes;
};

class Host {
public:
    Host(VerilatedContext &context, int stall_in, int stall_out, uint64_t seed)
        : core(&context), stall_in(stall_in), stall_out(stall_out), random(seed * 2 + 1) {
        reset();
    }

    void reset() {
        core.rst = 1;
        core.s_axis_tvalid = 0;
        core.m_axis_tready = 0;
        core.s_axi_awvalid = core.s_axi_wvalid = core.s_axi_arvalid = 0;
        core.s_axi_bready = core.s_axi_rready = 1;
        core.s_axi_wstrb = 15;
        for (int k = 0; k < 3; ++k) clock();
        core.rst = 0;
        clock();  // The reset is behind a register.
    }

    void write(uint32_t offset, uint32_t value) {
        core.s_axi_awaddr = offset;
        core.s_axi_wdata = value;
        core.s_axi_awvalid = core.s_axi_wvalid = 1;
        while (!(core.s_axi_awready && core.s_axi_wready)) clock();
        clock();
        core.s_axi_awvalid = core.s_axi_wvalid = 0;
        while (!core.s_axi_bvalid) clock();
        clock();
    }

    uint32_t read(uint32_t offset) {
        core.s_axi_araddr = offset;
        core.s_axi_arvalid = 1;
        while (!core.s_axi_arready) clock();
        clock();
        core.s_axi_arvalid = 0;
        while (!core.s_axi_rvalid) clock();
        const uint32_t value = core.s_axi_rdata;
        clock();
        return value;
    }

    // Streams `bytes` in until `stop` of them are taken and, unless that is early, all words are out.
    std::vector<std::vector<uint64_t>> stream(const Landmark *first, size_t count, size_t stop) {
        std::vector<std::vector<uint64_t>> results(1);
        size_t landmark = 0, byte = 0, taken = 0, left = count;
        uint64_t quiet = 0;
        while (left > 0 && taken < stop && quiet < 100000000) {
            const bool offers = landmark < count && !stalls(stall_in);
            core.s_axis_tvalid = offers;
            if (offers) {
                core.s_axis_tdata = first[landmark].bytes[byte];
                core.s_axis_tlast = byte + 1 == first[landmark].bytes.size();
            }
            core.m_axis_tready = !stalls(stall_out);
            ++quiet;
            if (offers && core.s_axis_tready) {
                quiet = 0;
                ++taken;
                if (++byte == first[landmark].bytes.size()) {
                    byte = 0;
                    ++landmark;
                }
            }
            if (core.m_axis_tvalid && core.m_axis_tready) {
                quiet = 0;
                results.back().push_back(core.m_axis_tdata);
                if (core.m_axis_tlast) {
                    results.emplace_back();
                    --left;
                }
            }
            clock();
        }
        results.pop_back();
        core.s_axis_tvalid = core.m_axis_tready = 0;
        return results;
    }

private:
    // No output of the core depends on an input within a cycle: what it shows after a clock is what
    // holds at the next.
    void clock() {
        core.clk = 1;
        core.eval();
        core.clk = 0;
        core.eval();
    }

    bool stalls(int share) {
        if (share == 0) return false;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        return static_cast<int>((random >> 33) % 1000) < share;
    }

    Vsimulated_core core;
    int stall_in, stall_out;
    uint64_t random;
};

bool take(Landmark &landmark) {
    uint32_t sizes[3];
    if (std::fread(sizes, 4, 3, stdin) != 3) return false;
    landmark.rows = sizes[0];
    landmark.columns = sizes[1];
    landmark.bytes.resize(sizes[2]);
    return std::fread(landmark.bytes.data(), 1, sizes[2], stdin) == sizes[2];
}

}  // namespace

int main(int argc, char **argv) {
    if (argc != 7) return 2;
    const uint32_t exclusion = std::atoi(argv[1]), every = std::atoi(argv[2]);
    const size_t reset_after = std::atoll(argv[6]);
    std::vector<Landmark> landmarks;
    for (Landmark landmark; take(landmark);) landmarks.push_back(landmark);
    VerilatedContext context;
    Host host(context, std::atoi(argv[3]), std::atoi(argv[4]), std::atoll(argv[5]));
    for (size_t begin = 0, end; begin < landmarks.size(); begin = end) {
        const Landmark &first = landmarks[begin];
        for (end = begin; end < landmarks.size() && end - begin < 65535; ++end)
            if (landmarks[end].rows != first.rows || landmarks[end].columns != first.columns) break;
        std::vector<std::vector<uint64_t>> results;
        for (size_t stop : {reset_after, SIZE_MAX}) {
            if (stop == 0) continue;
            host.write(0x10, first.columns);
            host.write(0x18, first.rows);
            host.write(0x20, exclusion);
            host.write(0x28, every);
            host.write(0x30, end - begin);
            host.write(0x00, 1);
            results = host.stream(&first, end - begin, stop);
            if (stop != SIZE_MAX) host.reset();
        }
        while (!(host.read(0x00) & 2)) {
            if (results.size() != end - begin || host.read(0x40) != 0) return 1;
        }
        const uint32_t cycles = host.read(0x38);
        for (const auto &words : results) {
            const uint32_t sizes[2] = {static_cast<uint32_t>(words.size()), cycles};
            std::fwrite(sizes, 4, 2, stdout);
            std::fwrite(words.data(), 8, words.size(), stdout);
        }
    }
    return 0;
}
