// All threads wait, but at two different barriers.
extern "C" __global__ void two_barriers(const float *values, float *result) {
    __shared__ float slots[64];
    slots[threadIdx.x] = values[threadIdx.x];
    if (threadIdx.x % 2) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    result[threadIdx.x] = slots[63 - threadIdx.x];
}
