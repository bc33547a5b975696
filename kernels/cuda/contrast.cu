// Local contrast: values minus their local mean, over their local deviation, of known pixels only.
//
// What is not finite is not known. smoothed -> its local mean (along rows, along columns) taken away
// -> the local mean of the square of that -> one over the other. One thread a pixel. The reference is
// trn/backend/cpu_contrast.py.

#include "mirror.cuh"
#include "average.cuh"

#define LEAST_WEIGHT 1e-6f
#define TILE_PIXELS (AROUND * AROUND)
#define LEVEL_THREADS 128

// Adds up what the threads of a block have set, each its own of `shared`: the sum is the first's.
__device__ void add_up(float *shared, int threads, int t) {
    for (int half = threads / 2; half > 0; half /= 2) {
        __syncthreads();
        if (t < half) shared[t] += shared[t + half];
    }
}

// values: (rows, columns). smooth: their averages over what is known, NaN where they are not.
// tile_sums: (blocks, 2), sum and number of what is known in each block's tile.
extern "C" __global__ void __launch_bounds__(TILE_PIXELS)
contrast_smooth(const float *values, int rows, int columns, const float *weights, int radius,
                float *smooth, float *tile_sums) {
    extern __shared__ float lines[];
    __shared__ float sums[2][TILE_PIXELS];
    int x = blockIdx.x * AROUND + threadIdx.x, y = blockIdx.y * AROUND + threadIdx.y;
    int t = threadIdx.y * AROUND + threadIdx.x;
    auto value = [&](int plane, int j, int i) -> float {
        float here = values[(long long)j * columns + i];
        if (!isfinite(here)) return 0.0f;
        return plane == 0 ? here : 1.0f;
    };
    float around[2];
    average_around<2>(value, rows, columns, weights, radius, lines, around);
    bool counts = x < columns && y < rows && value(1, y, x) > 0.0f;
    float average = around[0] / (around[1] + LEAST_WEIGHT);
    sums[0][t] = counts ? average : 0.0f;
    sums[1][t] = counts ? 1.0f : 0.0f;
    for (int which = 0; which < 2; ++which) add_up(sums[which], TILE_PIXELS, t);
    if (t == 0)
        for (int which = 0; which < 2; ++which)
            tile_sums[2 * (blockIdx.y * gridDim.x + blockIdx.x) + which] = sums[which][0];
    if (x < columns && y < rows) smooth[(long long)y * columns + x] = counts ? average : nanf("");
}

// averages: (2, rows, columns), along rows of pixels, of smooth with 0 where it is not known, and of
// whether it is; blockIdx.z says which.
extern "C" __global__ void contrast_rows(const float *smooth, int rows, int columns,
                                         const float *weights, int radius, float *averages) {
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= columns || y >= rows) return;
    long long row = (long long)y * columns;
    bool only_whether = blockIdx.z == 1;
    auto value = [&](int at) -> float {
        float here = smooth[row + at];
        if (!isfinite(here)) return 0.0f;
        return only_whether ? 1.0f : here;
    };
    averages[(long long)blockIdx.z * rows * columns + row + x] =
        average_line(value, x, columns, weights, radius);
}

// averages: of contrast_rows. rest: (2, rows, columns), smooth less its local mean, NaN where it is
// not known, and what is known around each pixel.
extern "C" __global__ void contrast_rest(const float *averages, const float *smooth, int rows,
                                         int columns, const float *weights, int radius,
                                         float *rest) {
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= columns || y >= rows) return;
    long long pixels = (long long)rows * columns, p = (long long)y * columns + x;
    float sums[2];
    for (int plane = 0; plane < 2; ++plane) {
        const float *column = averages + plane * pixels + x;
        auto value = [&](int at) -> float { return column[(long long)at * columns]; };
        sums[plane] = average_line(value, y, rows, weights, radius);
    }
    rest[p] = smooth[p] - sums[0] / (sums[1] + LEAST_WEIGHT);
    rest[pixels + p] = sums[1] + LEAST_WEIGHT;
}

// squares: (rows, columns), averages along rows of pixels of the squared rest, 0 where not known.
// tile_sums: (tiles, 2), of contrast_smooth. level: (1), the mean of smooth, which the first block
// adds up for contrast_over.
extern "C" __global__ void __launch_bounds__(LEVEL_THREADS)
contrast_squares(const float *rest, int rows, int columns, const float *weights, int radius,
                 const float *tile_sums, int tiles, float *squares, float *level) {
    __shared__ float sums[2][LEVEL_THREADS];
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    int t = threadIdx.y * blockDim.x + threadIdx.x;
    if (blockIdx.x == 0 && blockIdx.y == 0) {
        for (int which = 0; which < 2; ++which) {
            float sum = 0.0f;
            for (int tile = t; tile < tiles; tile += LEVEL_THREADS)
                sum += tile_sums[2 * tile + which];
            sums[which][t] = sum;
            add_up(sums[which], LEVEL_THREADS, t);
        }
        if (t == 0) level[0] = sums[0][0] / sums[1][0];
    }
    if (x >= columns || y >= rows) return;
    const float *line = rest + (long long)y * columns;
    auto value = [&](int at) -> float { return isfinite(line[at]) ? line[at] * line[at] : 0.0f; };
    squares[(long long)y * columns + x] = average_line(value, x, columns, weights, radius);
}

// rest: of contrast_rest. squares, level: of contrast_squares. share: of the level, added to the
// deviation. contrast: (rows, columns), NaN where not known.
extern "C" __global__ void contrast_over(const float *rest, const float *squares, int rows,
                                         int columns, const float *weights, int radius,
                                         const float *level, float share, float *contrast) {
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= columns || y >= rows) return;
    long long pixels = (long long)rows * columns, p = (long long)y * columns + x;
    auto value = [&](int at) -> float { return squares[(long long)at * columns + x]; };
    float square = average_line(value, y, rows, weights, radius);
    float deviation = sqrtf(square / rest[pixels + p]);
    contrast[p] = rest[p] / (deviation + (share * fabsf(level[0]) + 1e-9f));
}
