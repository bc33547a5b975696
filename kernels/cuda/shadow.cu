// Which nodes of the terrain see the Sun: one thread a node.
//
// The reference is cast_shadows in trn/backend/cpu_raycast.py.

#include "terrain.cuh"

// sun_x, sun_y, sun_z: unit vector to the Sun. lit: (rows, columns), 1 where it is seen, else 0.
extern "C" __global__ void shadow(double sun_x, double sun_y, double sun_z, const float *heights,
                                  int rows, int columns, const float *maxima,
                                  const long long *shapes, int levels, double x0, double y0,
                                  double step, double radius, float *lit) {
    int ix = blockIdx.x * blockDim.x + threadIdx.x;
    int iy = blockIdx.y * blockDim.y + threadIdx.y;
    if (ix >= columns || iy >= rows) return;
    Terrain terrain = {heights, rows, columns, maxima, shapes, levels, x0, y0, step, radius};
    Vector sun = {sun_x, sun_y, sun_z};
    long long node = (long long)iy * columns + ix;
    double x = x0 + ix * step;
    double y = y0 + iy * step;
    double h = heights[node];
    double norm = 1.0 / sqrt(1.0 + x * x + y * y);

    // Attached shadow: the surface itself faces away from the Sun.
    int left = max(ix - 1, 0), right = min(ix + 1, columns - 1);
    int above = max(iy - 1, 0), below = min(iy + 1, rows - 1);
    const float *in_row = heights + (long long)iy * columns;
    float rise_x = in_row[right] - in_row[left];
    float rise_y = heights[(long long)below * columns + ix] - heights[(long long)above * columns + ix];
    double scale = (radius + h) * norm;
    double slope_x = rise_x / ((right - left) * step * scale);
    double slope_y = rise_y / ((below - above) * step * scale);
    Vector normal = {x * norm - slope_x, y * norm - slope_y, norm + slope_x * x + slope_y * y};
    if (dot(normal, sun) <= 0.0) {
        lit[node] = 0.0f;
        return;
    }

    // Cast shadow. A ray that starts on the surface must not hit the very cell it starts in.
    double start_radius = radius + h + 0.5;
    Vector o = {x * norm * start_radius, y * norm * start_radius, norm * start_radius};
    double t;
    lit[node] = cast(terrain, o, sun, 0.5 * step * radius, &t) == HIT ? 0.0f : 1.0f;
}
