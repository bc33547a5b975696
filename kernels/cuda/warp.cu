// An image as a camera without distortion would have taken it: one thread a pixel of the result.
//
// Brown's model as in OpenCV and ROS (plumb_bob). The reference is trn/backend/cpu_warp.py.

// image: (rows, columns), taken by the camera fx .. k3. fold_square: squared normalised radius up to
// which the distortion grows. target_fx .. target_cy: the camera of the result.
// warped: (target_rows, target_columns), bilinear; NaN where the image does not reach.
extern "C" __global__ void warp(const float *image, int rows, int columns, double fx, double fy,
                                double cx, double cy, double k1, double k2, double p1, double p2,
                                double k3, double fold_square, double target_fx, double target_fy,
                                double target_cx, double target_cy, int target_rows,
                                int target_columns, float *warped) {
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    int row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= target_columns || row >= target_rows) return;
    float *result = warped + (long long)row * target_columns + column;
    *result = nanf("");

    double x = (column - target_cx) / target_fx;
    double y = (row - target_cy) / target_fy;
    double r2 = x * x + y * y;
    if (!(r2 < fold_square)) return;
    double radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3));
    double px = fx * (x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x)) + cx;
    double py = fy * (y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y) + cy;
    if (!(px >= 0.0 && py >= 0.0 && px <= columns - 1 && py <= rows - 1)) return;

    int left = (int)px, upper = (int)py;
    int right = min(left + 1, columns - 1), lower = min(upper + 1, rows - 1);
    double u = px - left, v = py - upper;
    const float *above = image + (long long)upper * columns;
    const float *below = image + (long long)lower * columns;
    double from_above = (1.0 - u) * above[left] + u * above[right];
    double from_below = (1.0 - u) * below[left] + u * below[right];
    *result = (float)((1.0 - v) * from_above + v * from_below);
}
