// Spectra of patches of two images, by the definition of the discrete Fourier transform.

#define PATCH 32
#define PATCH_PIXELS (PATCH * PATCH)
#define SPECTRA_THREADS 256

// relative: (2, rows, columns). predicted: (rows, columns), known where it is finite. starts:
// (patches, 2), row and column of each patch. least_known: pixels without which a patch does not
// count. taper: (PATCH_PIXELS). waves: (2, PATCH), cosine and sine of whole turns over PATCH. counts:
// (patches), known pixels.
// spectra: (patches, 3, PATCH_PIXELS), power of the image, of the prediction, real part of the cross
// spectrum; only of what counts. One block a patch; a discrete Fourier transform by its definition,
// along rows, then along columns.
extern "C" __global__ void __launch_bounds__(SPECTRA_THREADS)
align_spectra(const float *relative, const float *predicted, int pixels, int columns,
              const int *starts, int least_known, const float *taper, const float *waves,
              int *counts, float *spectra) {
    __shared__ float patch[2][PATCH_PIXELS], real[2][PATCH_PIXELS], imaginary[2][PATCH_PIXELS];
    __shared__ float cosine[PATCH], sine[PATCH];
    __shared__ int counted[SPECTRA_THREADS];
    const int *start = starts + 2 * blockIdx.x;
    int count = 0;
    for (int q = threadIdx.x; q < PATCH_PIXELS; q += SPECTRA_THREADS) {
        long long row = start[0] + q / PATCH, column = start[1] + q % PATCH;
        count += isfinite(predicted[row * columns + column]);
    }
    counted[threadIdx.x] = count;
    for (int half = SPECTRA_THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) counted[threadIdx.x] += counted[threadIdx.x + half];
    }
    __syncthreads();
    if (threadIdx.x == 0) counts[blockIdx.x] = counted[0];
    // All threads of the block go or stay.
    if (counted[0] < least_known) return;
    for (int p = threadIdx.x; p < 2 * PATCH_PIXELS; p += SPECTRA_THREADS) {
        int side = p / PATCH_PIXELS, q = p % PATCH_PIXELS;
        long long row = start[0] + q / PATCH, column = start[1] + q % PATCH;
        patch[side][q] = relative[(long long)side * pixels + row * columns + column] * taper[q];
    }
    if (threadIdx.x < PATCH) {
        cosine[threadIdx.x] = waves[threadIdx.x];
        sine[threadIdx.x] = waves[PATCH + threadIdx.x];
    }
    __syncthreads();
    for (int p = threadIdx.x; p < 2 * PATCH_PIXELS; p += SPECTRA_THREADS) {
        int side = p / PATCH_PIXELS, q = p % PATCH_PIXELS, wave = q % PATCH;
        const float *line = patch[side] + q - wave;
        float re = 0.0f, im = 0.0f;
        for (int n = 0; n < PATCH; ++n) {
            int turn = (wave * n) % PATCH;
            re += line[n] * cosine[turn];
            im -= line[n] * sine[turn];
        }
        real[side][q] = re;
        imaginary[side][q] = im;
    }
    __syncthreads();
    float *out = spectra + 3LL * PATCH_PIXELS * blockIdx.x;
    for (int q = threadIdx.x; q < PATCH_PIXELS; q += SPECTRA_THREADS) {
        int wave = q / PATCH, column = q % PATCH;
        float re[2] = {0.0f, 0.0f}, im[2] = {0.0f, 0.0f};
        for (int n = 0; n < PATCH; ++n) {
            int turn = (wave * n) % PATCH;
            for (int side = 0; side < 2; ++side) {
                float x = real[side][n * PATCH + column], y = imaginary[side][n * PATCH + column];
                re[side] += x * cosine[turn] + y * sine[turn];
                im[side] += y * cosine[turn] - x * sine[turn];
            }
        }
        out[q] = re[0] * re[0] + im[0] * im[0];
        out[PATCH_PIXELS + q] = re[1] * re[1] + im[1] * im[1];
        out[2 * PATCH_PIXELS + q] = re[0] * re[1] + im[0] * im[1];
    }
}

// mean: (3, PATCH_PIXELS), of the spectra of all patches that count, one after the other, and last
// the number of these. One thread a frequency.
extern "C" __global__ void align_mean_spectra(const float *spectra, const int *counts, int patches,
                                              int least_known, float *mean) {
    int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= 3 * PATCH_PIXELS) return;
    float sum = 0.0f;
    int known = 0;
    for (int k = 0; k < patches; ++k) {
        if (counts[k] < least_known) continue;
        sum += spectra[3LL * PATCH_PIXELS * k + p];
        ++known;
    }
    mean[p] = sum / max(known, 1);
    if (p == 0) mean[3 * PATCH_PIXELS] = known;
}
