// Lunar-Lambert radiance factor at hits: one thread a hit.
//
// McEwen (1991); the phase polynomial is of McEwen (1996). The reference is shade_hits in
// trn/backend/cpu_raycast.py.

#define HIT 0
#define DEGREES_PER_RADIAN 57.29577951308232

// origin: where the rays start. sun: unit vector to the Sun. column, row, state: (count), of the
// hits. lit: (rows, columns), lit fraction of every node. radiance, lit_at: (count), NaN where there
// is no hit.
extern "C" __global__ void shade(double origin_x, double origin_y, double origin_z, double sun_x,
                                 double sun_y, double sun_z, const float *heights,
                                 const float *lit, int rows, int columns, double x0, double y0,
                                 double step, double radius, const double *column,
                                 const double *row, const unsigned char *state, int count,
                                 float *radiance, float *lit_at) {
    int k = blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= count) return;
    if (state[k] != HIT) {
        radiance[k] = nanf("");
        lit_at[k] = nanf("");
        return;
    }
    int ix = min(max((int)column[k], 0), columns - 2);
    int iy = min(max((int)row[k], 0), rows - 2);
    double u = column[k] - ix;
    double v = row[k] - iy;

    // Height and its central differences at the four corners, blended: continuous slopes.
    double h = 0.0, slope_x = 0.0, slope_y = 0.0, light = 0.0;
    for (int j = 0; j < 2; ++j) {
        for (int i = 0; i < 2; ++i) {
            double weight = (i ? u : 1.0 - u) * (j ? v : 1.0 - v);
            int cx = ix + i, cy = iy + j;
            int left = max(cx - 1, 0), right = min(cx + 1, columns - 1);
            int above = max(cy - 1, 0), below = min(cy + 1, rows - 1);
            const float *in_row = heights + (long long)cy * columns;
            float rise_x = in_row[right] - in_row[left];
            float rise_y =
                heights[(long long)below * columns + cx] - heights[(long long)above * columns + cx];
            h += weight * in_row[cx];
            slope_x += weight * rise_x / (right - left);
            slope_y += weight * rise_y / (below - above);
            light += weight * lit[(long long)cy * columns + cx];
        }
    }
    double x = x0 + column[k] * step;
    double y = y0 + row[k] * step;
    double norm = 1.0 / sqrt(1.0 + x * x + y * y);
    double distance_to_centre = radius + h;
    slope_x /= step * distance_to_centre * norm;
    slope_y /= step * distance_to_centre * norm;

    // Gradient of |p| - R - h(X(p), Y(p)), with grad X = (1, 0, -X) / p_z.
    double nx = x * norm - slope_x;
    double ny = y * norm - slope_y;
    double nz = norm + slope_x * x + slope_y * y;
    double length = sqrt(nx * nx + ny * ny + nz * nz);
    double ex = origin_x - x * norm * distance_to_centre;
    double ey = origin_y - y * norm * distance_to_centre;
    double ez = origin_z - norm * distance_to_centre;
    double distance = sqrt(ex * ex + ey * ey + ez * ez);
    double cos_i = (nx * sun_x + ny * sun_y + nz * sun_z) / length;
    double cos_e = (nx * ex + ny * ey + nz * ez) / (length * distance);
    double cos_phase = (ex * sun_x + ey * sun_y + ez * sun_z) / distance;
    lit_at[k] = (float)light;
    if (cos_i <= 0.0) {
        radiance[k] = 0.0f;
        return;
    }
    double phase = DEGREES_PER_RADIAN * acos(fmin(fmax(cos_phase, -1.0), 1.0));
    double share = 1.0 + phase * (-0.019 + phase * (2.42e-4 - 1.46e-6 * phase));
    share = fmin(fmax(share, 0.0), 1.0);
    cos_e = fmax(cos_e, 0.02);
    radiance[k] =
        (float)(light * (2.0 * share * cos_i / (cos_i + cos_e) + (1.0 - share) * cos_i));
}
