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
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/wait.h>
#include <tuple>
#include <ucontext.h>
#include <unistd.h>
#include <utility>
#include <vector>

using std::abs, std::isfinite, std::max, std::min, std::nan, std::nanf;

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("block_shared")))
#define __syncthreads() host_cuda::barrier(__LINE__)

struct uint3 { unsigned x, y, z; };
struct alignas(16) float4 { float x, y, z, w; };
static uint3 threadIdx, blockIdx, blockDim, gridDim;

// Fibers take turns at barriers only: nothing else is ever half done.
inline void __threadfence() {}
inline float __ldcg(const float *p) { return *p; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline unsigned atomicAdd(unsigned *p, unsigned more) { return std::exchange(*p, *p + more); }
inline unsigned atomicMax(unsigned *p, unsigned other) { return std::exchange(*p, max(*p, other)); }
template <class To, class From> To same_bits(From from) {
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
inline unsigned __float_as_uint(float x) { return same_bits<unsigned>(x); }
inline float __uint_as_float(unsigned bits) { return same_bits<float>(bits); }

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
    void *resume[5];
    char *stack; // unset: setting it would take longer than most kernels
};
static Fiber *fiber;
static void *scheduler[5], (*body)();
static char *dynamic_shared;
static size_t dynamic_bytes;

// GCC's own jumps, and unseen by AddressSanitizer, which makes two system calls of each that it sees.
#define JUMPS __attribute__((noipa, no_sanitize("address")))
JUMPS [[noreturn]] static void jump(void **to) { __builtin_longjmp(to, 1); }

JUMPS static void barrier(int line) {
    fiber->stopped_at = line;
    if (!__builtin_setjmp(fiber->resume)) jump(scheduler);
    fiber->stopped_at = RUNNING;
}

// One life a fiber, all blocks after each other: starting one is a system call.
static void run_fiber() { for (;; barrier(FINISHED)) body(); }

JUMPS static void resume(Fiber &next) {
    fiber = &next, threadIdx = next.index;
    if (__builtin_setjmp(scheduler)) return;
    if (next.stack) jump(next.resume);
    next.stack = new char[STACK_BYTES];
    ucontext_t start;
    getcontext(&start);
    start.uc_stack.ss_sp = next.stack, start.uc_stack.ss_size = STACK_BYTES;
    makecontext(&start, run_fiber, 0);
    setcontext(&start);
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
    for (unsigned i = 0; i < extent.x * extent.y * extent.z; ++i)
        all.push_back({i % extent.x, i / extent.x % extent.y, i / extent.x / extent.y});
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
    for (int line = RUNNING; line != FINISHED;) {
        arrange(waiting, order);
        for (Fiber *f : waiting) resume(*f);
        line = waiting[0]->stopped_at;
        for (Fiber *f : waiting) {
            if (f->stopped_at == line) continue;
            fprintf(stderr, "divergent barrier: thread %u is at line %d, thread %u at line %d\n",
                    waiting[0]->index.x, line, f->index.x, f->stopped_at);
            exit(DIVERGENT_BARRIER);
        }
    }
}

static void launch(uint3 grid, uint3 block, bool cooperative, int order) {
    gridDim = grid, blockDim = block, random_state = order;
    std::vector<Fiber> fibers;
    for (uint3 index : every_index(block, 0)) fibers.push_back({index, RUNNING, {}, nullptr});
    for (uint3 index : every_index(grid, order)) {
        blockIdx = index;
        poison_shared();
        if (cooperative) run_block(fibers, order);
        else for (Fiber &f : fibers) threadIdx = f.index, body();
    }
}

static FILE *launch_file;
// Buffers that the kernel may write to, which go back to the caller.
static std::vector<std::pair<void *, int64_t>> results;

static void take(void *into, size_t bytes) {
    if (fread(into, 1, bytes, launch_file) != bytes) exit(BAD_INPUT);
}

template <class T> T argument() {
    if constexpr (std::is_pointer<T>::value) {
        auto bytes = argument<int64_t>();
        void *buffer = malloc(bytes);
        take(buffer, bytes);
        if (!std::is_const<std::remove_pointer_t<T>>::value) results.push_back({buffer, bytes});
        return (T)buffer;
    }
    T value;
    take(&value, sizeof value);
    return value;
}

// Runs the launch that is in the file, and puts what the kernel wrote in its place.
template <auto Kernel, class... A> void run(void (*)(A...), bool cooperative) {
    uint3 grid = argument<uint3>(), block = argument<uint3>();
    dynamic_bytes = argument<int32_t>();
    dynamic_shared = (char *)malloc(dynamic_bytes);
    int order = argument<int32_t>();
    static std::tuple<A...> arguments{argument<A>()...};
    body = [] { std::apply(Kernel, arguments); };
    launch(grid, block, cooperative, order);
    rewind(launch_file);
    for (auto &[buffer, bytes] : results) fwrite(buffer, 1, bytes, launch_file);
}

// Reads from standard input which kernel to run, and for how long, and says how that ended. Every
// launch is a fork of this process: a start costs little, and nothing is left of it for the next.
static void serve(const char *file, void (*run_named)(const char *)) {
    char name[100];
    int longest_s, status;
    while (scanf("%99s %d", name, &longest_s) == 2) {
        if (fork() == 0) {
            alarm(longest_s);
            launch_file = fopen(file, "r+");
            run_named(name);
            exit(0);
        }
        wait(&status);
        dprintf(STDOUT_FILENO, "%d\n", status);
    }
}
} // namespace host_cuda
