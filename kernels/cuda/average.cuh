// Weighted averages around pixels, with weights (2 radius + 1) that are symmetric. Beyond the border
// images are mirrored about their end pixels. To be included after mirror.cuh.

#define AROUND 16

// The average of value(place) around a place along one axis.
template <class Value>
__device__ float average_line(Value value, int at, int count, const float *weights, int radius) {
    float sum = weights[radius] * value(at);
    for (int k = 1; k <= radius; ++k)
        sum += weights[radius + k] * (value(mirrored_about(at - k, count)) +
                                      value(mirrored_about(at + k, count)));
    return sum;
}

// The averages of value(plane, y, x) around this thread's pixel, along rows and then along columns:
// for a radius so small that rows beyond a block's tile may be averaged by its neighbours as well.
// All of its AROUND x AROUND threads call it. lines: shared, PLANES of them.
template <int PLANES, class Value>
__device__ void average_around(Value value, int rows, int columns, const float *weights, int radius,
                               float *lines, float *averages) {
    int x = min((int)(blockIdx.x * AROUND + threadIdx.x), columns - 1);
    int count = AROUND + 2 * radius;
    for (int line = threadIdx.y; line < PLANES * count; line += AROUND) {
        int plane = line / count;
        int y = mirrored_about((int)(blockIdx.y * AROUND) + line % count - radius, rows);
        auto along_row = [&](int at) -> float { return value(plane, y, at); };
        lines[line * AROUND + threadIdx.x] = average_line(along_row, x, columns, weights, radius);
    }
    __syncthreads();
    for (int plane = 0; plane < PLANES; ++plane) {
        const float *column = lines + plane * count * AROUND + threadIdx.x;
        auto down_column = [&](int at) -> float { return column[at * AROUND]; };
        averages[plane] =
            average_line(down_column, threadIdx.y + radius, count, weights, radius);
    }
}
