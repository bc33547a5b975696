// What is made of a patch of the simulator's ground before rays are cast onto it: its pyramid of
// highest ground, and its lowest ground.
//
// The reference is pyramid in trn/simulate/raycast.py. A block of threads makes several levels of its
// square; this shares nothing with maxima.cu, which has terrain as the estimator knows it.

#define BASE 2          // the smallest blocks of the pyramid are 2^BASE x 2^BASE cells
#define SIDE 32         // values of a level that a block of threads takes, along each axis
#define LEVELS_ABOVE 5  // levels that it makes above
#define HIGHER 3.0e38f  // than any ground

// Writes the levels above one that has rows x columns values from `offset` of maxima on, of which each
// thread has one. The lowest of the block goes to the block's place from `lows` on.
__device__ inline void write_levels_above(float highest, float lowest, int rows, int columns,
                                          long long offset, long long lows, float *maxima) {
    __shared__ float high[SIDE][SIDE], low[SIDE][SIDE];
    int x = threadIdx.x, y = threadIdx.y;
    high[y][x] = highest;
    low[y][x] = lowest;
    for (int above = 1; above <= LEVELS_ABOVE; ++above) {
        bool exists = max(rows, columns) > 1;
        offset += (long long)rows * columns;
        rows = (rows + 1) / 2;
        columns = (columns + 1) / 2;
        __syncthreads();
        int half = 1 << (above - 1), size = 1 << above;
        if (x % size || y % size) continue;
        highest = fmaxf(fmaxf(high[y][x], high[y + half][x]),
                        fmaxf(high[y][x + half], high[y + half][x + half]));
        lowest = fminf(fminf(low[y][x], low[y + half][x]),
                       fminf(low[y][x + half], low[y + half][x + half]));
        high[y][x] = highest;
        low[y][x] = lowest;
        int row = (blockIdx.y * SIDE + y) >> above, column = (blockIdx.x * SIDE + x) >> above;
        if (exists && row < rows && column < columns)
            maxima[offset + (long long)row * columns + column] = highest;
    }
    if (x == 0 && y == 0) maxima[lows + (long long)blockIdx.y * gridDim.x + blockIdx.x] = lowest;
}

// Levels 0 to LEVELS_ABOVE. heights: (rows, columns). maxima: levels one after the other, then, from
// `lows` on, the lowest ground of each block of threads.
extern "C" __global__ void ground_maxima(const float *heights, int rows, int columns,
                                         long long lows, float *maxima) {
    int level_rows = ((rows - 2) >> BASE) + 1, level_columns = ((columns - 2) >> BASE) + 1;
    int x = blockIdx.x * SIDE + threadIdx.x, y = blockIdx.y * SIDE + threadIdx.y;
    float highest = -HIGHER, lowest = HIGHER;
    if (x < level_columns && y < level_rows) {
        // The samples on a block's edges are its own and its neighbour's.
        int last_row = min((y + 1) << BASE, rows - 1), last = min((x + 1) << BASE, columns - 1);
        for (int row = y << BASE; row <= last_row; ++row) {
            const float *samples = heights + (long long)row * columns;
            for (int column = x << BASE; column <= last; ++column) {
                highest = fmaxf(highest, samples[column]);
                lowest = fminf(lowest, samples[column]);
            }
        }
        maxima[(long long)y * level_columns + x] = highest;
    }
    write_levels_above(highest, lowest, level_rows, level_columns, 0, lows, maxima);
}

// The levels above one of rows x columns from `offset` on, which has a value for each block of the
// launch before, as have the lows from `lows_below` on.
extern "C" __global__ void ground_maxima_above(int rows, int columns, long long offset,
                                               long long lows_below, long long lows,
                                               float *maxima) {
    int x = blockIdx.x * SIDE + threadIdx.x, y = blockIdx.y * SIDE + threadIdx.y;
    bool inside = x < columns && y < rows;
    long long at = (long long)y * columns + x;
    float highest = inside ? maxima[offset + at] : -HIGHER;
    float lowest = inside ? maxima[lows_below + at] : HIGHER;
    write_levels_above(highest, lowest, rows, columns, offset, lows, maxima);
}
