// Rays against terrain on a gnomonic grid: what ray_cast.cu and shadow.cu share.
//
// The reference is trn/backend/cpu_raycast.py, which this follows step by step and in double
// precision: at a lunar radius of 1.7e6 m a float is only good to a tenth of a metre.
//
// A ray o + t d has the grid coordinates X = (o_x + t d_x) / (o_z + t d_z), so the t at which it
// crosses a grid line X = c is (o_x - c o_z) / (c d_z - d_x): cells are visited exactly.

#define HIT 0
#define SKY 1
#define OUTSIDE 2
#define HOLE 3

// Farther than any grid line.
#define FAR 1.0e300
// Rounding of a grid coordinate.
#define TINY 1.0e-13
// Level of the pyramid at which a ray sets out.
#define START_LEVEL 4
// Most of the way through a cell that a Newton step may go: a ray that grazes is left as it is.
#define NEWTON_SHARE 0.01

struct Vector {
    double x, y, z;
};

struct Terrain {
    const float *heights;       // (rows, columns) nodes, metres above the radius
    int rows, columns;
    const float *maxima;        // max-height pyramid over cells, finest level first
    const long long *shapes;    // (levels, 3): offset, rows and columns of each level
    int levels;
    double x0, y0, step;        // grid coordinates of node [0, 0], and between two nodes
    double radius;
};

__device__ inline double dot(Vector a, Vector b) { return a.x * b.x + a.y * b.y + a.z * b.z; }

// The whole number below a value, kept in [least, most]: a double may not fit an int.
__device__ inline int floor_within(double value, int least, int most) {
    return (int)fmin(fmax(floor(value), (double)least), (double)most);
}

__device__ inline double column_at(const Terrain &terrain, Vector o, Vector d, double t) {
    return ((o.x + t * d.x) / (o.z + t * d.z) - terrain.x0) / terrain.step;
}

__device__ inline double row_at(const Terrain &terrain, Vector o, Vector d, double t) {
    return ((o.y + t * d.y) / (o.z + t * d.z) - terrain.y0) / terrain.step;
}

// Height of the ray's point above the bilinear surface of one cell, in metres.
__device__ inline double clearance(const Terrain &terrain, Vector o, Vector d, double t, int ix,
                                   int iy) {
    double u = column_at(terrain, o, d, t) - ix;
    double v = row_at(terrain, o, d, t) - iy;
    const float *cell = terrain.heights + (long long)iy * terrain.columns + ix;
    float h00 = cell[0];
    float h01 = cell[1];
    float h10 = cell[terrain.columns];
    float h11 = cell[terrain.columns + 1];
    double h = h00 + u * (h01 - h00) + v * (h10 - h00) + u * v * (h11 - h10 - h01 + h00);
    return sqrt(dot(o, o) + t * (2.0 * dot(o, d) + t)) - terrain.radius - h;
}

// Where a ray crosses the grid line at `edge` along one axis, not before t; FAR where it never does.
// o, d: along that axis. travel: the direction in which the ray runs over the grid.
__device__ inline double crossing(double o, double d, double oz, double dz, double t, double travel,
                                  double edge) {
    if (travel == 0.0) return FAR;
    double slope = edge * dz - d;
    if (slope == 0.0) return FAR;
    double at = (o - edge * oz) / slope;
    if (at >= t) return at;
    // Behind: at the edge already, or an edge that the ray only tends to.
    double gap = (o + t * d) / (oz + t * dz) - edge;
    return gap * travel >= -TINY * fabs(travel) ? t : FAR;
}

// Range of the first root of the clearance within [t, t_exit] of one cell; -1 where it has none.
// The clearance is nearly a quadratic of t: its ends and middle give it. It is off by centimetres
// where a steep ray takes a kilometre through a cell; a Newton step mends that.
__device__ inline double hit_in_cell(const Terrain &terrain, Vector o, Vector d, double t,
                                     double t_exit, int ix, int iy) {
    double c0 = clearance(terrain, o, d, t, ix, iy);
    if (c0 <= 0.0) return t;
    double cm = clearance(terrain, o, d, 0.5 * (t + t_exit), ix, iy);
    double c1 = clearance(terrain, o, d, t_exit, ix, iy);
    double a = 2.0 * (c0 + c1 - 2.0 * cm);
    double b = -3.0 * c0 + 4.0 * cm - c1;
    double square = b * b - 4.0 * a * c0;
    if (!(square >= 0.0)) return -1.0;
    double below = -b + sqrt(square);
    if (!(below > 0.0)) return -1.0;
    double s = 2.0 * c0 / below;
    if (!(s <= 1.0)) return -1.0;
    double through = t_exit - t;
    double hit = t + s * through;
    double c = clearance(terrain, o, d, hit, ix, iy);
    // The quadratic falls by the root of its discriminant there.
    if (fabs(c) < NEWTON_SHARE * sqrt(square)) hit += c * through / sqrt(square);
    return hit;
}

// State (HIT, SKY, OUTSIDE) of the ray beyond t_from; the range of its first hit goes to t_hit.
//
// A node of the pyramid is stepped over where the ray stays above it everywhere, else it is opened.
__device__ inline int cast(const Terrain &terrain, Vector o, Vector d, double t_from,
                           double *t_hit) {
    int rows = (int)terrain.shapes[1];
    int columns = (int)terrain.shapes[2];
    double top = terrain.radius + terrain.maxima[terrain.shapes[3 * (terrain.levels - 1)]];
    double along = dot(o, d);
    double origin_squared = dot(o, o);
    double discriminant = along * along - origin_squared + top * top;
    if (discriminant <= 0.0) return SKY;
    double root = sqrt(discriminant);
    double t_last = -along + root;
    double t = fmax(-along - root, t_from);
    if (t >= t_last) return SKY;
    // The grid holds the half-space in front of its centre only.
    if (o.z + t * d.z <= 0.0) return OUTSIDE;
    if (d.z < 0.0) t_last = fmin(t_last, (1.0e-3 * terrain.radius - o.z) / d.z);
    // Directions of travel over the grid do not change: (X', Y') ~ (dx z - x dz, dy z - y dz).
    double travel_x = d.x * o.z - o.x * d.z;
    double travel_y = d.y * o.z - o.y * d.z;
    double fx = column_at(terrain, o, d, t);
    double fy = row_at(terrain, o, d, t);
    if (!(fx >= 0.0 && fy >= 0.0 && fx < columns && fy < rows)) return OUTSIDE;
    int ix = (int)fx;
    int iy = (int)fy;
    int level = min(START_LEVEL, terrain.levels - 1);
    while (true) {
        int size = 1 << level;
        int left = (ix >> level) << level;
        int upper = (iy >> level) << level;
        int right = min(left + size, columns);
        int lower = min(upper + size, rows);
        // Where the ray leaves this node of the pyramid.
        double edge_x = terrain.x0 + (travel_x > 0.0 ? right : left) * terrain.step;
        double edge_y = terrain.y0 + (travel_y > 0.0 ? lower : upper) * terrain.step;
        double t_x = crossing(o.x, d.x, o.z, d.z, t, travel_x, edge_x);
        double t_y = crossing(o.y, d.y, o.z, d.z, t, travel_y, edge_y);
        bool leaves_x = t_x <= t_y;
        double t_exit = fmin(fmax(fmin(t_x, t_y), t), t_last);
        double nearest = fmin(fmax(-along, t), t_exit);
        double lowest = origin_squared + nearest * (2.0 * along + nearest);
        const long long *shape = terrain.shapes + 3 * level;
        long long node = shape[0] + (iy >> level) * shape[2] + (ix >> level);
        double ceiling = terrain.radius + terrain.maxima[node];
        if (lowest <= ceiling * ceiling) {
            if (level > 0) {
                level -= 1;
                continue;
            }
            if (t_exit > t) {
                double found = hit_in_cell(terrain, o, d, t, t_exit, ix, iy);
                if (found >= 0.0) {
                    *t_hit = found;
                    return HIT;
                }
            }
        }
        if (t_exit >= t_last) return SKY;
        // Step into the neighbour; the other index follows the ray, kept inside this node.
        t = t_exit;
        int from_x = ix >> level;
        int from_y = iy >> level;
        if (leaves_x) {
            ix = travel_x > 0.0 ? left + size : left - 1;
            iy = floor_within(row_at(terrain, o, d, t), upper, lower - 1);
        } else {
            iy = travel_y > 0.0 ? upper + size : upper - 1;
            ix = floor_within(column_at(terrain, o, d, t), left, right - 1);
        }
        if (ix < 0 || iy < 0 || ix >= columns || iy >= rows) return OUTSIDE;
        // Widen the step only on leaving the parent: inside it the parent is known to be too high.
        bool left_parent =
            ix >> (level + 1) != from_x >> 1 || iy >> (level + 1) != from_y >> 1;
        if (left_parent && level < terrain.levels - 1) level += 1;
    }
}
