// Where a predicted view cannot be relied on: at the edges of shadows, and behind ridges.
//
// The reference is trn/backend/cpu_view.py.

#include "block_sum.cuh"
#include "mirror.cuh"

#define HIT 0
#define SKY 1
#define THREADS 128
#define COUNTS 3

// The range of a pixel, 0 without a hit; beyond the border mirrored about the end pixels.
__device__ float range_at(const double *range_m, const unsigned char *state, int rows, int columns,
                          int y, int x) {
    long long p = (long long)mirrored_about(y, rows) * columns + mirrored_about(x, columns);
    return state[p] == HIT ? (float)range_m[p] : 0.0f;
}

// Whether the border of light and cast shadow runs through a pixel or beside it.
__device__ bool at_shadow_edge(const float *lit, int rows, int columns, int y, int x) {
    float highest = 0.0f, lowest = 1.0f;
    for (int j = max(y - 1, 0); j <= min(y + 1, rows - 1); ++j)
        for (int i = max(x - 1, 0); i <= min(x + 1, columns - 1); ++i) {
            float share = lit[(long long)j * columns + i];
            share = isfinite(share) ? share : 1.0f;
            highest = fmaxf(highest, share);
            lowest = fminf(lowest, share);
        }
    return highest - lowest > 0.5f;
}

// range_m, state: of the rays, (rows, columns). shaded, lit: radiance factor and lit fraction; NaN
// without a hit. jump: second difference of ranges, over the range, from which on it is a ridge's
// edge. sure: shaded, NaN at edges. counts: (blocks, COUNTS), pixels of the sky, of terrain, and of
// sunlit terrain. One thread a pixel.
extern "C" __global__ void __launch_bounds__(THREADS)
view_sure(const double *range_m, const unsigned char *state, const float *shaded, const float *lit,
          int rows, int columns, float jump, float *sure, int *counts) {
    __shared__ int shared[COUNTS][THREADS];
    int t = threadIdx.x, p = blockIdx.x * THREADS + t;
    bool inside = p < rows * columns;
    int y = inside ? p / columns : 0, x = inside ? p % columns : 0;
    if (inside) {
        float here = range_at(range_m, state, rows, columns, y, x);
        float across = range_at(range_m, state, rows, columns, y, x - 1) - 2.0f * here +
                       range_at(range_m, state, rows, columns, y, x + 1);
        float down = range_at(range_m, state, rows, columns, y - 1, x) - 2.0f * here +
                     range_at(range_m, state, rows, columns, y + 1, x);
        bool edge = fmaxf(fabsf(across), fabsf(down)) > jump * here ||
                    at_shadow_edge(lit, rows, columns, y, x);
        sure[p] = edge ? nanf("") : shaded[p];
    }
    bool hit = inside && state[p] == HIT;
    int count[COUNTS] = {inside && state[p] == SKY, hit, hit && lit[p] > 0.5f};
    sum_over_block<COUNTS>(count, shared);
    if (t == 0)
        for (int i = 0; i < COUNTS; ++i) counts[COUNTS * blockIdx.x + i] = shared[i][0];
}
