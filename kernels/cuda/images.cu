// Images made smaller, what their parts can tell, and how much two look alike.
//
// The reference is trn/backend/cpu_images.py.

#include "block_sum.cuh"
#include "mirror.cuh"

#define THREADS 128
#define SUMS 6

// The pixels of a source that a pixel of a smaller image covers along one axis, as OpenCV's area
// averages have them: from `first` to before `last` in whole, and shares of the ones beside them.
struct Span {
    int first, last;
    float before, whole, after;
};

__device__ Span span_of(int at, int count, int source_count) {
    double scale = (double)source_count / count, from = at * scale, to = from + scale;
    double width = fmin(scale, source_count - from);
    Span span;
    span.last = min((int)floor(to), source_count - 1);
    span.first = min((int)ceil(from), span.last);
    span.before = span.first - from > 1e-3 ? (float)((span.first - from) / width) : 0.0f;
    span.whole = (float)(1.0 / width);
    span.after = to - span.last > 1e-3 ? (float)(fmin(fmin(to - span.last, 1.0), width) / width)
                                       : 0.0f;
    return span;
}

__device__ float over_span(const float *line, Span span) {
    float sum = span.before > 0.0f ? span.before * line[span.first - 1] : 0.0f;
    for (int at = span.first; at < span.last; ++at) sum += span.whole * line[at];
    return span.after > 0.0f ? sum + span.after * line[span.last] : sum;
}

// source: (source_rows, source_columns). small: (rows, columns). One thread a pixel of it.
extern "C" __global__ void image_shrink(const float *source, int source_rows, int source_columns,
                                        int rows, int columns, float *small) {
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= columns || y >= rows) return;
    Span along = span_of(x, columns, source_columns), down = span_of(y, rows, source_rows);
    const float *line = source + (long long)down.first * source_columns;
    float sum = down.before > 0.0f ? down.before * over_span(line - source_columns, along) : 0.0f;
    for (int at = down.first; at < down.last; ++at, line += source_columns)
        sum += down.whole * over_span(line, along);
    if (down.after > 0.0f) sum += down.after * over_span(line, along);
    small[(long long)y * columns + x] = sum;
}

// An image with its pixels that are not finite as 0.
__device__ float known_or_zero(const float *image, int rows, int columns, int y, int x) {
    float value = image[(long long)mirrored_about(y, rows) * columns + mirrored_about(x, columns)];
    return isfinite(value) ? value : 0.0f;
}

// Whether a pixel and all its neighbours in the image are finite.
__device__ bool all_known_around(const float *image, int rows, int columns, int y, int x) {
    for (int j = max(y - 1, 0); j <= min(y + 1, rows - 1); ++j)
        for (int i = max(x - 1, 0); i <= min(x + 1, columns - 1); ++i)
            if (!isfinite(image[(long long)j * columns + i])) return false;
    return true;
}

// The gradient tensor (xx, yy, xy) of a pixel, after Scharr; zero beside what is not known.
__device__ void tensor_at(const float *image, int rows, int columns, int y, int x, float *tensor) {
    tensor[0] = tensor[1] = tensor[2] = 0.0f;
    if (!all_known_around(image, rows, columns, y, x)) return;
    float at[3][3];
    for (int j = 0; j < 3; ++j)
        for (int i = 0; i < 3; ++i)
            at[j][i] = known_or_zero(image, rows, columns, y + j - 1, x + i - 1);
    float along_x = 0.3125f * (at[1][2] - at[1][0]) +
                    0.09375f * ((at[0][2] - at[0][0]) + (at[2][2] - at[2][0]));
    float along_y = (0.3125f * at[2][1] + 0.09375f * (at[2][0] + at[2][2])) -
                    (0.3125f * at[0][1] + 0.09375f * (at[0][0] + at[0][2]));
    tensor[0] = along_x * along_x;
    tensor[1] = along_y * along_y;
    tensor[2] = along_x * along_y;
}

// image: (rows, columns). information: (grid_rows * grid_columns), the smaller eigenvalue of the
// gradient tensor summed over a template of size x size pixels about each cell; 0 where a cell, or
// more than a share of its template, is not known. One block a cell.
extern "C" __global__ void __launch_bounds__(THREADS)
image_information(const float *image, int rows, int columns, int size, int first_row,
                  int first_column, int stride, int grid_columns, float share_known, float least,
                  float *information) {
    __shared__ double sums[4][THREADS];
    int row = first_row + stride * (blockIdx.x / grid_columns);
    int column = first_column + stride * (blockIdx.x % grid_columns);
    int t = threadIdx.x;
    double sum[4] = {0.0, 0.0, 0.0, 0.0};
    for (int k = t; k < size * size; k += THREADS) {
        int y = row - size / 2 + k / size, x = column - size / 2 + k % size;
        float tensor[3];
        tensor_at(image, rows, columns, y, x, tensor);
        for (int i = 0; i < 3; ++i) sum[i] += tensor[i];
        sum[3] += isfinite(image[(long long)y * columns + x]) ? 1.0 : 0.0;
    }
    sum_over_block<4>(sum, sums);
    if (t > 0) return;
    float xx = (float)sums[0][0], yy = (float)sums[1][0], xy = (float)sums[2][0];
    float apart = xx - yy;
    float smaller = 0.5f * (xx + yy - sqrtf(apart * apart + 4.0f * (xy * xy)));
    bool usable = (float)sums[3][0] / (float)(size * size) >= share_known && smaller > least &&
                  isfinite(image[(long long)row * columns + column]);
    information[blockIdx.x] = usable ? smaller : 0.0f;
}

// image, predicted: (pixels). means: (2, pixels), their local means over what is known of the
// prediction, which is what is finite. sums: (blocks, SUMS), of known pixels: their number, both less
// their means, their squares, and their product.
extern "C" __global__ void __launch_bounds__(THREADS)
image_resemblance(const float *image, const float *predicted, const float *means, int pixels,
                  double *sums) {
    __shared__ double shared[SUMS][THREADS];
    int t = threadIdx.x;
    double sum[SUMS] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
    for (int p = blockIdx.x * THREADS + t; p < pixels; p += gridDim.x * THREADS) {
        if (!isfinite(predicted[p])) continue;
        double a = image[p] - means[p], b = predicted[p] - means[pixels + p];
        sum[0] += 1.0;
        sum[1] += a;
        sum[2] += b;
        sum[3] += a * a;
        sum[4] += b * b;
        sum[5] += a * b;
    }
    sum_over_block<SUMS>(sum, shared);
    if (t == 0)
        for (int i = 0; i < SUMS; ++i) sums[SUMS * blockIdx.x + i] = shared[i][0];
}
