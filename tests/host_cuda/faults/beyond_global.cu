// The last thread reads one value past the end.
extern "C" __global__ void beyond_global(const float *values, float *result) {
    result[threadIdx.x] = values[threadIdx.x + 1];
}
