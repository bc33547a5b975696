// First hits of rays with the terrain: one thread a ray, which the host gives or a camera's pixel has.
//
// The reference is cast_rays in trn/backend/cpu_raycast.py.

#include "camera.cuh"
#include "terrain.cuh"

// What becomes of ray k: range and grid coordinates, NaN where it does not hit, and its state.
__device__ void follow(const Terrain &terrain, const unsigned char *hole, Vector o, Vector d,
                       long long k, double *range_m, double *column, double *row,
                       unsigned char *state) {
    double t = nan("");
    double fx = nan("");
    double fy = nan("");
    int what = SKY;
    if (isfinite(d.x + d.y + d.z)) what = cast(terrain, o, d, 0.0, &t);
    if (what == HIT) {
        fx = column_at(terrain, o, d, t);
        fy = row_at(terrain, o, d, t);
        int ix = floor_within(fx, 0, terrain.columns - 2);
        int iy = floor_within(fy, 0, terrain.rows - 2);
        const unsigned char *cell = hole + (long long)iy * terrain.columns + ix;
        if (cell[0] || cell[1] || cell[terrain.columns] || cell[terrain.columns + 1]) {
            what = HOLE;
            t = fx = fy = nan("");
        }
    }
    range_m[k] = t;
    column[k] = fx;
    row[k] = fy;
    state[k] = (unsigned char)what;
}

// origins: (origin_count, 3), one for all rays or one each. rays: (count, 3), unit.
// hole: (rows, columns), not zero where there is no data. range_m, column, row: (count), NaN where
// a ray does not hit. state: (count), HIT, SKY, OUTSIDE or HOLE.
extern "C" __global__ void ray_cast(const double *origins, int origin_count, const double *rays,
                                    int count, const float *heights, const unsigned char *hole,
                                    int rows, int columns, const float *maxima,
                                    const long long *shapes, int levels, double x0, double y0,
                                    double step, double radius, double *range_m, double *column,
                                    double *row, unsigned char *state) {
    int k = blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= count) return;
    Terrain terrain = {heights, rows, columns, maxima, shapes, levels, x0, y0, step, radius};
    const double *origin = origins + 3LL * min(k, origin_count - 1);
    const double *ray = rays + 3LL * k;
    Vector o = {origin[0], origin[1], origin[2]};
    Vector d = {ray[0], ray[1], ray[2]};
    follow(terrain, hole, o, d, k, range_m, column, row, state);
}

// The rays of all pixels of a camera at o, row by row. xx .. zz: rows of the rotation from its axes
// to the terrain's. width, height, fx .. fold_square: see Camera. The rest as for ray_cast.
extern "C" __global__ void
ray_cast_view(double o_x, double o_y, double o_z, double xx, double xy, double xz, double yx,
              double yy, double yz, double zx, double zy, double zz, int width, int height,
              double fx, double fy, double cx, double cy, double k1, double k2, double p1,
              double p2, double k3, double fold_square, const float *heights,
              const unsigned char *hole, int rows, int columns, const float *maxima,
              const long long *shapes, int levels, double x0, double y0, double step,
              double radius, double *range_m, double *column, double *row,
              unsigned char *state) {
    int u = blockIdx.x * blockDim.x + threadIdx.x;
    int v = blockIdx.y * blockDim.y + threadIdx.y;
    if (u >= width || v >= height) return;
    Terrain terrain = {heights, rows, columns, maxima, shapes, levels, x0, y0, step, radius};
    Camera camera = {fx, fy, cx, cy, k1, k2, p1, p2, k3, fold_square};
    double x, y, z;
    pixel_ray(camera, u, v, &x, &y, &z);
    Vector o = {o_x, o_y, o_z};
    Vector d = {xx * x + xy * y + xz * z, yx * x + yy * y + yz * z, zx * x + zy * y + zz * z};
    follow(terrain, hole, o, d, (long long)v * width + u, range_m, column, row, state);
}
