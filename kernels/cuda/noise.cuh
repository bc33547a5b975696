// Gradient noise in body-fixed space: what albedo.cu and relief.cu share.
//
// The reference is lattice_noise in trn/simulate/noise.py, whose gradients are hashed from the lattice
// point and a seed; here each sample hashes them anew.

#define TO_UNIT_VARIANCE 5.235

// A well-mixed word from a key: the finaliser of SplitMix64.
__device__ inline unsigned long long mixed(unsigned long long key) {
    key = (key ^ (key >> 30)) * 0xBF58476D1CE4E5B9ull;
    key = (key ^ (key >> 27)) * 0x94D049BB133111EBull;
    return key ^ (key >> 31);
}

// One component, from -1 to 1, of the gradient that a word says.
__device__ inline double gradient(unsigned long long word, int axis) {
    return (double)((word >> (21 * axis)) & 0x1FFFFFull) * (2.0 / 2097151.0) - 1.0;
}

__device__ inline double quintic(double f) {
    return f * f * f * (f * (f * 6.0 - 15.0) + 10.0);
}

// One sample at (x, y, z) in lattice units, mean 0 and variance 1.
__device__ inline double lattice_noise(double x, double y, double z, unsigned long long seed) {
    double floor_x = floor(x), floor_y = floor(y), floor_z = floor(z);
    long long ix = (long long)floor_x, iy = (long long)floor_y, iz = (long long)floor_z;
    double fx = x - floor_x, fy = y - floor_y, fz = z - floor_z;
    double wx = quintic(fx), wy = quintic(fy), wz = quintic(fz);
    double value = 0.0;
#pragma unroll 2
    for (int corner = 0; corner < 8; ++corner) {
        int cx = corner & 1, cy = (corner >> 1) & 1, cz = corner >> 2;
        unsigned long long key = (unsigned long long)(ix + cx) * 0x8DA6B34385EBCA77ull ^
                                 (unsigned long long)(iy + cy) * 0xD8163841C2B2AE3Dull ^
                                 (unsigned long long)(iz + cz) * 0xCB1AB31F27D4EB2Full;
        unsigned long long word = mixed(key ^ seed);
        double weight =
            (cx ? wx : 1.0 - wx) * (cy ? wy : 1.0 - wy) * (cz ? wz : 1.0 - wz);
        value += weight * (gradient(word, 0) * (fx - cx) + gradient(word, 1) * (fy - cy) +
                           gradient(word, 2) * (fz - cz));
    }
    return value * TO_UNIT_VARIANCE;
}

// Bilinear value, at a sample of a grid (rows, columns), of nodes that span it corner to corner.
__device__ inline double at_nodes(const float *nodes, int node_rows, int node_columns, int rows,
                                  int columns, int row, int column) {
    double at_row = row * ((node_rows - 1) / (double)max(rows - 1, 1));
    double at_column = column * ((node_columns - 1) / (double)max(columns - 1, 1));
    int r = min((int)at_row, node_rows - 2), c = min((int)at_column, node_columns - 2);
    double fr = at_row - r, fc = at_column - c;
    const float *near = nodes + (long long)r * node_columns + c;
    const float *far = near + node_columns;
    return (1.0 - fr) * ((1.0 - fc) * near[0] + fc * near[1]) +
           fr * ((1.0 - fc) * far[0] + fc * far[1]);
}
