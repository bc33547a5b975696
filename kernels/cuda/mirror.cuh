// Pixels beyond the border of an image, as OpenCV has them.

// Mirrored about the end pixels (BORDER_REFLECT_101).
__device__ int mirrored_about(int at, int count) {
    if (count == 1) return 0;
    while (at < 0 || at >= count) at = at < 0 ? -at : 2 * (count - 1) - at;
    return at;
}

// Mirrored about the border itself (BORDER_REFLECT): the end pixels are repeated.
__device__ int mirrored_over(int at, int count) {
    while (at < 0 || at >= count) at = at < 0 ? -1 - at : 2 * count - 1 - at;
    return at;
}
