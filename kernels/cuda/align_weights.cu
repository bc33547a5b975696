// Normal equations of blocks of pixels, weighed by the noise around each. One block of threads.

#define WEIGHTS_THREADS 1024
#define BINS 256
#define SUMS 7
#define EQUATIONS 5

// The upper bits of a value, below it others that have the same ones, and how many have them.
struct Place {
    unsigned bits, rank, sharing;
};

// The next `width` bits, from `shift` on, of the value that a place leads to, among values that are
// finite and not negative. All threads call it.
__device__ Place next_bits(const float *values, int count, Place place, int shift, int width) {
    __shared__ unsigned bins[BINS];
    __shared__ Place found;
    unsigned t = threadIdx.x, mask = (1u << width) - 1u;
    if (t < BINS) bins[t] = 0;
    __syncthreads();
    for (int k = t; k < count; k += WEIGHTS_THREADS) {
        unsigned bits = __float_as_uint(values[k]);
        bool alike = bits >> (shift + width) == place.bits >> (shift + width);
        if (isfinite(values[k]) && alike) atomicAdd(&bins[bits >> shift & mask], 1u);
    }
    __syncthreads();
    if (t < BINS) {
        unsigned smaller = 0;
        for (unsigned bin = 0; bin < t; ++bin) smaller += bins[bin];
        if (place.rank >= smaller && place.rank < smaller + bins[t])
            found = {place.bits | t << shift, place.rank - smaller, bins[t]};
    }
    __syncthreads();
    return found;
}

// The median of what is finite of values, of which none is negative; NaN where nothing is. All
// threads call it.
__device__ float median_of(const float *values, int count) {
    __shared__ unsigned finite, least_above;
    if (threadIdx.x == 0) finite = least_above = 0;
    __syncthreads();
    unsigned counted = 0;
    for (int k = threadIdx.x; k < count; k += WEIGHTS_THREADS) counted += isfinite(values[k]);
    atomicAdd(&finite, counted);
    __syncthreads();
    if (finite == 0) return nanf("");
    Place place = {0, (finite - 1) / 2, 0};
    for (int shift = 23; shift > 0; shift -= 8) place = next_bits(values, count, place, shift, 8);
    place = next_bits(values, count, place, 0, 7);
    float lower = __uint_as_float(place.bits);
    if (finite % 2 == 1 || place.rank + 1 < place.sharing) return lower;
    // Of an even number the one after is the other middle: the lowest has the highest complement.
    for (int k = threadIdx.x; k < count; k += WEIGHTS_THREADS)
        if (isfinite(values[k]) && values[k] > lower)
            atomicMax(&least_above, ~__float_as_uint(values[k]));
    __syncthreads();
    return 0.5f * (lower + __uint_as_float(~least_above));
}

// sums: (SUMS, blocks), of align_equations. noise: (blocks), of align_noise. band: (1), of
// align_filters. least_noise: share of the noises' median, what a calm place is trusted at most.
// weighed: (blocks, EQUATIONS), information (xx, xy, yy) and pull (x, y), NaN where a block does not
// count; and last the band.
extern "C" __global__ void __launch_bounds__(WEIGHTS_THREADS)
align_weights(const float *sums, const float *noise, int blocks, const float *band,
              float least_noise, float *weighed) {
    float floor = least_noise * median_of(noise, blocks);
    for (int k = threadIdx.x; k < blocks; k += WEIGHTS_THREADS) {
        // Noise of unit density over the band has the band's share as variance.
        float scale = band[0] / (noise[k] + floor);
        for (int i = 0; i < EQUATIONS; ++i) {
            float sum = sums[(long long)(SUMS - EQUATIONS + i) * blocks + k];
            // Slopes times residuals pull the other way.
            weighed[(long long)EQUATIONS * k + i] = i < 3 ? scale * sum : -scale * sum;
        }
    }
    if (threadIdx.x == 0) weighed[(long long)EQUATIONS * blocks] = band[0];
}
