// Half of the threads never reach the barrier.
extern "C" __global__ void divergent_barrier(const float *values, float *result) {
    __shared__ float slots[64];
    slots[threadIdx.x] = values[threadIdx.x];
    if (threadIdx.x >= 32) return;
    __syncthreads();
    result[threadIdx.x] = slots[threadIdx.x];
}
