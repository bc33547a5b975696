"""The sources of the CUDA kernels, each as one text that a compiler takes without any header."""

from __future__ import annotations

import re

from trn.resources import resource_path

KERNELS = {
    "add_octaves": "relief",
    "albedo": "albedo",
    "align_equations": "align",
    "align_filtered": "align_filtered",
    "align_filters": "align_filters",
    "align_mean_spectra": "align_spectra",
    "align_noise": "align",
    "align_products": "align",
    "align_relative": "align",
    "align_respond": "align",
    "align_response": "align",
    "align_spectra": "align_spectra",
    "align_weights": "align_weights",
    "average_images": "average",
    "contrast_over": "contrast",
    "contrast_rest": "contrast",
    "contrast_rows": "contrast",
    "contrast_smooth": "contrast",
    "contrast_squares": "contrast",
    "correlate": "correlate",
    "crater_brightness": "crater",
    "crater_halve": "crater",
    "crater_peaks": "crater",
    "crater_response": "crater",
    "cut_heights": "cut",
    "draw_craters": "dig",
    "fill_map": "relief",
    "ground_maxima": "ground",
    "ground_maxima_above": "ground",
    "image_information": "images",
    "image_resemblance": "images",
    "image_shrink": "images",
    "image_sums": "statistics",
    "known_means": "known",
    "known_rows": "known",
    "list_craters": "dig",
    "maxima_of_level": "maxima",
    "maxima_of_nodes": "maxima",
    "ray_cast": "ray_cast",
    "ray_cast_view": "ray_cast",
    "refine": "relief",
    "relief_nodes": "relief",
    "render_light": "render",
    "render_rays": "render",
    "render_shadow": "render",
    "render_trace": "render",
    "shade": "shade",
    "shadow": "shadow",
    "slope_sums": "statistics",
    "stamp_craters": "dig",
    "view_sure": "view",
    "warp": "warp",
}
"""The file of kernels/cuda/ that each kernel is in."""

COMPILE_OPTIONS = ("--std=c++17", "-ftz=true")
"""CuPy flushes denormals whether asked or not; so does every other compiler of these sources."""


def kernel_source(file: str) -> str:
    """The source of one file with what it includes of kernels/cuda/ put in its place.

    A compiler's disk cache then sees all of the text that the machine code comes from. Raises
    InputError for a file that is not there.
    """
    text = resource_path("kernels", f"cuda/{file}.cu").read_text(encoding="utf-8")

    def included(match: re.Match[str]) -> str:
        return resource_path("kernels", f"cuda/{match.group(1)}").read_text(encoding="utf-8")

    return re.sub(r'^#include "([\w.]+)"$', included, text, flags=re.MULTILINE)
