// What tells whether a frame can show terrain at all: sums over its pixels, and over the slopes of
// a small copy of it.
//
// The reference is trn/backend/cpu_statistics.py.

#include "block_sum.cuh"

#define THREADS 128
#define PIXEL_SUMS 8
#define SLOPE_SUMS 3

// image: (rows, columns). black, saturated: what is no brighter, and no darker. sums: (blocks,
// PIXEL_SUMS): number of black and of saturated pixels; of values less the first pixel's their sum
// and their squares'; of pairs of neighbours along rows, then along columns, products and sums.
extern "C" __global__ void __launch_bounds__(THREADS)
image_sums(const float *image, int rows, int columns, float black, float saturated, double *sums) {
    __shared__ double shared[PIXEL_SUMS][THREADS];
    double sum[PIXEL_SUMS] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
    // About a value of the image itself, a flat one comes out as exactly flat.
    float first = image[0];
    for (int p = blockIdx.x * THREADS + threadIdx.x; p < rows * columns; p += gridDim.x * THREADS) {
        double value = (double)image[p] - first;
        sum[0] += image[p] <= black;
        sum[1] += image[p] >= saturated;
        sum[2] += value;
        sum[3] += value * value;
        if (p % columns > 0) {
            double left = (double)image[p - 1] - first;
            sum[4] += value * left;
            sum[5] += value + left;
        }
        if (p >= columns) {
            double above = (double)image[p - columns] - first;
            sum[6] += value * above;
            sum[7] += value + above;
        }
    }
    sum_over_block<PIXEL_SUMS>(sum, shared);
    if (threadIdx.x == 0)
        for (int i = 0; i < PIXEL_SUMS; ++i) sums[PIXEL_SUMS * blockIdx.x + i] = shared[i][0];
}

// image: (rows, columns). sums: (blocks, SLOPE_SUMS), products of slopes after Scharr (xx, yy, xy)
// of the pixels that are not on the border.
extern "C" __global__ void __launch_bounds__(THREADS)
slope_sums(const float *image, int rows, int columns, double *sums) {
    __shared__ double shared[SLOPE_SUMS][THREADS];
    double sum[SLOPE_SUMS] = {0.0, 0.0, 0.0};
    for (int p = blockIdx.x * THREADS + threadIdx.x; p < rows * columns; p += gridDim.x * THREADS) {
        int y = p / columns, x = p % columns;
        if (x < 1 || y < 1 || x >= columns - 1 || y >= rows - 1) continue;
        const float *above = image + p - columns, *here = image + p, *below = here + columns;
        float along_x = 10.0f * (here[1] - here[-1]) +
                        3.0f * ((above[1] - above[-1]) + (below[1] - below[-1]));
        float along_y = 10.0f * (below[0] - above[0]) +
                        3.0f * ((below[-1] - above[-1]) + (below[1] - above[1]));
        sum[0] += along_x * along_x;
        sum[1] += along_y * along_y;
        sum[2] += along_x * along_y;
    }
    sum_over_block<SLOPE_SUMS>(sum, shared);
    if (threadIdx.x == 0)
        for (int i = 0; i < SLOPE_SUMS; ++i) sums[SLOPE_SUMS * blockIdx.x + i] = shared[i][0];
}
