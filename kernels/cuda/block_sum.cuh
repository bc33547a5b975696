// Sums over all threads of a block, whose number is a power of two, always in the same order. Each
// thread brings COUNT numbers; thread 0 then has the sums in shared[0 to COUNT - 1][0].

template <int COUNT, int BLOCK_THREADS, typename Number>
__device__ void sum_over_block(const Number *mine, Number (*shared)[BLOCK_THREADS]) {
    int t = threadIdx.x;
    for (int i = 0; i < COUNT; ++i) shared[i][t] = mine[i];
    for (int half = BLOCK_THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (t < half)
            for (int i = 0; i < COUNT; ++i) shared[i][t] += shared[i][t + half];
    }
}
