// Turns 64 values round through shared memory: nothing wrong with it.
extern "C" __global__ void sound(const float *values, float *result) {
    __shared__ float slots[64];
    slots[threadIdx.x] = values[threadIdx.x];
    __syncthreads();
    result[threadIdx.x] = slots[63 - threadIdx.x];
}
