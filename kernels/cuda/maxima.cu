// The max-height pyramid of terrain: a block makes several levels of its square of cells.
//
// The reference is max_pyramid in trn/maps/tile.py, the layout that of pack_pyramid in
// trn/backend/cpu_raycast.py. A height that is not a number comes through to the top, as in NumPy.

// Cells of a block along each axis, and how many levels stand above those it begins with.
#define SIDE 32
#define LEVELS_ABOVE 5
// Lower than any height.
#define NOTHING -3.0e38f

__device__ inline float greater(float a, float b) { return a > b || a != a ? a : b; }

// Writes the levels above one level, of which each thread has the value of its cell.
// shapes: (levels, 3), offset, rows and columns of each level in maxima.
__device__ inline void write_levels_above(float value, const long long *shapes, int level,
                                          int levels, float *maxima) {
    __shared__ float square[SIDE][SIDE];
    int x = threadIdx.x, y = threadIdx.y;
    square[y][x] = value;
    for (int above = 1; above <= LEVELS_ABOVE && level + above < levels; ++above) {
        __syncthreads();
        int half = 1 << (above - 1), size = 1 << above;
        if (x % size || y % size) continue;
        float greatest = greater(greater(square[y][x], square[y + half][x]),
                                 greater(square[y][x + half], square[y + half][x + half]));
        square[y][x] = greatest;
        const long long *shape = shapes + 3 * (level + above);
        long long row = (blockIdx.y * SIDE + y) >> above;
        long long column = (blockIdx.x * SIDE + x) >> above;
        if (row < shape[1] && column < shape[2])
            maxima[shape[0] + row * shape[2] + column] = greatest;
    }
}

// Levels 0 to LEVELS_ABOVE. heights: (rows, columns), of nodes; a cell has four.
extern "C" __global__ void maxima_of_nodes(const float *heights, int rows, int columns,
                                           const long long *shapes, int levels, float *maxima) {
    int ix = blockIdx.x * SIDE + threadIdx.x;
    int iy = blockIdx.y * SIDE + threadIdx.y;
    float greatest = NOTHING;
    if (ix < columns - 1 && iy < rows - 1) {
        const float *node = heights + (long long)iy * columns + ix;
        greatest = greater(greater(node[0], node[columns]), greater(node[1], node[columns + 1]));
        maxima[(long long)iy * (columns - 1) + ix] = greatest;
    }
    write_levels_above(greatest, shapes, 0, levels, maxima);
}

// The levels above one that is there: finer, which is a part of maxima.
extern "C" __global__ void maxima_of_level(const float *finer, const long long *shapes, int level,
                                           int levels, float *maxima) {
    int ix = blockIdx.x * SIDE + threadIdx.x;
    int iy = blockIdx.y * SIDE + threadIdx.y;
    const long long *shape = shapes + 3 * level;
    bool inside = ix < shape[2] && iy < shape[1];
    float greatest = inside ? finer[iy * shape[2] + ix] : NOTHING;
    write_levels_above(greatest, shapes, level, levels, maxima);
}
