// Rays of a camera's pixels: what ray_cast.cu and render.cu share.
//
// Brown's model as in OpenCV and ROS (plumb_bob), undone by Newton's method. The reference is
// Camera.pixels_to_rays in trn/camera.py.

#define NEWTON_STEPS 30
#define SETTLED 1e-14      // a step below this is the last one
#define LEAST_MISS 1e-10   // what is farther off has no inverse

struct Camera {
    double fx, fy, cx, cy, k1, k2, p1, p2, k3;
    double fold_square; // squared normalised radius up to which the distortion grows
};

// Unit ray of a pixel, camera axes; NaN where the lens sees nothing.
__device__ inline void pixel_ray(const Camera &camera, double column, double row, double *ray_x,
                                 double *ray_y, double *ray_z) {
    double to_x = (column - camera.cx) / camera.fx, to_y = (row - camera.cy) / camera.fy;
    double x = to_x, y = to_y;
    double k1 = camera.k1, k2 = camera.k2, p1 = camera.p1, p2 = camera.p2, k3 = camera.k3;
    if (k1 != 0.0 || k2 != 0.0 || p1 != 0.0 || p2 != 0.0 || k3 != 0.0) {
        double off_x = 0.0, off_y = 0.0, r2 = 0.0;
        for (int step = 0; step <= NEWTON_STEPS; ++step) {
            r2 = x * x + y * y;
            double radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3));
            off_x = to_x - (x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x));
            off_y = to_y - (y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y);
            if (step == NEWTON_STEPS) break;
            double slope = 2.0 * (k1 + r2 * (2.0 * k2 + 3.0 * r2 * k3));
            double a = radial + x * x * slope + 2.0 * p1 * y + 6.0 * p2 * x;
            double b = x * y * slope + 2.0 * p1 * x + 2.0 * p2 * y;
            double d = radial + y * y * slope + 6.0 * p1 * y + 2.0 * p2 * x;
            double determinant = a * d - b * b;
            double step_x = (d * off_x - b * off_y) / determinant;
            double step_y = (a * off_y - b * off_x) / determinant;
            if (!(fabs(step_x) + fabs(step_y) > SETTLED)) break;
            x += step_x;
            y += step_y;
        }
        bool found = sqrt(off_x * off_x + off_y * off_y) < LEAST_MISS && r2 < camera.fold_square;
        if (!found) x = y = nan("");
    }
    double norm = sqrt(x * x + y * y + 1.0);
    *ray_x = x / norm;
    *ray_y = y / norm;
    *ray_z = 1.0 / norm;
}
