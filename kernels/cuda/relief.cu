// The true ground of a patch: the interpolated map, what is refined from a coarser patch, fractal
// octaves. One thread a sample.
//
// The reference is trn/simulate/relief.py. Sums run in its order.

#include "noise.cuh"

#define RADIUS_M 1737400.0
#define PI 3.141592653589793

// Index folded back into a grid, the edge pixel not repeated.
__device__ inline int mirrored(int index, int count) {
    int period = 2 * (count - 1);
    index %= period;
    if (index < 0) index += period;
    return index < count ? index : period - index;
}

// One of the four weights of Catmull-Rom interpolation (Keys 1981, a = -1/2).
__device__ inline double cubic(int tap, double f) {
    if (tap == 0) return f * (-0.5 + f * (1.0 - 0.5 * f));
    if (tap == 1) return 1.0 + f * f * (-2.5 + 1.5 * f);
    if (tap == 2) return f * (0.5 + f * (2.0 - 1.5 * f));
    return f * f * (-0.5 + 0.5 * f);
}

// u_x .. up_z: rows of the patch's frame, body-fixed. u0, v0, step: gnomonic coordinates of sample
// [0, 0], and between two. map: (map_rows, map_columns). latitude .. step_longitude: of its pixel
// [0, 0], and between two, radians. height: (rows, columns).
extern "C" __global__ void
fill_map(double u_x, double u_y, double u_z, double v_x, double v_y, double v_z, double up_x,
         double up_y, double up_z, double u0, double v0, double step, const float *map,
         int map_rows, int map_columns, double latitude, double longitude, double step_latitude,
         double step_longitude, int periodic, int rows, int columns, float *height) {
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    int row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= columns || row >= rows) return;
    double u = u0 + column * step, v = v0 + row * step;
    double x = up_x + u * u_x + v * v_x;
    double y = up_y + u * u_y + v * v_y;
    double z = up_z + u * u_z + v * v_z;
    double from_middle =
        atan2(y, x) - (longitude + 0.5 * (map_columns - 1) * step_longitude);
    from_middle -= 2.0 * PI * floor(from_middle / (2.0 * PI) + 0.5);
    double at_row = (atan2(z, sqrt(x * x + y * y)) - latitude) / step_latitude;
    double at_column = 0.5 * (map_columns - 1) + from_middle / step_longitude;
    double base_row = floor(at_row), base_column = floor(at_column);
    int r0 = (int)base_row - 1, c0 = (int)base_column - 1;
    double sum = 0.0;
#pragma unroll
    for (int a = 0; a < 4; ++a) {
        double line = 0.0;
        const float *in_row = map + (long long)mirrored(r0 + a, map_rows) * map_columns;
#pragma unroll
        for (int b = 0; b < 4; ++b) {
            int c = c0 + b;
            if (periodic) c = (c % map_columns + map_columns) % map_columns;
            else c = mirrored(c, map_columns);
            line += cubic(b, at_column - base_column) * in_row[c];
        }
        sum += cubic(a, at_row - base_row) * line;
    }
    height[(long long)row * columns + column] = (float)sum;
}

// Value between coarse rows: one of them, or the mean of four by (-1 9 9 -1) / 16.
__device__ inline float between_rows(const float *at, int coarse_columns, bool between) {
    if (!between) return at[0];
    return 0.5625f * (at[0] + at[coarse_columns]) -
           0.0625f * (at[-coarse_columns] + at[2 * coarse_columns]);
}

// Sample (row, column) of height, (rows, columns), lies at ((row + row_shift) / 2, (column +
// column_shift) / 2) of coarse, which reaches two samples farther on all sides. Four-point
// subdivision (Dyn, Levin and Gregory 1987).
extern "C" __global__ void refine(const float *coarse, int coarse_columns, int row_shift,
                                  int column_shift, int rows, int columns, float *height) {
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    int row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= columns || row >= rows) return;
    int r = (row + row_shift) >> 1, c = (column + column_shift) >> 1;
    bool between = (row + row_shift) & 1;
    const float *at = coarse + (long long)r * coarse_columns + c;
    float value;
    if ((column + column_shift) & 1) {
        value = 0.5625f * (between_rows(at, coarse_columns, between) +
                           between_rows(at + 1, coarse_columns, between)) -
                0.0625f * (between_rows(at - 1, coarse_columns, between) +
                           between_rows(at + 2, coarse_columns, between));
    } else {
        value = between_rows(at, coarse_columns, between);
    }
    height[(long long)row * columns + column] = value;
}

// Strength and decay of relief and the share of highland at nodes that span a window corner to corner:
// planes of nodes (3, node_rows, node_columns), from such planes (3, map_rows, map_columns) on every
// stride-th pixel of the map. A thread a node. latitude .. step_longitude: as for fill_map, but
// degrees. pixels_across: columns of the map itself. The rest as for fill_map. The reference is
// Roughness.at_nodes in trn/simulate/roughness.py.
extern "C" __global__ void
relief_nodes(double u_x, double u_y, double u_z, double v_x, double v_y, double v_z, double up_x,
             double up_y, double up_z, double u0, double v0, double step, int rows, int columns,
             const float *planes, int map_rows, int map_columns, double latitude,
             double longitude, double step_latitude, double step_longitude, int pixels_across,
             int stride, int node_rows, int node_columns, float *nodes) {
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    int row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= node_columns || row >= node_rows) return;
    double u = u0 + step * (column * ((columns - 1) / (double)(node_columns - 1)));
    double v = v0 + step * (row * ((rows - 1) / (double)(node_rows - 1)));
    double x = up_x + u * u_x + v * v_x;
    double y = up_y + u * u_y + v * v_y;
    double z = up_z + u * u_z + v * v_z;
    double middle = longitude + 0.5 * (pixels_across - 1) * step_longitude;
    double from_middle = atan2(y, x) * (180.0 / PI) - middle;
    from_middle -= 360.0 * floor(from_middle / 360.0 + 0.5);
    double at_row = atan2(z, sqrt(x * x + y * y)) * (180.0 / PI) - latitude;
    at_row = at_row / step_latitude / stride;
    double at_column = (middle + from_middle - longitude) / step_longitude / stride;
    at_row = fmin(fmax(at_row, 0.0), map_rows - 1.001);
    at_column = fmin(fmax(at_column, 0.0), map_columns - 1.001);
    int r = (int)at_row, c = (int)at_column;
    double fr = at_row - r, fc = at_column - c;
    for (int plane = 0; plane < 3; ++plane) {
        const float *at = planes + ((long long)plane * map_rows + r) * map_columns + c;
        double near = (1.0 - fc) * at[0] + fc * at[1];
        double far = (1.0 - fc) * at[map_columns] + fc * at[map_columns + 1];
        nodes[((long long)plane * node_rows + row) * node_columns + column] =
            (float)((1.0 - fr) * near + fr * far);
    }
}

// Adds fractal octaves first_octave to octaves - 1. strength, decay: (node_rows, node_columns), see
// add_octaves in relief.py. lattice_m: of octave 0. The rest as for fill_map.
extern "C" __global__ void
add_octaves(double u_x, double u_y, double u_z, double v_x, double v_y, double v_z, double up_x,
            double up_y, double up_z, double u0, double v0, double step, const float *strength,
            const float *decay, int node_rows, int node_columns, int first_octave, int octaves,
            double lattice_m, int regolith_octave, double regolith_decay,
            unsigned long long seed, int rows, int columns, float *height) {
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    int row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= columns || row >= rows) return;
    double u = u0 + column * step, v = v0 + row * step;
    double amplitude = at_nodes(strength, node_rows, node_columns, rows, columns, row, column);
    double factor = at_nodes(decay, node_rows, node_columns, rows, columns, row, column);
    double per_lattice = RADIUS_M / lattice_m / sqrt(1.0 + u * u + v * v);
    double x = up_x + u * u_x + v * v_x;
    double y = up_y + u * u_y + v * v_y;
    double z = up_z + u * u_z + v * v_z;
    double sum = 0.0;
#pragma unroll 1
    for (int k = 0; k < octaves; ++k) {
        if (k >= first_octave)
            sum += amplitude *
                   lattice_noise(x * per_lattice, y * per_lattice, z * per_lattice, seed + k);
        amplitude *= k < regolith_octave ? factor : regolith_decay;
        per_lattice *= 2.0;
    }
    float *sample = height + (long long)row * columns + column;
    *sample = (float)(*sample + sum);
}
