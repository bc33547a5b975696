// The whole view against the image: normal equations of the displacement, a block of pixels each.
//
// means (known.cu) -> relative brightness -> spectra of patches (align_spectra.cu) -> filters
// (align_filters.cu) -> both filtered (align_filtered.cu) -> how strongly the image shows the view ->
// sums over blocks, and the noise around each -> weighed by it (align_weights.cu). The reference is
// trn/backend/cpu_align.py.

#include "mirror.cuh"
#include "average.cuh"

#define BLOCK 4
#define MARGIN 4
#define SLOPE_REACH 3

// means: (2, rows, columns), of image and prediction over what is known. highest: (2), of means, bits
// of floats. relative: (2, rows, columns), values over their local mean, from darkest to brightest,
// minus one; 0 where the prediction is not finite. usable: (rows, columns), 1 where all within MARGIN
// is known and in the image, else 0. One thread a pixel.
extern "C" __global__ void align_relative(const float *image, const float *predicted,
                                          const float *means, const unsigned *highest,
                                          float darkest, float brightest, int rows, int columns,
                                          float *relative, float *usable) {
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= columns || y >= rows) return;
    long long pixels = (long long)rows * columns, p = (long long)y * columns + x;
    bool known = isfinite(predicted[p]);
    for (int side = 0; side < 2; ++side) {
        float floor = 1e-3f * fmaxf(__uint_as_float(highest[side]), 1e-9f);
        float over = (side ? predicted : image)[p] / fmaxf(means[side * pixels + p], floor);
        over = fminf(fmaxf(over, darkest), brightest) - 1.0f;
        relative[side * pixels + p] = known ? over : 0.0f;
    }
    bool inside = x >= MARGIN && y >= MARGIN && x < columns - MARGIN && y < rows - MARGIN;
    for (int dy = -MARGIN; inside && dy <= MARGIN; ++dy)
        for (int dx = -MARGIN; dx <= MARGIN; ++dx)
            inside = inside && isfinite(predicted[p + (long long)dy * columns + dx]);
    usable[p] = inside ? 1.0f : 0.0f;
}

// filtered: (2, rows, columns), image and view. products: (2, block_rows, block_columns), sums over
// usable pixels of image times view, and of the view squared. One thread a block of pixels.
extern "C" __global__ void align_products(const float *filtered, const float *usable, int rows,
                                          int columns, int block_rows, int block_columns,
                                          float *products) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    int j = blockIdx.y * blockDim.y + threadIdx.y;
    if (i >= block_columns || j >= block_rows) return;
    const float *view = filtered + (long long)rows * columns;
    float shared = 0.0f, own = 0.0f;
    for (int dy = 0; dy < BLOCK; ++dy)
        for (int dx = 0; dx < BLOCK; ++dx) {
            long long p = (long long)(BLOCK * j + dy) * columns + BLOCK * i + dx;
            shared += usable[p] * filtered[p] * view[p];
            own += usable[p] * view[p] * view[p];
        }
    int at = j * block_columns + i;
    products[at] = shared;
    products[block_rows * block_columns + at] = own;
}

// Where a pixel lies between the middles of blocks along one axis, as OpenCV's bilinear resize: the
// block before, and the share of the one after.
__device__ void between_blocks(int at, int count, int blocks, int *before, float *share) {
    float place = (float)((at + 0.5) * ((double)blocks / count) - 0.5);
    float whole = floorf(place);
    *before = min(max((int)whole, 0), blocks - 1);
    *share = whole < 0.0f || whole >= blocks - 1 ? 0.0f : place - whole;
}

// products: of align_products. response: (block_rows, block_columns), how strongly the image shows
// the view around each block, 0 to most. One thread a block of pixels.
extern "C" __global__ void __launch_bounds__(AROUND * AROUND)
align_response(const float *products, int block_rows, int block_columns, const float *weights,
               int radius, float most, float *response) {
    extern __shared__ float lines[];
    int i = blockIdx.x * AROUND + threadIdx.x, j = blockIdx.y * AROUND + threadIdx.y;
    float around[2];
    auto value = [&](int plane, int y, int x) -> float {
        return products[(plane * block_rows + y) * block_columns + x];
    };
    average_around<2>(value, block_rows, block_columns, weights, radius, lines, around);
    if (i >= block_columns || j >= block_rows) return;
    response[(long long)j * block_columns + i] =
        fminf(fmaxf(around[0] / fmaxf(around[1], 1e-9f), 0.0f), most);
}

// response: of align_response. view: (rows, columns), filtered; multiplied by the response of the
// blocks around each pixel. One thread a pixel.
extern "C" __global__ void align_respond(const float *response, int rows, int columns,
                                         int block_rows, int block_columns, float *view) {
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= columns || y >= rows) return;
    int left, upper;
    float u, v;
    between_blocks(x, columns, block_columns, &left, &u);
    between_blocks(y, rows, block_rows, &upper, &v);
    int right = min(left + 1, block_columns - 1), lower = min(upper + 1, block_rows - 1);
    const float *over = response + (long long)upper * block_columns;
    const float *under = response + (long long)lower * block_columns;
    float above = (1.0f - u) * over[left] + u * over[right];
    float below = (1.0f - u) * under[left] + u * under[right];
    view[(long long)y * columns + x] *= (1.0f - v) * above + v * below;
}

// Slope of an image at a pixel along one axis, beyond the border mirrored about the end pixels.
// weights: of the pixels 1 to SLOPE_REACH after; those before count as much, negatively.
__device__ float slope_at(const float *line, int at, int count, int step, const float *weights) {
    float slope = 0.0f;
    for (int k = 1; k <= SLOPE_REACH; ++k) {
        long long after = mirrored_about(at + k, count), before = mirrored_about(at - k, count);
        slope += weights[k - 1] * (line[after * step] - line[before * step]);
    }
    return slope;
}

// filtered: (2, rows, columns), image and view. slope_weights: (SLOPE_REACH). sums: (7, block_rows,
// block_columns), over usable pixels: their number, the squared residual, products of the view's
// slopes (xx, xy, yy), and of slopes (x, y) and residual. One thread a block of pixels.
extern "C" __global__ void align_equations(const float *filtered, const float *usable,
                                           const float *slope_weights, int rows, int columns,
                                           int block_rows, int block_columns, float *sums) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    int j = blockIdx.y * blockDim.y + threadIdx.y;
    if (i >= block_columns || j >= block_rows) return;
    const float *view = filtered + (long long)rows * columns;
    float sum[7] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
    for (int dy = 0; dy < BLOCK; ++dy)
        for (int dx = 0; dx < BLOCK; ++dx) {
            int x = BLOCK * i + dx, y = BLOCK * j + dy;
            long long p = (long long)y * columns + x;
            float weight = usable[p], residual = filtered[p] - view[p];
            float along_x = slope_at(view + (long long)y * columns, x, columns, 1, slope_weights);
            float along_y = slope_at(view + x, y, rows, columns, slope_weights);
            sum[0] += weight;
            sum[1] += weight * residual * residual;
            sum[2] += weight * along_x * along_x;
            sum[3] += weight * along_x * along_y;
            sum[4] += weight * along_y * along_y;
            sum[5] += weight * along_x * residual;
            sum[6] += weight * along_y * residual;
        }
    for (int k = 0; k < 7; ++k)
        sums[((long long)k * block_rows + j) * block_columns + i] = sum[k];
}

// sums: of align_equations. noise: (block_rows, block_columns), the squared residual of a usable
// pixel around each block, NaN where no more than half of the block's pixels are usable. One thread a
// block of pixels.
extern "C" __global__ void __launch_bounds__(AROUND * AROUND)
align_noise(const float *sums, int block_rows, int block_columns, const float *weights, int radius,
            float *noise) {
    extern __shared__ float lines[];
    int i = blockIdx.x * AROUND + threadIdx.x, j = blockIdx.y * AROUND + threadIdx.y;
    float around[2];
    auto value = [&](int plane, int y, int x) -> float {
        return sums[(plane * block_rows + y) * block_columns + x];
    };
    average_around<2>(value, block_rows, block_columns, weights, radius, lines, around);
    if (i >= block_columns || j >= block_rows) return;
    float here = around[1] / fmaxf(around[0], 1e-6f);
    noise[(long long)j * block_columns + i] = value(0, j, i) > 0.5f * BLOCK * BLOCK ? here : nanf("");
}
