// What the true ground's albedo is multiplied with, on a patch's grid: one thread a sample.
//
// The reference is _albedo_grid in trn/simulate/render.py and albedo_factor in photometry.py.

#include "noise.cuh"

#define OCTAVES 5
#define COARSEST_M 8000.0
#define FIRST_SHARE 0.6814 // makes the variance of all octaves, each 3/4 of the one above, 1
#define RADIUS_M 1737400.0

// u_x .. up_z: rows of the patch's frame, body-fixed. u0, v0, step: gnomonic coordinates of sample
// [0, 0], and between two. highland: (node_rows, node_columns), share of highland. contrast: highland
// over mare. texture: relative, 1 sigma. albedo: (rows, columns).
extern "C" __global__ void albedo(double u_x, double u_y, double u_z, double v_x, double v_y,
                                  double v_z, double up_x, double up_y, double up_z, double u0,
                                  double v0, double step, const float *highland, int node_rows,
                                  int node_columns, double contrast, double texture,
                                  unsigned long long seed, int rows, int columns, float *albedo) {
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    int row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= columns || row >= rows) return;
    double u = u0 + column * step, v = v0 + row * step;
    double onto = RADIUS_M / sqrt(1.0 + u * u + v * v);
    double x = onto * (up_x + u * u_x + v * v_x);
    double y = onto * (up_y + u * u_y + v * v_y);
    double z = onto * (up_z + u * u_z + v * v_z);
    double detail = 0.0, share = FIRST_SHARE, lattice_m = COARSEST_M;
#pragma unroll 1
    for (int k = 0; k < OCTAVES; ++k) {
        detail += share * lattice_noise(x / lattice_m, y / lattice_m, z / lattice_m, seed + k + 1);
        share *= 0.75;
        lattice_m *= 0.5;
    }
    detail = fmin(fmax(texture * detail, -0.5), 0.5);
    double bright = at_nodes(highland, node_rows, node_columns, rows, columns, row, column);
    albedo[(long long)row * columns + column] =
        (float)((1.0 / contrast + (1.0 - 1.0 / contrast) * bright) * (1.0 + detail));
}
