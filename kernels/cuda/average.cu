// Weighted averages along one axis: Gaussian ones are two of them, along x and along y.

#include "mirror.cuh"

// source, averages: (images, rows, columns). weights: (2 radius + 1), symmetric. down: 0 along rows
// of pixels, 1 along columns. Beyond the border images are mirrored about their end pixels. One
// thread a pixel; blockIdx.z is the image.
extern "C" __global__ void average_along(const float *source, int rows, int columns,
                                         const float *weights, int radius, int down,
                                         float *averages) {
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= columns || y >= rows) return;
    long long image = (long long)blockIdx.z * rows * columns;
    const float *line = source + image + (down ? x : (long long)y * columns);
    int at = down ? y : x, count = down ? rows : columns, step = down ? columns : 1;
    float sum = weights[radius] * line[(long long)at * step];
    for (int k = 1; k <= radius; ++k) {
        long long before = mirrored_about(at - k, count), after = mirrored_about(at + k, count);
        sum += weights[radius + k] * (line[before * step] + line[after * step]);
    }
    averages[image + (long long)y * columns + x] = sum;
}
