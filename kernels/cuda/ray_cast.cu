// First hits of rays with the terrain: one thread a ray.
//
// The reference is cast_rays in trn/backend/cpu_raycast.py.

#include "terrain.cuh"

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
    double t = nan("");
    double fx = nan("");
    double fy = nan("");
    int what = SKY;
    if (isfinite(d.x + d.y + d.z)) what = cast(terrain, o, d, 0.0, &t);
    if (what == HIT) {
        fx = column_at(terrain, o, d, t);
        fy = row_at(terrain, o, d, t);
        int ix = floor_within(fx, 0, columns - 2);
        int iy = floor_within(fy, 0, rows - 2);
        const unsigned char *cell = hole + (long long)iy * columns + ix;
        if (cell[0] || cell[1] || cell[columns] || cell[columns + 1]) {
            what = HOLE;
            t = fx = fy = nan("");
        }
    }
    range_m[k] = t;
    column[k] = fx;
    row[k] = fy;
    state[k] = (unsigned char)what;
}
