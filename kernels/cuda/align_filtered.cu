// Two images, each with a filter of its own.

#include "mirror.cuh"

#define FILTER 31
#define HALF_FILTER (FILTER / 2)
#define TILE_COLUMNS 32
#define TILE_ROWS 8
#define TILE_THREADS (TILE_COLUMNS * TILE_ROWS)
#define REGION_COLUMNS (TILE_COLUMNS + FILTER - 1)
#define REGION_ROWS (TILE_ROWS + FILTER - 1)

// source, filtered: (2, rows, columns). weights: (2, FILTER, FILTER), each image's own, correlated
// with it. Beyond the border images are mirrored over it. One block a tile; blockIdx.z is the image.
extern "C" __global__ void __launch_bounds__(TILE_THREADS)
align_filtered(const float *source, int rows, int columns, const float *weights,
               float *filtered) {
    __shared__ float region[REGION_ROWS * REGION_COLUMNS], weight[FILTER * FILTER];
    long long image = (long long)blockIdx.z * rows * columns;
    int left = blockIdx.x * TILE_COLUMNS, top = blockIdx.y * TILE_ROWS;
    int thread = threadIdx.y * TILE_COLUMNS + threadIdx.x;
    for (int p = thread; p < FILTER * FILTER; p += TILE_THREADS)
        weight[p] = weights[blockIdx.z * FILTER * FILTER + p];
    for (int p = thread; p < REGION_ROWS * REGION_COLUMNS; p += TILE_THREADS) {
        int y = mirrored_over(top + p / REGION_COLUMNS - HALF_FILTER, rows);
        int x = mirrored_over(left + p % REGION_COLUMNS - HALF_FILTER, columns);
        region[p] = source[image + (long long)y * columns + x];
    }
    __syncthreads();
    int x = left + threadIdx.x, y = top + threadIdx.y;
    if (x >= columns || y >= rows) return;
    float sum = 0.0f;
    for (int j = 0; j < FILTER; ++j) {
        const float *line = region + (threadIdx.y + j) * REGION_COLUMNS + threadIdx.x;
        for (int i = 0; i < FILTER; ++i) sum += weight[j * FILTER + i] * line[i];
    }
    filtered[image + (long long)y * columns + x] = sum;
}
