// Small craters of the simulator's ground: drawn, listed for each tile of a patch, stamped into it.
//
// The references are trn/simulate/crater_field.py and craters.py. A cell of the lattice draws its craters
// from a seed of its own, so that each has a thread; craters stay in the order of the cells, as
// the sums of floats depend on it.

#include "noise.cuh"

#define RADIUS_M 1737400.0
#define PI 3.141592653589793
#define TILE 16
#define EJECTA_REACH 2.5
#define RADIUS_SAMPLES 401
#define WEAR_SAMPLES 33
#define MOST_WEAR 0.09
#define LISTED 48 // craters that a tile's list holds

// Cells of one band of latitude: see BAND in crater_field.py.
struct Band {
    double low_sine, sine_span, width, none_drawn, diameter_m, most_wear;
    double u_low, u_high, v_low, v_high;
    unsigned long long word;
    long long start, number, cells, first;
};

// The samples of a patch that something reaches: first and last row and column.
struct Reach {
    int first_row, last_row, first_column, last_column;
};

// One crater: its centre in the patch's frame, squared radii a squared sine, place in the shapes
// between wears, heights of its parts, and the samples that it reaches.
struct Crater {
    double east, north, up, scale, worn, depth, rim, floor, peak;
    Reach reach;
};

// How many craters of a cell reach the patch, and what they reach together.
struct Cell {
    int count;
    Reach reach;
};

// The next number in [0, 1) of a SplitMix64 stream.
__device__ inline double next_uniform(unsigned long long *state) {
    *state += 0x9E3779B97F4A7C15ull;
    return (double)(mixed(*state) >> 11) * (1.0 / 9007199254740992.0);
}

// Sine and cosine of an angle from 0 to 2 pi, by the polynomials of fdlibm (Sun Microsystems 1993). The
// library's take a stack, for angles that no longitude has.
__device__ inline void sine_cosine(double angle, double *sine, double *cosine) {
    int quarter = (int)(angle * (2.0 / PI) + 0.5);
    double r = (angle - quarter * 1.57079632673412561417) - quarter * 6.07710050650619224932e-11;
    double z = r * r;
    double s = r + r * z * (-1.66666666666666324348e-01 + z * (8.33333333332248946124e-03 +
               z * (-1.98412698298579493134e-04 + z * (2.75573137070700676789e-06 +
               z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))));
    double c = 1.0 - 0.5 * z + z * z * (4.16666666666666019037e-02 +
               z * (-1.38888888888741095749e-03 + z * (2.48015872894767294178e-05 +
               z * (-2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 +
               z * -1.13596475577881948265e-11)))));
    double in_odd = quarter & 1 ? c : s, in_even = quarter & 1 ? s : c;
    *sine = quarter & 2 ? -in_odd : in_odd;
    *cosine = (quarter + 1) & 2 ? -in_even : in_even;
}

// Depths of a fresh crater after Pike (1977), times strength.
__device__ inline void set_depths(double diameter_m, double strength, Crater *crater) {
    double km = diameter_m * 1e-3;
    double depth = 1e3 * fmin(0.196 * pow(km, 1.01), 1.044 * pow(km, 0.301));
    crater->depth = strength * depth;
    crater->rim = strength * (km < 17.0 ? 36.0 * pow(km, 1.014) : 236.0 * pow(km, 0.399));
    crater->floor = km < 15.0 ? 0.0 : fmin(0.187 * pow(km, 0.249), 0.8);
    crater->peak = km > 25.0 ? strength * (0.2 * depth) : 0.0;
}

// Along one axis of a patch, the samples that a crater reaches.
__device__ inline void set_reach(double at, double wide, double start, double step, int samples,
                                 int *first, int *last) {
    *first = max(0, (int)ceil((at - wide - start) / step));
    *last = min(samples - 1, (int)floor((at + wide - start) / step));
}

__device__ inline bool overlap(const Reach &a, const Reach &b) {
    return a.first_row <= b.last_row && a.last_row >= b.first_row &&
           a.first_column <= b.last_column && a.last_column >= b.first_column;
}

// u_x .. up_z: rows of the patch's frame, body-fixed. u0, v0, step: gnomonic coordinates of sample
// [0, 0], and between two. strength: factor of all heights. bands: one for each block along y. craters:
// `room` for each cell of all bands, those that reach the patch first. A thread a cell.
extern "C" __global__ void
draw_craters(double u_x, double u_y, double u_z, double v_x, double v_y, double v_z, double up_x,
             double up_y, double up_z, double u0, double v0, double step, int rows, int columns,
             double strength, const Band *bands, int room, Crater *craters, Cell *cells) {
    const Band &band = bands[blockIdx.y];
    int k = blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= band.number) return;
    long long place = (band.start + k) % band.cells;
    if (place < 0) place += band.cells;
    unsigned long long state = mixed(band.word ^ (unsigned long long)(place + (1ll << 40)));
    // A Poisson draw by multiplication of uniforms (Knuth 1969).
    int number = 0;
    for (double product = next_uniform(&state); product > band.none_drawn; ++number)
        product *= next_uniform(&state);
    Crater *own = craters + (band.first + k) * room;
    Cell cell = {0, {rows, -1, columns, -1}};
    for (int drawn = 0; drawn < number && cell.count < room; ++drawn) {
        double sine = band.low_sine + next_uniform(&state) * band.sine_span;
        double longitude = (place + next_uniform(&state)) * band.width;
        double diameter_m = band.diameter_m / sqrt(1.0 - 0.75 * next_uniform(&state));
        double wear = band.most_wear * next_uniform(&state);
        double x, y, z = sine, cosine = sqrt(1.0 - sine * sine);
        sine_cosine(longitude, &y, &x);
        x *= cosine;
        y *= cosine;
        double up = up_x * x + up_y * y + up_z * z;
        if (up <= 0.1) continue;
        double east = u_x * x + u_y * y + u_z * z, north = v_x * x + v_y * y + v_z * z;
        double u = east / up, v = north / up;
        if (u < band.u_low || u > band.u_high || v < band.v_low || v > band.v_high) continue;
        double radius_m = 0.5 * diameter_m;
        double wide = EJECTA_REACH * radius_m / RADIUS_M * (1.0 + u * u + v * v) * 1.01;
        Reach reach;
        set_reach(v, wide, v0, step, rows, &reach.first_row, &reach.last_row);
        set_reach(u, wide, u0, step, columns, &reach.first_column, &reach.last_column);
        if (reach.first_row > reach.last_row || reach.first_column > reach.last_column) continue;
        Crater crater = {east, north, up};
        crater.scale = (RADIUS_M / radius_m) * (RADIUS_M / radius_m);
        crater.worn = sqrt(fmin(wear / MOST_WEAR, 1.0)) * (WEAR_SAMPLES - 1);
        set_depths(diameter_m, strength, &crater);
        crater.reach = reach;
        own[cell.count++] = crater;
        cell.reach.first_row = min(cell.reach.first_row, reach.first_row);
        cell.reach.last_row = max(cell.reach.last_row, reach.last_row);
        cell.reach.first_column = min(cell.reach.first_column, reach.first_column);
        cell.reach.last_column = max(cell.reach.last_column, reach.last_column);
    }
    cells[band.first + k] = cell;
}

// The samples of a tile; tiles count row by row.
__device__ inline Reach tile_reach(int tile, int columns) {
    int across = (columns + TILE - 1) / TILE;
    int row = tile / across * TILE, column = tile % across * TILE;
    return {row, row + TILE - 1, column, column + TILE - 1};
}

// The first LISTED craters that reach into each tile, in their order, and how many do. A thread a tile.
extern "C" __global__ void list_craters(const Crater *craters, const Cell *cells, int count,
                                        int room, int columns, int tiles, int *listed,
                                        int *members) {
    int tile = blockIdx.x * blockDim.x + threadIdx.x;
    if (tile >= tiles) return;
    Reach reach = tile_reach(tile, columns);
    int found = 0;
    for (int k = 0; k < count; ++k) {
        if (!overlap(cells[k].reach, reach)) continue;
        for (int i = k * room; i < k * room + cells[k].count; ++i) {
            if (!overlap(craters[i].reach, reach)) continue;
            if (found < LISTED) members[(long long)tile * LISTED + found] = i;
            found += 1;
        }
    }
    listed[tile] = found;
}

// Height at a squared distance, in rim radii, from a crater's centre. shapes: (WEAR_SAMPLES,
// RADIUS_SAMPLES, 2), rim and bowl.
__device__ inline double height_in(const Crater &crater, double squared, const double *shapes) {
    double at = squared * ((RADIUS_SAMPLES - 1) / (EJECTA_REACH * EJECTA_REACH));
    int k = (int)at;
    if (k >= RADIUS_SAMPLES - 1) return 0.0;
    double f = at - k;
    int j = min((int)crater.worn, WEAR_SAMPLES - 2);
    double g = crater.worn - j;
    double w00 = (1.0 - g) * (1.0 - f), w01 = (1.0 - g) * f, w10 = g * (1.0 - f), w11 = g * f;
    const double *near = shapes + 2 * (j * RADIUS_SAMPLES + k);
    const double *far = near + 2 * RADIUS_SAMPLES;
    double ring = w00 * near[0] + w01 * near[2] + w10 * far[0] + w11 * far[2];
    if (crater.floor == 0.0) {
        double bowl = w00 * near[1] + w01 * near[3] + w10 * far[1] + w11 * far[3];
        return crater.rim * ring - crater.depth * bowl;
    }
    if (squared >= 1.0) return crater.rim * ring;
    const double *middle = shapes + 2 * j * RADIUS_SAMPLES;
    double left = (1.0 - g) * middle[1] + g * middle[2 * RADIUS_SAMPLES + 1];
    double r = sqrt(squared);
    // Terraced walls: s^1.6, where s is the share of the way from the floor to the rim.
    double bowl = 1.0;
    if (r > crater.floor)
        bowl = 1.0 - exp(1.6 * log((r - crater.floor) / (1.0 - crater.floor)));
    return crater.rim * ring +
           left * (crater.peak * exp(-squared / 0.0144) - crater.depth * bowl);
}

// The height of sample (row, column), at u and v, with a crater added.
__device__ inline float stamped(float sum, const Crater &crater, int row, int column, double u,
                                double v, const double *shapes) {
    if (!overlap(crater.reach, {row, row, column, column})) return sum;
    // Angle between sample and centre from the cross product: exact for small angles.
    double cross_x = u * crater.up - crater.east;
    double cross_y = v * crater.up - crater.north;
    double cross_z = u * crater.north - v * crater.east;
    double cross = cross_x * cross_x + cross_y * cross_y + cross_z * cross_z;
    double sine2 = cross / (1.0 + u * u + v * v);
    double squared = crater.scale * sine2 * (1.0 + sine2 / 3.0 + sine2 * sine2 * (8.0 / 45.0));
    if (squared >= EJECTA_REACH * EJECTA_REACH) return sum;
    return (float)(sum + height_in(crater, squared, shapes));
}

// height: (rows, columns). craters, cells: as draw_craters leaves them; listed, members: as list_craters
// does. shapes: see height_in. A block a tile.
extern "C" __global__ void __launch_bounds__(TILE *TILE, 2) // two a multiprocessor: no spill
    stamp_craters(double u0, double v0, double step, const Crater *craters, const Cell *cells,
                  int count, int room, const int *listed, const int *members,
                  const double *shapes, int rows, int columns, float *height) {
    int tile = blockIdx.x;
    Reach reach = tile_reach(tile, columns);
    int column = reach.first_column + threadIdx.x % TILE;
    int row = reach.first_row + threadIdx.x / TILE;
    if (column >= columns || row >= rows) return;
    double u = u0 + column * step, v = v0 + row * step;
    float *sample = height + (long long)row * columns + column;
    float sum = *sample;
    int found = listed[tile];
    // One loop for both: a tile that more craters reach than its list holds looks at all of them.
    int cell = -1, next = 0, end = found <= LISTED ? found : 0;
    while (true) {
        if (next == end) {
            if (found <= LISTED || ++cell == count) break;
            next = cell * room;
            end = next + cells[cell].count;
            continue;
        }
        int which = found <= LISTED ? members[(long long)tile * LISTED + next] : next;
        sum = stamped(sum, craters[which], row, column, u, v, shapes);
        next += 1;
    }
    *sample = sum;
}
