// Local contrast: values minus their local mean, over their local deviation, of known pixels only.
//
// Gaussian averages between the steps are average_along's, of a value and of whether it is known at
// once. One thread a pixel. The reference is trn/backend/cpu_contrast.py.

#define LEAST_WEIGHT 1e-6f

// values: (pixels). planes: (2, pixels), values with 0 where they are not finite, and 1 where known.
extern "C" __global__ void contrast_known(const float *values, int pixels, float *planes) {
    int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= pixels) return;
    bool known = isfinite(values[p]);
    planes[p] = known ? values[p] : 0.0f;
    planes[pixels + p] = known ? 1.0f : 0.0f;
}

// averages: (2, pixels), of planes. smooth: (2, pixels), planes of the averages over what is known.
extern "C" __global__ void contrast_smooth(const float *averages, const float *planes, int pixels,
                                           float *smooth) {
    int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= pixels) return;
    float known = planes[pixels + p];
    smooth[p] = known * averages[p] / (averages[pixels + p] + LEAST_WEIGHT);
    smooth[pixels + p] = known;
}

// averages: (2, pixels), of smooth. rest: (2, pixels), smooth less its local mean, and its square.
extern "C" __global__ void contrast_rest(const float *averages, const float *smooth, int pixels,
                                         float *rest) {
    int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= pixels) return;
    float mean = averages[p] / (averages[pixels + p] + LEAST_WEIGHT);
    float left = smooth[pixels + p] * (smooth[p] - mean);
    rest[p] = left;
    rest[pixels + p] = left * left;
}

// squares: (pixels), the local average of the squared rest before it is over `weights`, the second
// of contrast_rest's averages. sums: (2) of smooth: values and known pixels. share: of the mean
// level, added to the deviation. contrast: (pixels), NaN where not known.
extern "C" __global__ void contrast_over(const float *rest, const float *squares,
                                         const float *weights, const float *smooth,
                                         const float *sums, float share, int pixels,
                                         float *contrast) {
    int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= pixels) return;
    float floor = share * fabsf(sums[0] / sums[1]) + 1e-9f;
    float deviation = sqrtf(squares[p] / (weights[p] + LEAST_WEIGHT));
    contrast[p] = smooth[pixels + p] > 0.0f ? rest[p] / (deviation + floor) : nanf("");
}
