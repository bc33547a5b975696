// How much every place looks like a bowl lit from one side, at every size, and where that peaks.
//
// crater_brightness takes mean and spread from the frame's sums (statistics.cu); crater_halve makes
// the next level of a pyramid of 2 x 2 means; crater_response samples each scale from the level above it and correlates it with the bowl, all
// scales at once; crater_peaks keeps what nothing beside it and one scale up or down outdoes. The
// reference is trn/backend/cpu_crater.py; sums run in its order, so that they differ only where a
// GPU fuses a multiplication and an addition.

#include "block_sum.cuh"

#define HALF_WIDTH 6
#define SIDE (2 * HALF_WIDTH + 1)
#define TILE_COLUMNS 32
#define TILE_ROWS 16
#define DOWN 4 // pixels a thread takes, one below the other: a weight is read once for all of them
#define THREADS (TILE_COLUMNS * TILE_ROWS / DOWN)
#define REGION_COLUMNS (TILE_COLUMNS + 2 * HALF_WIDTH)
#define REGION_ROWS (TILE_ROWS + 2 * HALF_WIDTH)

// What is taken off all pixels, and added to the square of every window's spread.
struct Brightness {
    float mean, lift;
};

// sums: of blocks, (THREADS, stride), whose second and third from `first` on are sums of values less
// the image's first pixel and of their squares. share_of_spread, share_of_mean, least: of the
// image's spread and mean, what a window's spread is at least about. One block.
extern "C" __global__ void __launch_bounds__(THREADS)
    crater_brightness(const double *sums, int stride, int first, const float *image, int pixels,
                      double share_of_spread, double share_of_mean, double least,
                      Brightness *brightness) {
    __shared__ double shared[2][THREADS];
    sum_over_block<2>(sums + stride * threadIdx.x + first, shared);
    if (threadIdx.x > 0) return;
    double mean = shared[0][0] / pixels;
    double variance = shared[1][0] / pixels - mean * mean;
    mean += image[0];
    double spread = fmax(share_of_spread * sqrt(fmax(variance, 0.0)), share_of_mean * fabs(mean));
    brightness->mean = (float)mean;
    brightness->lift = (float)(fmax(spread, least) * fmax(spread, least));
}

// One scale. first_tile: blocks before it. source: where its level of the pyramid starts, negative
// for the image itself. first_pixel: pixels of the scales before it.
struct Scale {
    long long first_tile, rows, columns, source, source_rows, source_columns, first_pixel;
};

// The last scale whose tiles start at or before this block.
__device__ int scale_of_block(const Scale *scales, int count) {
    int k = 0;
    for (int above = count; above - k > 1;) {
        int middle = (k + above) / 2;
        if (scales[middle].first_tile <= blockIdx.x) k = middle;
        else above = middle;
    }
    return k;
}

// Means of 2 x 2 pixels: coarse (rows, columns) from fine, one thread a pixel. is_image: fine is
// the image, whose mean is taken off.
extern "C" __global__ void crater_halve(const float *fine, int fine_columns, int is_image,
                                        const Brightness *brightness, int rows, int columns,
                                        float *coarse) {
    float mean = is_image ? brightness->mean : 0.0f;
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= columns || y >= rows) return;
    const float *upper = fine + 2LL * y * fine_columns + 2 * x;
    const float *lower = upper + fine_columns;
    float sum = (upper[0] - mean) + (lower[0] - mean) + (upper[1] - mean) + (lower[1] - mean);
    coarse[(long long)y * columns + x] = 0.25f * sum;
}

// A pixel's number with the axis mirrored about its end pixels; near enough for any halo.
__device__ int mirrored(int at, int count) {
    at = abs(at);
    return max(at < count ? at : 2 * (count - 1) - at, 0);
}

// Where a pixel of a scale lies in its source along one axis: the pixel before, and the share of
// the one after. In float from there on, as OpenCV's bilinear resize.
__device__ void place_in_source(int at, int count, int source_count, int *before, float *share) {
    float place = (float)((at + 0.5) * ((double)source_count / count) - 0.5);
    float whole = floorf(place);
    *before = min(max((int)whole, 0), source_count - 1);
    *share = whole < 0.0f || whole >= source_count - 1 ? 0.0f : place - whole;
}

// The pixels under a tile and HALF_WIDTH around it, sampled from the scale's source.
__device__ void load_region(const float *source, const Scale *scale, float mean, int tile_x,
                            int tile_y, float *region) {
    __shared__ int before[REGION_COLUMNS + REGION_ROWS];
    __shared__ float share[REGION_COLUMNS + REGION_ROWS];
    int columns = scale->columns, rows = scale->rows;
    int source_columns = scale->source_columns, source_rows = scale->source_rows;
    for (int p = threadIdx.x; p < REGION_COLUMNS + REGION_ROWS; p += THREADS) {
        if (p < REGION_COLUMNS)
            place_in_source(mirrored(tile_x + p - HALF_WIDTH, columns), columns, source_columns,
                            before + p, share + p);
        else
            place_in_source(mirrored(tile_y + p - REGION_COLUMNS - HALF_WIDTH, rows), rows,
                            source_rows, before + p, share + p);
    }
    __syncthreads();
    for (int p = threadIdx.x; p < REGION_ROWS * REGION_COLUMNS; p += THREADS) {
        int j = REGION_COLUMNS + p / REGION_COLUMNS, i = p % REGION_COLUMNS;
        int right = min(before[i] + 1, source_columns - 1);
        const float *upper = source + (long long)before[j] * source_columns;
        const float *lower = source + (long long)min(before[j] + 1, source_rows - 1) * source_columns;
        float above = (upper[before[i]] - mean) * (1.0f - share[i]) + (upper[right] - mean) * share[i];
        float below = (lower[before[i]] - mean) * (1.0f - share[i]) + (lower[right] - mean) * share[i];
        region[p] = above * (1.0f - share[j]) + below * share[j];
    }
    __syncthreads();
}

// Sums over SIDE rows of the region, of pixels and of their squares, at each row of the tile.
__device__ void sum_columns(const float *region, float *totals, float *squares) {
    for (int p = threadIdx.x; p < TILE_ROWS * REGION_COLUMNS; p += THREADS) {
        float total = 0.0f, square = 0.0f;
        for (int j = 0; j < SIDE; ++j) {
            float value = region[p + j * REGION_COLUMNS];
            total += value;
            square += value * value;
        }
        totals[p] = total;
        squares[p] = square;
    }
    __syncthreads();
}

// Standard deviation of the window whose column sums start here, `lift` added to its square.
__device__ float spread_of(const float *totals, const float *squares, float lift) {
    float total = 0.0f, square = 0.0f;
    for (int i = 0; i < SIDE; ++i) {
        total += totals[i];
        square += squares[i];
    }
    float mean = total / (SIDE * SIDE);
    return sqrtf(fmaxf(square / (SIDE * SIDE) - mean * mean, 0.0f) + lift);
}

// image: (image_rows, image_columns). levels: the pyramid from level 1 on. weights: (parts, SIDE, SIDE), odd; one part
// or two. responses: (parts, rows, columns) a scale, one scale after the other. found: set to 0 for
// crater_peaks. One block a tile of a scale.
extern "C" __global__ void __launch_bounds__(THREADS)
    crater_response(const float *image, const float *levels, const Brightness *brightness,
                    const Scale *scales, int count, const float *weights, int parts,
                    float *responses, unsigned int *found) {
    __shared__ float region[REGION_ROWS * REGION_COLUMNS];
    __shared__ float totals[TILE_ROWS * REGION_COLUMNS];
    __shared__ float squares[TILE_ROWS * REGION_COLUMNS];
    __shared__ float first[SIDE * SIDE], second[SIDE * SIDE];

    if (blockIdx.x == 0 && threadIdx.x == 0) *found = 0;
    const Scale *scale = scales + scale_of_block(scales, count);
    int columns = scale->columns, rows = scale->rows;
    int tiles_across = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS;
    int tile = blockIdx.x - scale->first_tile;
    int tile_x = tile % tiles_across * TILE_COLUMNS, tile_y = tile / tiles_across * TILE_ROWS;
    bool is_image = scale->source < 0;
    for (int p = threadIdx.x; p < SIDE * SIDE; p += THREADS) {
        first[p] = weights[p];
        second[p] = parts > 1 ? weights[SIDE * SIDE + p] : 0.0f;
    }
    load_region(is_image ? image : levels + scale->source, scale,
                is_image ? brightness->mean : 0.0f, tile_x, tile_y, region);
    sum_columns(region, totals, squares);

    int column = threadIdx.x % TILE_COLUMNS;
    int row = threadIdx.x / TILE_COLUMNS * DOWN;
    float sums[DOWN], other_sums[DOWN];
#pragma unroll
    for (int p = 0; p < DOWN; ++p) sums[p] = other_sums[p] = 0.0f;
    const float *middle = region + (row + HALF_WIDTH) * REGION_COLUMNS + column + HALF_WIDTH;
    for (int dy = 0; dy <= HALF_WIDTH; ++dy) {
        // The bowl is odd: the opposite pixel has the opposite weight.
        for (int dx = dy == 0 ? 1 : -HALF_WIDTH; dx <= HALF_WIDTH; ++dx) {
            float weight = first[(HALF_WIDTH + dy) * SIDE + HALF_WIDTH + dx];
            float other_weight = second[(HALF_WIDTH + dy) * SIDE + HALF_WIDTH + dx];
            if (weight == 0.0f && other_weight == 0.0f) continue;
#pragma unroll
            for (int p = 0; p < DOWN; ++p) {
                float difference = middle[(p + dy) * REGION_COLUMNS + dx] -
                                   middle[(p - dy) * REGION_COLUMNS - dx];
                sums[p] += weight * difference;
                other_sums[p] += other_weight * difference;
            }
        }
    }
    float *out = responses + parts * scale->first_pixel;
#pragma unroll
    for (int p = 0; p < DOWN; ++p) {
        int x = tile_x + column, y = tile_y + row + p;
        if (x >= columns || y >= rows) continue;
        int at = (row + p) * REGION_COLUMNS + column;
        float spread = spread_of(totals + at, squares + at, brightness->lift);
        out[(long long)y * columns + x] = sums[p] / spread;
        if (parts > 1) out[(long long)(rows + y) * columns + x] = other_sums[p] / spread;
    }
}

// How strong the response of one scale is at a pixel: its one part, or the length of its two. Not
// fused: what is as strong on the CPU has to be so here.
__device__ float strength_of(const float *response, int parts, int rows, int columns, int y,
                             int x) {
    long long at = (long long)y * columns + x;
    if (parts == 1) return response[at];
    float part_x = response[at], part_y = response[(long long)rows * columns + at];
    return sqrtf(__fadd_rn(__fmul_rn(part_x, part_x), __fmul_rn(part_y, part_y)));
}

// Whether a strength is no less than those of the 3 x 3 pixels around a pixel.
__device__ bool tops(float strength, const float *response, int parts, int rows, int columns,
                     int y, int x) {
    for (int j = max(y - 1, 0); j < min(y + 2, rows); ++j)
        for (int i = max(x - 1, 0); i < min(x + 2, columns); ++i)
            if (strength < strength_of(response, parts, rows, columns, j, i)) return false;
    return true;
}

// Whether a pixel before this one, in reading order of its 3 x 3, is as strong: the first one counts.
__device__ bool equalled_before(float strength, const float *response, int parts, int rows,
                                int columns, int y, int x) {
    for (int j = max(y - 1, 0); j <= y; ++j)
        for (int i = max(x - 1, 0); i < min(x + 2, columns); ++i)
            if ((j < y || i < x) &&
                strength_of(response, parts, rows, columns, j, i) == strength)
                return true;
    return false;
}

// The same for the 3 x 3 pixels around a pixel's place in another scale.
__device__ bool tops_in(float strength, const Scale *other, const float *responses, int parts,
                        const Scale *scale, int y, int x) {
    int rows = other->rows, columns = other->columns;
    int there_y = min((int)((y + 0.5) * rows / (int)scale->rows), rows - 1);
    int there_x = min((int)((x + 0.5) * columns / (int)scale->columns), columns - 1);
    return tops(strength, responses + parts * other->first_pixel, parts, rows, columns, there_y,
                there_x);
}

// responses: as crater_response leaves them. peaks: (capacity, 4), pixel (counted over all scales),
// strength and parts along x and y of each peak of `least` or more, in no order. found: how many,
// 0 before the launch. One block a tile of a scale.
extern "C" __global__ void __launch_bounds__(THREADS)
    crater_peaks(const float *responses, const Scale *scales, int count, int parts, double least,
                 int capacity, double *peaks, unsigned int *found) {
    int k = scale_of_block(scales, count);
    const Scale *scale = scales + k;
    int columns = scale->columns, rows = scale->rows;
    int tiles_across = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS;
    int tile = blockIdx.x - scale->first_tile;
    const float *response = responses + parts * scale->first_pixel;
    for (int p = threadIdx.x; p < TILE_ROWS * TILE_COLUMNS; p += THREADS) {
        int x = tile % tiles_across * TILE_COLUMNS + p % TILE_COLUMNS;
        int y = tile / tiles_across * TILE_ROWS + p / TILE_COLUMNS;
        if (x >= columns || y >= rows) continue;
        float strength = strength_of(response, parts, rows, columns, y, x);
        if (!(strength >= least)) continue;
        if (!tops(strength, response, parts, rows, columns, y, x)) continue;
        if (equalled_before(strength, response, parts, rows, columns, y, x)) continue;
        if (k > 0 && !tops_in(strength, scale - 1, responses, parts, scale, y, x)) continue;
        if (k < count - 1 && !tops_in(strength, scale + 1, responses, parts, scale, y, x)) continue;
        unsigned int slot = atomicAdd(found, 1u);
        if (slot >= capacity) continue;
        long long at = (long long)y * columns + x;
        double *peak = peaks + 4LL * slot;
        peak[0] = scale->first_pixel + at;
        peak[1] = strength;
        peak[2] = response[at];
        peak[3] = response[(parts - 1LL) * rows * columns + at];
    }
}
