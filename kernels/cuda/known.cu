// Local means of an image and of its prediction, over what is known of the prediction: two passes.
//
// Where the prediction is finite it is known. One thread a pixel.

#include "mirror.cuh"
#include "average.cuh"

#define LEAST_WEIGHT 1e-6f

// image, predicted: (rows, columns). averages: (3, rows, columns), along rows of pixels, of image
// and prediction with 0 where it is not known, and of whether it is; blockIdx.z says which. highest:
// (2), zero for known_means.
extern "C" __global__ void known_rows(const float *image, const float *predicted, int rows,
                                      int columns, const float *weights, int radius,
                                      float *averages, unsigned *highest) {
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    int plane = blockIdx.z;
    if (x >= columns || y >= rows) return;
    if (x == 0 && y == 0 && plane < 2) highest[plane] = 0;
    long long row = (long long)y * columns;
    auto value = [&](int at) -> float {
        float here = predicted[row + at];
        if (!isfinite(here)) return 0.0f;
        return plane == 0 ? image[row + at] : plane == 1 ? here : 1.0f;
    };
    averages[(long long)plane * rows * columns + row + x] =
        average_line(value, x, columns, weights, radius);
}

// averages: of known_rows. means: (2, rows, columns), of image and prediction. highest: (2), raised
// to the highest of means as bits of a float; zero where none is above.
extern "C" __global__ void known_means(const float *averages, int rows, int columns,
                                       const float *weights, int radius, float *means,
                                       unsigned *highest) {
    __shared__ unsigned highest_here[2];
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    bool first = threadIdx.x == 0 && threadIdx.y == 0;
    long long pixels = (long long)rows * columns, p = (long long)y * columns + x;
    if (first) highest_here[0] = highest_here[1] = 0;
    __syncthreads();
    if (x < columns && y < rows) {
        float sums[3];
        for (int plane = 0; plane < 3; ++plane) {
            const float *column = averages + plane * pixels + x;
            auto value = [&](int at) -> float { return column[(long long)at * columns]; };
            sums[plane] = average_line(value, y, rows, weights, radius);
        }
        for (int side = 0; side < 2; ++side) {
            float mean = sums[side] / (sums[2] + LEAST_WEIGHT);
            means[side * pixels + p] = mean;
            if (mean > 0.0f) atomicMax(&highest_here[side], __float_as_uint(mean));
        }
    }
    __syncthreads();
    if (first)
        for (int side = 0; side < 2; ++side) atomicMax(&highest[side], highest_here[side]);
}
