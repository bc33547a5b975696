// What is known of an image and its prediction, and weighted averages along one axis: Gaussian ones
// are two of them, along x and along y.

#include "mirror.cuh"

// planes: (3, pixels), image and prediction with 0 where the prediction is not known, 1 where it is.
extern "C" __global__ void known_planes(const float *image, const float *predicted, int pixels,
                                        float *planes) {
    int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= pixels) return;
    bool known = isfinite(predicted[p]);
    planes[p] = known ? image[p] : 0.0f;
    planes[pixels + p] = known ? predicted[p] : 0.0f;
    planes[2 * pixels + p] = known ? 1.0f : 0.0f;
}

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
