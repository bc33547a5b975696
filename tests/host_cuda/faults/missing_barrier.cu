// Reads what another thread writes with no barrier between.
extern "C" __global__ void missing_barrier(const float *values, float *result) {
    __shared__ float slots[64];
    __syncthreads();
    slots[threadIdx.x] = values[threadIdx.x];
    result[threadIdx.x] = slots[63 - threadIdx.x];
}
