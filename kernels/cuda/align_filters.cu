// Filters that weigh each scale of relief by what image and view share of it, from mean spectra.

#define PATCH 32
#define PATCH_PIXELS (PATCH * PATCH)
#define FILTER (PATCH - 1)

// A periodic spectrum averaged over 3 x 3 frequencies, binomial weights.
__device__ float smoothed(const float *spectrum, int row, int column) {
    float sum = 0.0f;
    for (int j = -1; j <= 1; ++j)
        for (int i = -1; i <= 1; ++i) {
            int at = (row + j + PATCH) % PATCH * PATCH + (column + i + PATCH) % PATCH;
            sum += (j ? 0.25f : 0.5f) * (i ? 0.25f : 0.5f) * spectrum[at];
        }
    return sum;
}

// mean: of align_mean_spectra. waves: (2, PATCH), cosine and sine of whole turns over PATCH.
// effective: independent samples of the spectra a patch. none, all: coherence over what chance gives,
// of which none counts, and all. most: coherence. filters: (2, FILTER, FILTER), which whiten the
// image's noise and turn the prediction into its like; the first block makes the first. band: (1),
// share of frequencies that have any coherence; 0 where fewer than least_patches patches count. One
// thread a frequency.
extern "C" __global__ void __launch_bounds__(PATCH_PIXELS)
align_filters(const float *mean, const float *waves, int least_patches, float effective, float none,
              float all, float most, float *filters, float *band) {
    __shared__ float spectra[3 * PATCH_PIXELS], gain[PATCH_PIXELS];
    __shared__ float real[PATCH_PIXELS], imaginary[PATCH_PIXELS], cosine[PATCH], sine[PATCH];
    __shared__ unsigned coherent;
    int q = threadIdx.x, row = q / PATCH, column = q % PATCH;
    for (int which = 0; which < 3; ++which)
        spectra[which * PATCH_PIXELS + q] = mean[which * PATCH_PIXELS + q];
    if (q < PATCH) {
        cosine[q] = waves[q];
        sine[q] = waves[PATCH + q];
    }
    if (q == 0) coherent = 0;
    __syncthreads();
    float seen = smoothed(spectra, row, column);
    float expected = smoothed(spectra + PATCH_PIXELS, row, column);
    float both = fmaxf(smoothed(spectra + 2 * PATCH_PIXELS, row, column), 0.0f);
    float patches = mean[3 * PATCH_PIXELS];
    float chance = 1.0f / fmaxf(4.0f, effective * patches);
    float measured = both * both / fmaxf(seen * expected, 1e-30f);
    float sure = fminf(fmaxf((measured / chance - none) / (all - none), 0.0f), 1.0f);
    float coherence = fminf(fmaxf(sure * (measured - chance), 0.0f), most);
    // The mean is of no wave that a patch holds.
    if (q == 0 || patches < least_patches) coherence = 0.0f;
    float whiten = coherence > 0.0f ? 1.0f / sqrtf(seen * (1.0f - coherence) + 1e-30f) : 0.0f;
    float respond = whiten * sqrtf(coherence * seen / fmaxf(expected, 1e-30f));
    gain[q] = blockIdx.x == 0 ? whiten : respond;
    if (coherence > 0.0f) atomicAdd(&coherent, 1u);
    __syncthreads();
    if (q == 0 && blockIdx.x == 0) band[0] = (float)coherent / PATCH_PIXELS;
    // Back from frequencies to pixels, along rows and then along columns.
    float re = 0.0f, im = 0.0f;
    for (int n = 0; n < PATCH; ++n) {
        int turn = column * n % PATCH;
        re += gain[row * PATCH + n] * cosine[turn];
        im += gain[row * PATCH + n] * sine[turn];
    }
    real[q] = re;
    imaginary[q] = im;
    __syncthreads();
    float sum = 0.0f;
    for (int n = 0; n < PATCH; ++n) {
        int turn = row * n % PATCH;
        sum += real[n * PATCH + column] * cosine[turn] - imaginary[n * PATCH + column] * sine[turn];
    }
    // The middle of the filter is its first pixel here; the odd side leaves out the one opposite.
    int j = (row + PATCH / 2) % PATCH - 1, i = (column + PATCH / 2) % PATCH - 1;
    if (j >= 0 && i >= 0)
        filters[(blockIdx.x * FILTER + j) * FILTER + i] = sum / PATCH_PIXELS;
}
