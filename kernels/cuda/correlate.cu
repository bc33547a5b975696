// Zero-mean normalised cross-correlation of many templates, each in a window of its own.
//
//   score(x, y) = sum T(i, j) w(x + i, y + j) / (|T| |W|),   T = t - mean(t),  W = w - mean(w)
//
// A block scores a tile of 32 x 32 placements of one template; the last block of a template to
// finish looks for peak, second peak and curvature in the whole plane. One launch does all templates,
// however unequal their windows. The reference is trn/backend/cpu_correlate.py.

#define TILE 32
#define ACROSS 8                    // placements a thread scores, side by side
#define THREADS (TILE * TILE / ACROSS)
#define STRIP 4                     // template columns a step, one load of a float4
#define STATISTICS_PITCH (TILE + 1) // odd, as all pitches down which a warp reads: no bank twice
#define FLAT_VARIANCE 2.2e-16f      // OpenCV scores a template below this variance 1 everywhere
#define OVERSHOOT 1.125f            // and a score above this, all rounding, 0

// Sum over the block of one value a thread, the same in every thread.
__device__ float sum_over_block(float value, float *slots) {
    __syncthreads();
    slots[threadIdx.x] = value;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) slots[threadIdx.x] += slots[threadIdx.x + half];
    }
    __syncthreads();
    return slots[0];
}

// T into shared memory, rows `pitch` apart; what is not predictable takes the mean, so that it adds
// nothing. Returns |T|, or -1 for a flat template.
__device__ float load_template(const float *corner, int row_length, int size, int pitch, float *t,
                               float *slots) {
    float sum = 0.0f, known = 0.0f;
    for (int p = threadIdx.x; p < size * size; p += THREADS) {
        float value = corner[(long long)(p / size) * row_length + p % size];
        if (isfinite(value)) {
            sum += value;
            known += 1.0f;
        }
    }
    known = sum_over_block(known, slots);
    float mean = sum_over_block(sum, slots) / fmaxf(known, 1.0f);
    float square = 0.0f;
    for (int p = threadIdx.x; p < size * size; p += THREADS) {
        float value = corner[(long long)(p / size) * row_length + p % size];
        float deviation = isfinite(value) ? value - mean : 0.0f;
        t[p / size * pitch + p % size] = deviation;
        square += deviation * deviation;
    }
    square = sum_over_block(square, slots);
    float rounding = 1e-6f * mean;
    float flat = fmaxf(FLAT_VARIANCE, rounding * rounding) * (size * size);
    return square < flat ? -1.0f : sqrtf(square);
}

// The pixels under a tile into shared memory, less their mean: sum T = 0 makes it drop out, and
// what is left is small enough for float sums. Beyond rows and columns there are zeros.
__device__ void load_region(const float *corner, int row_length, int rows, int columns, int side,
                            int pitch, float *region, float *slots) {
    float sum = 0.0f, known = 0.0f;
    for (int p = threadIdx.x; p < rows * columns; p += THREADS) {
        float value = corner[(long long)(p / columns) * row_length + p % columns];
        if (isfinite(value)) {
            sum += value;
            known += 1.0f;
        }
    }
    known = sum_over_block(known, slots);
    float mean = sum_over_block(sum, slots) / fmaxf(known, 1.0f);
    for (int p = threadIdx.x; p < side * side; p += THREADS) {
        int row = p / side, column = p % side;
        bool inside = row < rows && column < columns;
        region[row * pitch + column] =
            inside ? corner[(long long)row * row_length + column] - mean : 0.0f;
    }
    __syncthreads();
}

// Mean and sum of squared deviations of every `size` pixels in a row of the region, at each of the
// tile's columns. Taken about the first of them: a flat run comes out as exactly flat.
__device__ void summarise_rows(const float *region, int side, int pitch, int size, float *means,
                               float *squares) {
    for (int p = threadIdx.x; p < side * TILE; p += THREADS) {
        int row = p % side, column = p / side;
        const float *run = region + row * pitch + column;
        float pivot = run[0], sum = 0.0f, square = 0.0f;
        for (int i = 1; i < size; ++i) {
            float deviation = run[i] - pivot;
            sum += deviation;
            square += deviation * deviation;
        }
        means[row * STATISTICS_PITCH + column] = pivot + sum / size;
        squares[row * STATISTICS_PITCH + column] = fmaxf(square - sum * sum / size, 0.0f);
    }
    __syncthreads();
}

// |W|^2 of the window whose row summaries start here: within the rows, and between them.
__device__ float window_square(const float *means, const float *squares, int size) {
    float pivot = means[0], sum = 0.0f, between = 0.0f, within = 0.0f;
    for (int j = 0; j < size; ++j) {
        float deviation = means[j * STATISTICS_PITCH] - pivot;
        sum += deviation;
        between += deviation * deviation;
        within += squares[j * STATISTICS_PITCH];
    }
    return within + size * fmaxf(between - sum * sum / size, 0.0f);
}

// sum T w at ACROSS placements side by side. The pixels ahead slide through registers: each is read
// once a template row, and each template value serves all placements.
__device__ void products(const float *t, int template_pitch, const float *window, int pitch,
                         int size, float *sums) {
    for (int p = 0; p < ACROSS; ++p) sums[p] = 0.0f;
    for (int j = 0; j < size; ++j) {
        const float *row = window + j * pitch;
        const float *t_row = t + j * template_pitch;
        float ahead[ACROSS + STRIP - 1];
#pragma unroll
        for (int p = 0; p < ACROSS - 1; ++p) ahead[p] = row[p];
        int i = 0;
        for (; i + STRIP <= size; i += STRIP) {
            float4 four = *(const float4 *)(t_row + i);
            float values[STRIP] = {four.x, four.y, four.z, four.w};
#pragma unroll
            for (int s = 0; s < STRIP; ++s) ahead[ACROSS - 1 + s] = row[i + ACROSS - 1 + s];
#pragma unroll
            for (int s = 0; s < STRIP; ++s) {
#pragma unroll
                for (int p = 0; p < ACROSS; ++p) sums[p] += values[s] * ahead[s + p];
            }
#pragma unroll
            for (int p = 0; p < ACROSS - 1; ++p) ahead[p] = ahead[p + STRIP];
        }
        for (; i < size; ++i) {
            float value = t_row[i];
            ahead[ACROSS - 1] = row[i + ACROSS - 1];
#pragma unroll
            for (int p = 0; p < ACROSS; ++p) sums[p] += value * ahead[p];
#pragma unroll
            for (int p = 0; p < ACROSS - 1; ++p) ahead[p] = ahead[p + 1];
        }
    }
}

// The score from sum T w, |T| and |W|^2; a window that is flat, or not all finite, tells nothing: 0.
__device__ float score_of(float product, float template_norm, float square) {
    if (template_norm < 0.0f) return 1.0f;
    float score = product / (template_norm * sqrtf(square));
    if (!(fabsf(score) < OVERSHOOT)) return 0.0f;
    return fminf(fmaxf(score, -1.0f), 1.0f);
}

// Highest score of a plane, outside the square of `exclusion` around (not_x, not_y) where that is
// not negative; the first one in reading order. Its index goes to `where`.
__device__ float highest(const float *plane, int rows, int columns, int not_x, int not_y,
                         int exclusion, float *slots, int *places, int *where) {
    float best = -2.0f;
    int place = 0;
    for (int p = threadIdx.x; p < rows * columns; p += THREADS) {
        bool near = not_x >= 0 && abs(p % columns - not_x) <= exclusion &&
                    abs(p / columns - not_y) <= exclusion;
        float score = __ldcg(plane + p);
        if (!near && score > best) {
            best = score;
            place = p;
        }
    }
    __syncthreads();
    slots[threadIdx.x] = best;
    places[threadIdx.x] = place;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        int other = threadIdx.x + half;
        if (threadIdx.x < half) {
            bool better = slots[other] > slots[threadIdx.x];
            bool as_good = slots[other] == slots[threadIdx.x];
            if (better || (as_good && places[other] < places[threadIdx.x])) {
                slots[threadIdx.x] = slots[other];
                places[threadIdx.x] = places[other];
            }
        }
    }
    __syncthreads();
    *where = places[0];
    return slots[0];
}

// (x, y, score, second score, c_xx, c_xy, c_yy, inside) of a peak: the vertex of the least-squares
// paraboloid through its 3 x 3 neighbourhood; c is minus its Hessian. No fit on the border.
__device__ void fit_peak(const float *plane, int rows, int columns, int bx, int by, double best,
                         double second, double *found) {
    found[0] = bx;
    found[1] = by;
    found[2] = best;
    found[3] = second;
    found[4] = found[5] = found[6] = found[7] = 0.0;
    if (bx < 1 || by < 1 || bx > columns - 2 || by > rows - 2) return;
    double sx = 0.0, sy = 0.0, sxx = 0.0, syy = 0.0, sxy = 0.0, total = 0.0;
    for (int j = -1; j <= 1; ++j) {
        for (int i = -1; i <= 1; ++i) {
            double value = __ldcg(plane + (by + j) * columns + bx + i);
            total += value;
            sx += i * value;
            sy += j * value;
            sxx += i * i * value;
            syy += j * j * value;
            sxy += i * j * value;
        }
    }
    double gx = sx / 6.0;
    double gy = sy / 6.0;
    double hxx = sxx - 2.0 * total / 3.0;
    double hyy = syy - 2.0 * total / 3.0;
    double hxy = sxy / 4.0;
    double determinant = hxx * hyy - hxy * hxy;
    if (!(hxx < 0.0 && determinant > 0.0)) return;
    double dx = -(hyy * gx - hxy * gy) / determinant;
    double dy = -(hxx * gy - hxy * gx) / determinant;
    if (fabs(dx) > 1.0 || fabs(dy) > 1.0) return;
    found[0] = bx + dx;
    found[1] = by + dy;
    found[2] = fmin(best + 0.5 * (gx * dx + gy * dy), 1.0);
    found[4] = -hxx;
    found[5] = -hxy;
    found[6] = -hyy;
    found[7] = 1.0;
}

// image, predicted: rows of image_columns and predicted_columns pixels. template_x .. window_rows:
// (count), see Searches in trn/backend/protocol.py. first_tile: (count + 1), blocks before those of
// each template. first_score: (count), where its plane starts in `scores`. finished: (count), zero.
// found: (count, 8), see fit_peak; places are relative to the window.
// Dynamic shared memory, floats: size * template_pitch for T, side * pitch for the pixels under a
// tile and twice side * STATISTICS_PITCH for the summaries of their rows, where template_pitch is
// size up to a multiple of 4, side = size + 31, and pitch is side up to an odd number.
extern "C" __global__ void __launch_bounds__(THREADS)
    correlate(const float *image, int image_columns, const float *predicted,
              int predicted_columns, int size, int exclusion, int count, const int *template_x,
              const int *template_y, const int *window_x, const int *window_y,
              const int *window_columns, const int *window_rows, const int *first_tile,
              const long long *first_score, float *scores, unsigned int *finished,
              double *found) {
    extern __shared__ float4 pool[];
    __shared__ float slots[THREADS];
    __shared__ int places[THREADS];
    __shared__ bool is_last;

    int block = blockIdx.x;
    int k = 0; // the last template whose tiles start at or before this block
    for (int above = count; above - k > 1;) {
        int middle = (k + above) / 2;
        if (first_tile[middle] <= block) k = middle;
        else above = middle;
    }
    int columns = window_columns[k], rows = window_rows[k];
    int tiles_across = (columns + TILE - 1) / TILE;
    int tile_x = (block - first_tile[k]) % tiles_across * TILE;
    int tile_y = (block - first_tile[k]) / tiles_across * TILE;
    int tile_columns = min(TILE, columns - tile_x);
    int tile_rows = min(TILE, rows - tile_y);

    int template_pitch = (size + 3) / 4 * 4;
    int side = TILE + size - 1;
    int pitch = side | 1;
    float *t = (float *)pool;
    float *region = t + size * template_pitch;
    float *means = region + side * pitch;
    float *squares = means + side * STATISTICS_PITCH;

    float template_norm =
        load_template(predicted + (long long)template_y[k] * predicted_columns + template_x[k],
                      predicted_columns, size, template_pitch, t, slots);
    load_region(image + (long long)(window_y[k] + tile_y) * image_columns + window_x[k] + tile_x,
                image_columns, tile_rows + size - 1, tile_columns + size - 1, side, pitch, region,
                slots);
    summarise_rows(region, side, pitch, size, means, squares);

    // A warp takes ACROSS columns of the tile, each of its threads one row.
    int row = threadIdx.x % TILE;
    int column = threadIdx.x / TILE * ACROSS;
    float *plane = scores + first_score[k];
    if (row < tile_rows && column < tile_columns) {
        float sums[ACROSS];
        products(t, template_pitch, region + row * pitch + column, pitch, size, sums);
        for (int p = 0; p < ACROSS && column + p < tile_columns; ++p) {
            int at = row * STATISTICS_PITCH + column + p;
            plane[(long long)(tile_y + row) * columns + tile_x + column + p] = score_of(
                sums[p], template_norm, window_square(means + at, squares + at, size));
        }
    }

    // Scores first, then the count: whoever sees all tiles counted sees all scores.
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0)
        is_last = atomicAdd(finished + k, 1u) == first_tile[k + 1] - first_tile[k] - 1;
    __syncthreads();
    if (!is_last) return;
    __threadfence();
    int peak, unused;
    float best = highest(plane, rows, columns, -1, -1, 0, slots, places, &peak);
    float second = highest(plane, rows, columns, peak % columns, peak / columns, exclusion, slots,
                           places, &unused);
    if (threadIdx.x == 0)
        fit_peak(plane, rows, columns, peak % columns, peak / columns, best, fmaxf(second, -1.0f),
                 found + 8LL * k);
}
