// Adds to shared memory that nobody has set; the second block finds what the first one left.
extern "C" __global__ void unset_shared(const float *values, float *result) {
    __shared__ float slots[64];
    slots[threadIdx.x] += values[threadIdx.x];
    __syncthreads();
    result[threadIdx.x] = slots[63 - threadIdx.x];
}
