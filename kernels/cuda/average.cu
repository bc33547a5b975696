// Averages of images by themselves; others are made where they are used.

#include "mirror.cuh"
#include "average.cuh"

// source, averages: (images, rows, columns). One thread a pixel; blockIdx.z is the image.
extern "C" __global__ void __launch_bounds__(AROUND * AROUND)
average_images(const float *source, int rows, int columns, const float *weights, int radius,
               float *averages) {
    extern __shared__ float lines[];
    int x = blockIdx.x * AROUND + threadIdx.x, y = blockIdx.y * AROUND + threadIdx.y;
    int first_row = blockIdx.z * rows;
    auto value = [&](int, int j, int i) -> float { return source[(first_row + j) * columns + i]; };
    float average[1];
    average_around<1>(value, rows, columns, weights, radius, lines, average);
    if (x < columns && y < rows) averages[(first_row + y) * columns + x] = average[0];
}
