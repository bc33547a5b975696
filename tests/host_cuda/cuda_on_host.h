// Executes one CUDA kernel on the CPU, from the same source: a test tool, nothing else.
//
// One fiber a CUDA thread where threads cooperate, a plain loop where they do not. The threads and
// blocks run in an order that the caller picks, so that a missing barrier shows as a result that
// depends on the order. Shared memory is NaN before each block. A barrier that not all threads of a
// block reach, or not at the same line, ends the run. AddressSanitizer does the rest: every buffer
// is as large as the caller says, and no larger. Blocks run one after the other: what two blocks do
// to each other at the same time is not seen.

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <tuple>
#include <ucontext.h>
#include <vector>

using std::abs, std::isfinite, std::max, std::min, std::nan, std::nanf;

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("block_shared")))
#define __syncthreads() host_cuda::barrier(__LINE__)

struct uint3 {
    unsigned x, y, z;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
static uint3 threadIdx, blockIdx, blockDim, gridDim;

// Fibers take turns at barriers only: nothing else is ever half done.
inline void __threadfence() {}
inline float __ldcg(const float *p) { return *p; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline unsigned atomicAdd(unsigned *p, unsigned more) {
    unsigned before = *p;
    *p += more;
    return before;
}
inline unsigned atomicMax(unsigned *p, unsigned other) {
    unsigned before = *p;
    *p = max(before, other);
    return before;
}
inline unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// The bounds of all static shared memory; absent where a kernel has none.
extern "C" char __start_block_shared[] __attribute__((weak));
extern "C" char __stop_block_shared[] __attribute__((weak));

namespace host_cuda {

static const size_t STACK_BYTES = 1 << 16;
static const int RUNNING = 0, FINISHED = -1;
enum Exit { BAD_INPUT = 2, DIVERGENT_BARRIER = 3 };

struct Fiber {
    uint3 index;
    int stopped_at; // RUNNING, FINISHED, or the line of a barrier
    ucontext_t start;
    jmp_buf resume;
    std::unique_ptr<char[]> stack; // unset: setting it would take longer than most kernels
};
static jmp_buf scheduler;
static Fiber *fiber;
static void (*body)();
static char *dynamic_shared;
static size_t dynamic_bytes;

inline void barrier(int line) {
    fiber->stopped_at = line;
    if (!_setjmp(fiber->resume)) _longjmp(scheduler, 1);
    fiber->stopped_at = RUNNING;
}

// One life a fiber, all blocks after each other: starting one is a system call.
static void run_fiber() {
    while (true) {
        body();
        barrier(FINISHED);
    }
}

static void resume(Fiber &next) {
    fiber = &next;
    threadIdx = next.index;
    if (_setjmp(scheduler)) return;
    if (next.stack) _longjmp(next.resume, 1);
    next.stack.reset(new char[STACK_BYTES]);
    getcontext(&next.start);
    next.start.uc_stack.ss_sp = next.stack.get();
    next.start.uc_stack.ss_size = STACK_BYTES;
    makecontext(&next.start, run_fiber, 0);
    setcontext(&next.start);
}

static unsigned random_state;
static unsigned below(unsigned bound) {
    random_state = random_state * 1664525u + 1013904223u;
    return (unsigned)(((uint64_t)random_state * bound) >> 32);
}

// order: 0 as they come, 1 backwards, beyond that shuffled.
template <class T> void arrange(std::vector<T> &items, int order) {
    if (order == 1) std::reverse(items.begin(), items.end());
    for (size_t i = items.size(); order > 1 && i > 1; --i) std::swap(items[i - 1], items[below(i)]);
}

static std::vector<uint3> every_index(uint3 extent, int order) {
    std::vector<uint3> all;
    for (unsigned z = 0; z < extent.z; ++z)
        for (unsigned y = 0; y < extent.y; ++y)
            for (unsigned x = 0; x < extent.x; ++x) all.push_back({x, y, z});
    arrange(all, order);
    return all;
}

// Volatile: AddressSanitizer keeps red zones between the arrays, which may be overwritten as well.
__attribute__((no_sanitize("address"))) static void poison_shared() {
    for (volatile char *p = __start_block_shared; p < __stop_block_shared; ++p) *p = (char)0xff;
    memset(dynamic_shared, 0xff, dynamic_bytes);
}

static void run_block(std::vector<Fiber> &fibers, int order) {
    std::vector<Fiber *> waiting;
    for (Fiber &f : fibers) waiting.push_back(&f);
    while (true) {
        arrange(waiting, order);
        for (Fiber *f : waiting) resume(*f);
        int line = waiting[0]->stopped_at;
        for (Fiber *f : waiting) {
            if (f->stopped_at == line) continue;
            fprintf(stderr, "divergent barrier: thread %u is at line %d, thread %u at line %d\n",
                    waiting[0]->index.x, line, f->index.x, f->stopped_at);
            exit(DIVERGENT_BARRIER);
        }
        if (line == FINISHED) return;
    }
}

static void launch(uint3 grid, uint3 block, bool cooperative, int order) {
    gridDim = grid, blockDim = block, random_state = order;
    std::vector<Fiber> fibers;
    for (uint3 index : every_index(block, 0)) fibers.push_back({index, RUNNING, {}, {}, {}});
    for (uint3 index : every_index(grid, order)) {
        blockIdx = index;
        poison_shared();
        if (cooperative) run_block(fibers, order);
        for (size_t i = 0; !cooperative && i < fibers.size(); ++i) {
            threadIdx = fibers[i].index;
            body();
        }
    }
}

static void take(void *into, size_t bytes) {
    if (fread(into, 1, bytes, stdin) != bytes) exit(BAD_INPUT);
}

// Buffers that the kernel may write to, which go back to the caller.
static std::vector<std::pair<char *, int64_t>> results;

template <class T> struct Argument {
    static T read() {
        T value;
        take(&value, sizeof value);
        return value;
    }
};
template <class T> struct Argument<T *> {
    static T *read() {
        int64_t bytes = Argument<int64_t>::read();
        char *buffer = (char *)malloc(bytes);
        take(buffer, bytes);
        if (!std::is_const<T>::value) results.push_back({buffer, bytes});
        return (T *)buffer;
    }
};

// Reads one launch from standard input, runs it, and writes what the kernel wrote to the output.
template <auto Kernel, class... A> int serve(void (*)(A...), bool cooperative) {
    static std::tuple<A...> *arguments;
    int32_t head[8]; // grid, block, bytes of dynamic shared memory, order
    take(head, sizeof head);
    dynamic_bytes = head[6];
    dynamic_shared = (char *)malloc(dynamic_bytes);
    arguments = new std::tuple<A...>{Argument<A>::read()...};
    body = [] { std::apply(Kernel, *arguments); };
    launch({(unsigned)head[0], (unsigned)head[1], (unsigned)head[2]},
           {(unsigned)head[3], (unsigned)head[4], (unsigned)head[5]}, cooperative, head[7]);
    for (auto &[buffer, bytes] : results) fwrite(buffer, 1, bytes, stdout);
    return 0;
}

} // namespace host_cuda
