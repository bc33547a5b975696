// Heights of a map's raster at the nodes of a gnomonic grid: one thread a node.
//
// The reference is heights_of in trn/maps/tile.py, with what it calls of trn/maps/sampling.py. Double
// precision, as there: a float holds a place on a map of the whole Moon to some metres only.

#define GEOGRAPHIC 0
#define NORTH_POLAR 1
#define TURN 6.283185307179586
#define DEGREES_PER_RADIAN 57.29577951308232
// A place this near to a pixel's centre is taken as the centre: rounding neither changes a height
// nor drags a neighbouring hole in.
#define SNAP_PX 1e-6

struct Raster {
    int projection;
    double left, top, pixel_x, pixel_y, radius, centre; // of trn.backend.terrain_cut.RasterPart
    const float *window;                                // (rows, columns), NaN in holes
    int rows, columns, first_row, first_column;
    double row_low, row_high, column_low, column_high;  // outside it there is no height
};

// Row and column of a body-fixed point, which need not be of unit length.
//
// Polar: Snyder (1987), equations 21-5 to 21-8 on the sphere, scale 1 at the pole; the tangent of
// half the colatitude is cos(latitude) / (1 + sin(latitude)), so that no angle is needed.
__device__ inline void place_of(const Raster &raster, double x, double y, double z, double *row,
                                double *column) {
    double across, up;
    if (raster.projection == GEOGRAPHIC) {
        double away = atan2(y, x) - raster.centre;
        away -= TURN * floor(away / TURN + 0.5);
        across = (away + raster.centre) * DEGREES_PER_RADIAN;
        up = atan2(z, sqrt(x * x + y * y)) * DEGREES_PER_RADIAN;
    } else {
        double north = raster.projection == NORTH_POLAR ? 1.0 : -1.0;
        double scale = 2.0 * raster.radius / (sqrt(x * x + y * y + z * z) + north * z);
        across = scale * y;
        up = -north * scale * x;
    }
    *column = (across - raster.left) / raster.pixel_x - 0.5;
    *row = (raster.top - up) / raster.pixel_y - 0.5;
}

__device__ inline double snapped(double place) {
    double nearest = floor(place + 0.5);
    return fabs(place - nearest) < SNAP_PX ? nearest : place;
}

// Four neighbours weighed at t in [0, 1) from the second (Keys 1981, a = -1/2).
struct CatmullRom {
    double before, here, next, beyond;
    __device__ explicit CatmullRom(double t)
        : before(((-0.5 * t + 1.0) * t - 0.5) * t), here((1.5 * t - 2.5) * t * t + 1.0),
          next(((-1.5 * t + 2.0) * t + 0.5) * t), beyond((0.5 * t - 0.5) * t * t) {}
    __device__ double of(const float *w) const {
        return before * w[0] + here * w[1] + next * w[2] + beyond * w[3];
    }
};

// The raster at a row and column: bicubic where all 4 x 4 neighbours are there, else bilinear where
// those that weigh are there, else NaN.
__device__ inline double height_at(const Raster &raster, double row, double column) {
    if (!(raster.row_low <= row && row <= raster.row_high && raster.column_low <= column &&
          column <= raster.column_high))
        return nan("");
    double r = snapped(fmin(fmax(row - raster.first_row, 0.0), raster.rows - 1.0));
    double c = snapped(fmin(fmax(column - raster.first_column, 0.0), raster.columns - 1.0));
    int r0 = (int)r, c0 = (int)c;
    double t = r - r0, s = c - c0;
    const float *first = raster.window + (long long)r0 * raster.columns + c0;
    if (r0 >= 1 && c0 >= 1 && r0 + 2 < raster.rows && c0 + 2 < raster.columns) {
        CatmullRom along(s), down(t);
        const float *corner = first - raster.columns - 1;
        double value = down.before * along.of(corner) +
                       down.here * along.of(corner + raster.columns) +
                       down.next * along.of(corner + 2 * raster.columns) +
                       down.beyond * along.of(corner + 3 * raster.columns);
        if (value == value) return value;
    }
    // A neighbour that does not weigh must not count: it may be a hole or lie outside.
    const float *second = t > 0.0 ? first + raster.columns : first;
    int right = s > 0.0 ? 1 : 0;
    double upper = (1.0 - s) * first[0] + s * first[right];
    double lower = (1.0 - s) * second[0] + s * second[right];
    return (1.0 - t) * upper + t * lower;
}

// east, north, up: axes of the grid, body-fixed. first_x, first_y: node [0, 0] in steps from the
// axes' centre. Next come the fields of Raster. heights: (rows, columns), NaN where there are none.
// hole: the same, 1 where there are none.
extern "C" __global__ void cut_heights(
    double east_x, double east_y, double east_z, double north_x, double north_y, double north_z,
    double up_x, double up_y, double up_z, int first_x, int first_y, double step, int rows,
    int columns, int projection, double left, double top, double pixel_x, double pixel_y,
    double radius, double centre, const float *window, int window_rows, int window_columns,
    int first_row, int first_column, double row_low, double row_high, double column_low,
    double column_high, float *heights, unsigned char *hole) {
    int ix = blockIdx.x * blockDim.x + threadIdx.x;
    int iy = blockIdx.y * blockDim.y + threadIdx.y;
    if (ix >= columns || iy >= rows) return;
    Raster raster = {projection, left, top, pixel_x, pixel_y, radius, centre, window, window_rows,
                     window_columns, first_row, first_column, row_low, row_high, column_low,
                     column_high};
    double x = (first_x + ix) * step;
    double y = (first_y + iy) * step;
    double row, column;
    place_of(raster, up_x + x * east_x + y * north_x, up_y + x * east_y + y * north_y,
             up_z + x * east_z + y * north_z, &row, &column);
    long long node = (long long)iy * columns + ix;
    float height = (float)height_at(raster, row, column);
    bool missing = !isfinite(height);
    heights[node] = missing ? nanf("") : height;
    hole[node] = missing;
}
