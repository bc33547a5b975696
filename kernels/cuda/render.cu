// The simulator's picture of the true ground: one thread a pixel.
//
// render_trace finds where each pixel's ray meets the ground, render_shadow casts rays from there to
// the Sun, render_light has Hapke's reflectance and the albedo. The ground is patches of heights
// inside one another, in one gnomonic frame. The references are trn/simulate/raycast.py, render.py
// and photometry.py; this shares nothing with what predicts views (ray_cast.cu, shade.cu) but the
// camera model.

#include "camera.cuh"

#define RADIUS_M 1737400.0
#define FAR 1.0e300
#define BASE 2            // the smallest blocks of the pyramid are 2^BASE x 2^BASE cells
#define NUDGE_M 1e-4      // steps over a block's edge, along the ray
#define STRAIGHT_M 300.0  // over more than this a steep ray is no parabola in a cell
#define LIFT_M 0.003      // rays to the Sun start so high
#define SUN_RADIUS_RAD 0.0046530477858168825
#define PI 3.141592653589793

struct Vector {
    double x, y, z;
};

// One patch: its outline and step in gnomonic coordinates, and where its heights and its pyramid are.
// levels: from first_level on, rows (offset, rows, columns), the top one of one block; then one more,
// of the lowest ground.
struct Patch {
    double u_low, u_high, v_low, v_high, step;
    long long first_height, rows, columns, first_level, levels;
};

// Patches from coarse to fine, each inside the one before.
struct Ground {
    const float *heights, *maxima;
    const long long *levels;
    const Patch *patches;
    int count;
};

struct Hapke {
    double albedo, b, c, opposition_amplitude, opposition_width, tan_bar, chi;
};

__device__ inline double dot(Vector a, Vector b) { return a.x * b.x + a.y * b.y + a.z * b.z; }

__device__ inline Vector along_ray(Vector o, Vector d, double t) {
    return {o.x + t * d.x, o.y + t * d.y, o.z + t * d.z};
}

// A grid coordinate as the index of its cell, kept in [0, last].
__device__ inline int cell_of(double at, long long last) {
    return (int)fmin(fmax(at, 0.0), (double)last);
}

// Height of the ray's point t over the bilinear surface of one cell.
__device__ inline double over_cell(const float *cell, long long columns, const Patch &patch,
                                   Vector o, Vector d, double along, double square, double t,
                                   int row, int column) {
    double z = o.z + t * d.z;
    double fc = ((o.x + t * d.x) / z - patch.u_low) / patch.step - column;
    double fr = ((o.y + t * d.y) / z - patch.v_low) / patch.step - row;
    double near = cell[0] + fc * ((double)cell[1] - cell[0]);
    double far = cell[columns] + fc * ((double)cell[columns + 1] - cell[columns]);
    return sqrt(square + t * (2.0 * along + t)) - RADIUS_M - (near + fr * (far - near));
}

// Where between t and out the ray first meets one cell's surface, or -1: over a bilinear cell it is
// a parabola, which both ends and the middle give.
__device__ inline double meets_cell(const float *cell, long long columns, const Patch &patch,
                                    Vector o, Vector d, double along, double square, double t,
                                    double out, int row, int column) {
    double c = over_cell(cell, columns, patch, o, d, along, square, t, row, column);
    if (c <= 0.0) return t;
    double middle = over_cell(cell, columns, patch, o, d, along, square, 0.5 * (t + out), row, column);
    double end = over_cell(cell, columns, patch, o, d, along, square, out, row, column);
    double a = 2.0 * (c + end - 2.0 * middle);
    double b = 4.0 * middle - 3.0 * c - end;
    double root = b * b - 4.0 * a * c;
    if (!(root >= 0.0)) return -1.0;
    double below = sqrt(root) - b;
    if (!(below > 0.0 && 2.0 * c <= below)) return -1.0;
    return t + 2.0 * c / below * (out - t);
}

// Where between t and out the ray first meets one cell's surface, or -1, by halving what lies between
// down to a millimetre, as the CPU does: what comes of it decides which samples ground has.
__device__ inline double halved_to_cell(const float *cell, long long columns, const Patch &patch,
                                        Vector o, Vector d, double along, double square, double t,
                                        double out, int row, int column) {
    double start = over_cell(cell, columns, patch, o, d, along, square, t, row, column);
    if (start <= 0.0) return t;
    double half = 0.5 * (t + out);
    double middle = over_cell(cell, columns, patch, o, d, along, square, half, row, column);
    double end = over_cell(cell, columns, patch, o, d, along, square, out, row, column);
    double over = t, under = half;
    if (middle > 0.0 && end <= 0.0) {
        over = half;
        under = out;
    } else if (middle > 0.0) {
        // A ray over a bilinear cell is a parabola: look at its lowest point.
        double bend = start - 2.0 * middle + end;
        if (bend <= 0.0) return -1.0;
        double lowest = 0.5 + 0.25 * (start - end) / bend;
        if (lowest <= 0.0 || lowest >= 1.0) return -1.0;
        under = t + lowest * (out - t);
        if (over_cell(cell, columns, patch, o, d, along, square, under, row, column) > 0.0)
            return -1.0;
    }
    while (under - over > 1e-3) {
        half = 0.5 * (over + under);
        if (over_cell(cell, columns, patch, o, d, along, square, half, row, column) > 0.0)
            over = half;
        else under = half;
    }
    return under;
}

// Where after t the ray crosses the line `edge` of one gnomonic axis; FAR where it does not.
__device__ inline double crosses(double o, double d, double oz, double dz, double t, double edge) {
    double slope = d - edge * dz;
    if (slope == 0.0) return FAR;
    double at = (edge * oz - o) / slope;
    return at > t ? at : FAR;
}

// Where the ray, at t inside a block of `size` cells, leaves it.
__device__ inline double leaves(const Patch &patch, Vector o, Vector d, double t, double turn_u,
                                double turn_v, int block_row, int block_column, int size) {
    double leave = FAR;
    if (turn_u != 0.0) {
        int edge = (turn_u > 0.0 ? block_column + 1 : block_column) * size;
        leave = crosses(o.x, d.x, o.z, d.z, t, patch.u_low + edge * patch.step);
    }
    if (turn_v != 0.0) {
        int edge = (turn_v > 0.0 ? block_row + 1 : block_row) * size;
        leave = fmin(leave, crosses(o.y, d.y, o.z, d.z, t, patch.v_low + edge * patch.step));
    }
    return leave;
}

// Distance between start and stop along a ray, both over the patch, to its ground, or -1. halving: as
// halved_to_cell finds it; else as meets_cell does.
template <bool halving>
__device__ inline double march(const Ground &ground, const Patch &patch, Vector o, Vector d,
                               double start, double stop) {
    double along = dot(o, d), square = dot(o, o);
    double closest = square - along * along;
    const long long *last = ground.levels + 3 * (patch.first_level + patch.levels - 1);
    double top = RADIUS_M + ground.maxima[last[0]];
    if (closest >= top * top) return -1.0;
    double half_chord = sqrt(top * top - closest);
    double t = fmax(-along - half_chord, start);
    double t_end = fmin(-along + half_chord, stop);
    double bottom = RADIUS_M + ground.maxima[last[3]] - 1.0;
    if (closest < bottom * bottom) {
        double to_bottom = -along - sqrt(bottom * bottom - closest);
        if (to_bottom > 0.0) t_end = fmin(t_end, to_bottom);
    }
    double turn_u = d.x * o.z - o.x * d.z, turn_v = d.y * o.z - o.y * d.z;
    long long columns = patch.columns;
    const float *heights = ground.heights + patch.first_height;
    int level = 0;
    while (t < t_end) {
        double at = t + NUDGE_M;
        double z = o.z + at * d.z;
        if (z <= 0.0) return -1.0;
        int column = cell_of(((o.x + at * d.x) / z - patch.u_low) / patch.step, columns - 2);
        int row = cell_of(((o.y + at * d.y) / z - patch.v_low) / patch.step, patch.rows - 2);
        double leave;
        bool clear;
        while (true) {
            int shift = level + BASE;
            int block_column = column >> shift, block_row = row >> shift;
            leave = fmin(
                leaves(patch, o, d, t, turn_u, turn_v, block_row, block_column, 1 << shift), t_end);
            double lowest_at = fmin(fmax(-along, t), leave);
            const long long *shape = ground.levels + 3 * (patch.first_level + level);
            double ceiling =
                RADIUS_M + ground.maxima[shape[0] + block_row * shape[2] + block_column];
            clear = square + lowest_at * (2.0 * along + lowest_at) > ceiling * ceiling;
            if (clear || level == 0) break;
            level -= 1;
        }
        if (clear) {
            t = fmax(leave, at);
            level = min(level + 1, (int)patch.levels - 1);
            continue;
        }
        // Walk the cells of one smallest block.
        while (t < leave) {
            at = t + NUDGE_M;
            z = o.z + at * d.z;
            column = cell_of(((o.x + at * d.x) / z - patch.u_low) / patch.step, columns - 2);
            row = cell_of(((o.y + at * d.y) / z - patch.v_low) / patch.step, patch.rows - 2);
            double out = leaves(patch, o, d, t, turn_u, turn_v, row, column, 1);
            out = fmin(out, t_end);
            if (!halving) out = fmin(out, t + STRAIGHT_M);
            const float *cell = heights + row * columns + column;
            double ceiling = RADIUS_M + fmaxf(fmaxf(cell[0], cell[1]),
                                              fmaxf(cell[columns], cell[columns + 1]));
            double lowest_at = fmin(fmax(-along, t), out);
            if (square + lowest_at * (2.0 * along + lowest_at) <= ceiling * ceiling) {
                double hit = halving ? halved_to_cell(cell, columns, patch, o, d, along, square,
                                                      t, out, row, column)
                                     : meets_cell(cell, columns, patch, o, d, along, square, t,
                                                  out, row, column);
                if (hit >= 0.0) return hit;
            }
            t = fmax(out, at);
        }
    }
    return -1.0;
}

// Cut a span of a ray to where it is inside one pair of edges of an outline.
__device__ inline void clip_axis(double o, double d, double oz, double dz, double low, double high,
                                 double *start, double *stop) {
    for (int side = 0; side < 2; ++side) {
        // How far inside the edge the ray is: a + b t, times its positive height.
        double a = side == 0 ? o - low * oz : high * oz - o;
        double b = side == 0 ? d - low * dz : high * dz - d;
        if (b > 0.0) *start = fmax(*start, -a / b);
        else if (b < 0.0) *stop = fmin(*stop, -a / b);
        else if (a < 0.0) *stop = -FAR;
    }
}

// The span of a ray over patch k and all around it; empty: stop <= start.
__device__ inline void span_over(const Ground &ground, int k, Vector o, Vector d, double *start,
                                 double *stop) {
    *start = 0.0;
    // A ray that falls past the edge of the hemisphere leaves the gnomonic plane.
    *stop = d.z < 0.0 ? -o.z / d.z : FAR;
    for (int j = 0; j <= k; ++j) {
        const Patch &patch = ground.patches[j];
        clip_axis(o.x, d.x, o.z, d.z, patch.u_low, patch.u_high, start, stop);
        clip_axis(o.y, d.y, o.z, d.z, patch.v_low, patch.v_high, start, stop);
    }
}

// Distance along a ray to the first ground it meets, or -1; its patch goes to found. Where patches
// overlap the finest is the ground: the ray goes through them inwards, then outwards. halving: see march.
template <bool halving>
__device__ inline double cast(const Ground &ground, Vector o, Vector d, int *found) {
    int innermost = -1;
    double start, stop, inner_start, inner_stop;
    while (innermost + 1 < ground.count) {
        span_over(ground, innermost + 1, o, d, &start, &stop);
        if (!(stop > start)) break;
        innermost += 1;
    }
#pragma unroll 1
    for (int turn = 0; turn < 2 * innermost + 1; ++turn) {
        int k = turn <= innermost ? turn : 2 * innermost - turn;
        span_over(ground, k, o, d, &start, &stop);
        if (turn != innermost) {
            span_over(ground, k + 1, o, d, &inner_start, &inner_stop);
            if (turn < innermost) stop = inner_start;
            else start = inner_stop;
        }
        if (!(stop > start)) continue;
        double t = march<halving>(ground, ground.patches[k], o, d, start, stop);
        if (t >= 0.0) {
            *found = k;
            return t;
        }
    }
    return -1.0;
}

// Fraction of the Sun's disc that a surface point sees, the horizon taken as level.
__device__ inline double sun_visible(const Ground &ground, Vector p, Vector up, Vector sun) {
    double rise = dot(sun, up);
    double level = sqrt(fmax(1.0 - rise * rise, 1e-12));
    double hidden = -1.0, seen = 1.0;
    // The lower limb, the upper one, then four halvings of what lies between.
#pragma unroll 1
    for (int k = 0; k < 6; ++k) {
        double offset = k == 0 ? -1.0 : k == 1 ? 1.0 : 0.5 * (hidden + seen);
        // Sine and cosine of so small an angle, to 2e-14.
        double angle = offset * SUN_RADIUS_RAD, squared = angle * angle;
        double sine = angle * (1.0 - squared / 6.0);
        double cosine = 1.0 - squared * (0.5 - squared / 24.0);
        Vector ray = {cosine * sun.x + sine * (up.x - rise * sun.x) / level,
                      cosine * sun.y + sine * (up.y - rise * sun.y) / level,
                      cosine * sun.z + sine * (up.z - rise * sun.z) / level};
        int unused;
        bool clear = cast<false>(ground, p, ray, &unused) < 0.0;
        if (k == 0 && clear) return 1.0;
        if (k == 1 && !clear) return 0.0;
        if (k > 1 && clear) seen = offset;
        if (k > 1 && !clear) hidden = offset;
    }
    double x = 0.5 * (hidden + seen);
    return (acos(x) - x * sqrt(1.0 - x * x)) / PI;
}

// Unit normal at a surface point, from central differences between which it is blended.
__device__ inline Vector normal_at(const float *heights, const Patch &patch, Vector p) {
    double u = p.x / p.z, v = p.y / p.z;
    double gu = (u - patch.u_low) / patch.step, gv = (v - patch.v_low) / patch.step;
    int c = max(cell_of(gu, patch.columns - 3), 1), r = max(cell_of(gv, patch.rows - 3), 1);
    double fc = fmin(fmax(gu - c, 0.0), 1.0), fr = fmin(fmax(gv - r, 0.0), 1.0);
    double slope_u = 0.0, slope_v = 0.0;
    for (int j = 0; j < 2; ++j) {
        for (int i = 0; i < 2; ++i) {
            double weight = (j ? fr : 1.0 - fr) * (i ? fc : 1.0 - fc);
            const float *h = heights + (r + j) * patch.columns + c + i;
            slope_u += weight * (h[1] - h[-1]);
            slope_v += weight * (h[patch.columns] - h[-patch.columns]);
        }
    }
    slope_u /= 2.0 * patch.step;
    slope_v /= 2.0 * patch.step;
    // Position is radius * (u, v, 1) / q with q = sqrt(1 + u^2 + v^2): its two derivatives.
    double q2 = 1.0 + u * u + v * v;
    double q = sqrt(q2);
    double radius = sqrt(dot(p, p));
    double a = slope_u / q - radius * u / (q2 * q);
    double b = slope_v / q - radius * v / (q2 * q);
    Vector along_u = {a * u + radius / q, a * v, a};
    Vector along_v = {b * u, b * v + radius / q, b};
    Vector n = {along_u.y * along_v.z - along_u.z * along_v.y,
                along_u.z * along_v.x - along_u.x * along_v.z,
                along_u.x * along_v.y - along_u.y * along_v.x};
    double length = sqrt(dot(n, n));
    return {n.x / length, n.y / length, n.z / length};
}

// Hapke's approximation of the H function (Hapke 2012, Eq. 8.56).
__device__ inline double chandrasekhar(double x, double albedo) {
    double gamma = sqrt(1.0 - albedo);
    double r0 = (1.0 - gamma) / (1.0 + gamma);
    return 1.0 / (1.0 - albedo * x * (r0 + 0.5 * (1.0 - 2.0 * r0 * x) * log((1.0 + x) / x)));
}

// I/F of a facet from the cosines of incidence, emission and phase angle, the first two positive.
__device__ inline double radiance_factor(double cos_i, double cos_e, double cos_g, double albedo,
                                         const Hapke &hapke) {
    cos_i = fmin(cos_i, 1.0);
    cos_e = fmin(cos_e, 1.0);
    cos_g = fmin(fmax(cos_g, -1.0), 1.0);
    double sin_i = sqrt(1.0 - cos_i * cos_i), sin_e = sqrt(1.0 - cos_e * cos_e);
    double cos_psi = 1.0;
    if (sin_i * sin_e > 1e-9)
        cos_psi = fmin(fmax((cos_g - cos_i * cos_e) / (sin_i * sin_e), -1.0), 1.0);
    double psi = acos(cos_psi);
    // Roughness, Hapke (2012) Eqs. 12.45-12.55.
    double tan_bar = hapke.tan_bar, chi = hapke.chi;
    double tan_i = fmax(sin_i / cos_i, 1e-6), tan_e = fmax(sin_e / cos_e, 1e-6);
    double e1_i = exp(-2.0 / (PI * tan_bar * tan_i)), e1_e = exp(-2.0 / (PI * tan_bar * tan_e));
    double e2_i = exp(-1.0 / (PI * tan_bar * tan_bar * tan_i * tan_i));
    double e2_e = exp(-1.0 / (PI * tan_bar * tan_bar * tan_e * tan_e));
    double eta_i = chi * (cos_i + sin_i * tan_bar * e2_i / (2.0 - e1_i));
    double eta_e = chi * (cos_e + sin_e * tan_bar * e2_e / (2.0 - e1_e));
    double half = 0.5 * (1.0 - cos_psi);
    double f = exp(-2.0 * sqrt(half / fmax(1.0 - half, 1e-13)));
    double mu0, mu, facing;
    if (sin_i <= sin_e) {
        double low = 2.0 - e1_e - (psi / PI) * e1_i;
        mu0 = chi * (cos_i + sin_i * tan_bar * (cos_psi * e2_e + half * e2_i) / low);
        mu = chi * (cos_e + sin_e * tan_bar * (e2_e - half * e2_i) / low);
        facing = cos_i / eta_i;
    } else {
        double low = 2.0 - e1_i - (psi / PI) * e1_e;
        mu0 = chi * (cos_i + sin_i * tan_bar * (e2_i - half * e2_e) / low);
        mu = chi * (cos_e + sin_e * tan_bar * (cos_psi * e2_i + half * e2_e) / low);
        facing = cos_e / eta_e;
    }
    double shadowing = (mu / eta_e) * (cos_i / eta_i) * chi / (1.0 - f + f * chi * facing);
    mu0 = fmax(mu0, 1e-6);
    mu = fmax(mu, 1e-6);
    double b = hapke.b, c = hapke.c;
    double ahead = 1.0 + 2.0 * b * cos_g + b * b, back = 1.0 - 2.0 * b * cos_g + b * b;
    double forward = (1.0 - b * b) / (ahead * sqrt(ahead));
    double backward = (1.0 - b * b) / (back * sqrt(back));
    double phase = 0.5 * (1.0 + c) * backward + 0.5 * (1.0 - c) * forward;
    double tan_half_g = sqrt((1.0 - cos_g) / (1.0 + cos_g + 1e-12));
    double opposition = hapke.opposition_amplitude / (1.0 + tan_half_g / hapke.opposition_width);
    double single = phase * (1.0 + opposition);
    double multiple = chandrasekhar(mu0, albedo) * chandrasekhar(mu, albedo) - 1.0;
    return 0.25 * albedo * mu0 / (mu0 + mu) * (single + multiple) * shadowing;
}

// Bilinear value of a grid at a fractional place, the edge's cells beyond it.
__device__ inline double between(const float *values, long long rows, long long columns,
                                 double row, double column) {
    int r = cell_of(row, rows - 2), c = cell_of(column, columns - 2);
    double fr = row - r, fc = column - c;
    const float *near = values + r * columns + c;
    const float *far = near + columns;
    double before = near[0] + fc * ((double)near[1] - near[0]);
    double after = far[0] + fc * ((double)far[1] - far[0]);
    return before + fr * (after - before);
}

// Ray of a pixel in the ground's axes. xx .. zz: rows of the rotation from the camera's.
__device__ inline Vector ground_ray(const Camera &camera, int u, int v, double xx, double xy,
                                    double xz, double yx, double yy, double yz, double zx,
                                    double zy, double zz) {
    double x, y, z;
    pixel_ray(camera, u, v, &x, &y, &z);
    return {xx * x + xy * y + xz * z, yx * x + yy * y + yz * z, zx * x + zy * y + zz * z};
}

// Distances from o along rays, (number, 3), to the ground, NaN where there is none; all in the ground's
// axes. patches: (count), coarse to fine.
extern "C" __global__ void render_rays(double o_x, double o_y, double o_z, const double *rays,
                                       int number, const float *heights, const float *maxima,
                                       const long long *levels, const Patch *patches, int count,
                                       double *range) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= number) return;
    Ground ground = {heights, maxima, levels, patches, count};
    const double *ray = rays + 3 * (long long)i;
    int unused;
    double t = cast<true>(ground, {o_x, o_y, o_z}, {ray[0], ray[1], ray[2]}, &unused);
    range[i] = t < 0.0 ? nan("") : t;
}

// o: the camera's place, in the ground's axes. patches: (count), coarse to fine. range: (height,
// width), metres along the pixel's ray to the ground, negative where it sees the sky. patch: the
// one that it meets.
extern "C" __global__ void
render_trace(double o_x, double o_y, double o_z, double xx, double xy, double xz, double yx,
             double yy, double yz, double zx, double zy, double zz, int width, int height,
             double fx, double fy, double cx, double cy, double k1, double k2, double p1,
             double p2, double k3, double fold_square, const float *heights, const float *maxima,
             const long long *levels, const Patch *patches, int count, double *range,
             unsigned char *patch) {
    int u = blockIdx.x * blockDim.x + threadIdx.x;
    int v = blockIdx.y * blockDim.y + threadIdx.y;
    if (u >= width || v >= height) return;
    Camera camera = {fx, fy, cx, cy, k1, k2, p1, p2, k3, fold_square};
    Ground ground = {heights, maxima, levels, patches, count};
    Vector d = ground_ray(camera, u, v, xx, xy, xz, yx, yy, yz, zx, zy, zz);
    Vector o = {o_x, o_y, o_z};
    int found = 0;
    double t = -1.0;
    if (isfinite(d.x + d.y + d.z)) t = cast<false>(ground, o, d, &found);
    long long pixel = (long long)v * width + u;
    range[pixel] = t;
    patch[pixel] = (unsigned char)found;
}

// sun: unit vector towards it, in the ground's axes. range, patch: as render_trace leaves them.
// visible: (height, width), fraction of the Sun's disc that is seen from the place met; 0 for ground
// that faces away from it, and for the sky.
extern "C" __global__ void
render_shadow(double o_x, double o_y, double o_z, double xx, double xy, double xz, double yx,
              double yy, double yz, double zx, double zy, double zz, int width, int height,
              double fx, double fy, double cx, double cy, double k1, double k2, double p1,
              double p2, double k3, double fold_square, const float *heights,
              const float *maxima, const long long *levels, const Patch *patches, int count,
              double sun_x, double sun_y, double sun_z, const double *range,
              const unsigned char *patch, float *visible) {
    int u = blockIdx.x * blockDim.x + threadIdx.x;
    int v = blockIdx.y * blockDim.y + threadIdx.y;
    if (u >= width || v >= height) return;
    long long pixel = (long long)v * width + u;
    visible[pixel] = 0.0f;
    if (range[pixel] < 0.0) return;
    Camera camera = {fx, fy, cx, cy, k1, k2, p1, p2, k3, fold_square};
    Ground ground = {heights, maxima, levels, patches, count};
    Vector d = ground_ray(camera, u, v, xx, xy, xz, yx, yy, yz, zx, zy, zz);
    Vector p = along_ray({o_x, o_y, o_z}, d, range[pixel]);
    Vector sun = {sun_x, sun_y, sun_z};
    const Patch &met = patches[patch[pixel]];
    if (dot(normal_at(heights + met.first_height, met, p), sun) <= 0.0) return;
    double distance = sqrt(dot(p, p));
    Vector up = {p.x / distance, p.y / distance, p.z / distance};
    visible[pixel] = (float)sun_visible(ground, along_ray(p, up, LIFT_M), up, sun);
}

// albedo .. chi: see Hapke; factors: its albedo's factor on the first patch's grid. visible: as
// render_shadow leaves it. depth: (height, width), range as a float, NaN for the sky. radiance: I/F.
extern "C" __global__ void
render_light(double o_x, double o_y, double o_z, double xx, double xy, double xz, double yx,
             double yy, double yz, double zx, double zy, double zz, int width, int height,
             double fx, double fy, double cx, double cy, double k1, double k2, double p1,
             double p2, double k3, double fold_square, const float *heights,
             const Patch *patches, double sun_x, double sun_y, double sun_z, double albedo,
             double b, double c, double opposition_amplitude, double opposition_width,
             double tan_bar, double chi, const float *factors, const double *range,
             const unsigned char *patch, const float *visible, float *depth, float *radiance) {
    int u = blockIdx.x * blockDim.x + threadIdx.x;
    int v = blockIdx.y * blockDim.y + threadIdx.y;
    if (u >= width || v >= height) return;
    long long pixel = (long long)v * width + u;
    double t = range[pixel];
    radiance[pixel] = 0.0f;
    depth[pixel] = t < 0.0 ? nanf("") : (float)t;
    if (!(visible[pixel] > 0.0f)) return;
    Camera camera = {fx, fy, cx, cy, k1, k2, p1, p2, k3, fold_square};
    Vector d = ground_ray(camera, u, v, xx, xy, xz, yx, yy, yz, zx, zy, zz);
    Vector p = along_ray({o_x, o_y, o_z}, d, t);
    Vector sun = {sun_x, sun_y, sun_z};
    const Patch &met = patches[patch[pixel]], &base = patches[0];
    Vector n = normal_at(heights + met.first_height, met, p);
    double factor = between(factors, base.rows, base.columns, (p.y / p.z - base.v_low) / base.step,
                            (p.x / p.z - base.u_low) / base.step);
    Hapke hapke = {albedo, b, c, opposition_amplitude, opposition_width, tan_bar, chi};
    double cos_i = dot(n, sun), cos_e = fmax(-dot(n, d), 0.02), cos_g = -dot(d, sun);
    if (!(cos_i > 0.0)) return;
    radiance[pixel] =
        (float)(visible[pixel] * radiance_factor(cos_i, cos_e, cos_g, albedo * factor, hapke));
}
