"""How bright the true ground looks: Hapke's bidirectional reflectance, and its albedo.

Hapke (2012), Theory of Reflectance and Emittance Spectroscopy, 2nd ed.: isotropic multiple
scattering (Eq. 8.56), shadow-hiding opposition effect (Eq. 9.22), macroscopic roughness
(ch. 12). Parameters in the form and range of Sato et al. (2014), LROC WAC at 643 nm: roughness
23.4 degrees, filling factor 1 and no coherent backscatter there; particles' phase function a
double Henyey-Greenstein one whose c follows from b (Hapke 2012, "hockey stick").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from trn.simulate.noise import lattice_noise

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Hapke:
    """Parameters of Hapke's model.

    single_scattering_albedo: of the brightest ground (highlands); the albedo field scales it.
    b: width of the phase function's lobes. opposition_amplitude, opposition_width: B_S0 and h_S.
    roughness_deg: mean slope angle of the roughness that no pixel resolves.
    """

    single_scattering_albedo: float = 0.42
    b: float = 0.25
    opposition_amplitude: float = 1.8
    opposition_width: float = 0.07
    roughness_deg: float = 23.4

    def packed(self) -> Array:
        """Parameters in the order that the kernels read them, with c worked out from b."""
        c = 3.29 * math.exp(-17.4 * self.b**2) - 0.908
        tan_bar = math.tan(math.radians(self.roughness_deg))
        return np.array(
            [
                self.single_scattering_albedo,
                self.b,
                c,
                self.opposition_amplitude,
                self.opposition_width,
                tan_bar,
                1.0 / math.sqrt(1.0 + math.pi * tan_bar**2),
            ]
        )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _chandrasekhar(x: float, albedo: float) -> float:
    """Hapke's approximation of the H function (Hapke 2012, Eq. 8.56)."""
    gamma = math.sqrt(1.0 - albedo)
    r0 = (1.0 - gamma) / (1.0 + gamma)
    return 1.0 / (1.0 - albedo * x * (r0 + 0.5 * (1.0 - 2.0 * r0 * x) * math.log((1.0 + x) / x)))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def radiance_factor(cos_i: float, cos_e: float, cos_g: float, albedo: float, hapke: Any) -> float:
    """I/F of a facet from the cosines of incidence, emission and phase angle; 0 when unlit.

    albedo: single-scattering albedo; hapke: `Hapke.packed()`.
    """
    if cos_i <= 0.0 or cos_e <= 0.0:
        return 0.0
    cos_i, cos_e = min(cos_i, 1.0), min(cos_e, 1.0)
    cos_g = min(max(cos_g, -1.0), 1.0)
    sin_i = math.sqrt(1.0 - cos_i * cos_i)
    sin_e = math.sqrt(1.0 - cos_e * cos_e)
    # Azimuth between the planes of incidence and emission.
    if sin_i * sin_e > 1e-9:
        cos_psi = min(max((cos_g - cos_i * cos_e) / (sin_i * sin_e), -1.0), 1.0)
    else:
        cos_psi = 1.0
    psi = math.acos(cos_psi)
    # Roughness, Hapke (2012) Eqs. 12.45-12.55.
    tan_bar, chi = hapke[5], hapke[6]
    tan_i, tan_e = max(sin_i / cos_i, 1e-6), max(sin_e / cos_e, 1e-6)
    e1_i = math.exp(-2.0 / (math.pi * tan_bar * tan_i))
    e1_e = math.exp(-2.0 / (math.pi * tan_bar * tan_e))
    e2_i = math.exp(-1.0 / (math.pi * tan_bar * tan_bar * tan_i * tan_i))
    e2_e = math.exp(-1.0 / (math.pi * tan_bar * tan_bar * tan_e * tan_e))
    eta_i = chi * (cos_i + sin_i * tan_bar * e2_i / (2.0 - e1_i))
    eta_e = chi * (cos_e + sin_e * tan_bar * e2_e / (2.0 - e1_e))
    half = 0.5 * (1.0 - cos_psi)
    f = math.exp(-2.0 * math.sqrt(half / max(1.0 - half, 1e-13)))
    if sin_i <= sin_e:
        low = 2.0 - e1_e - (psi / math.pi) * e1_i
        mu0 = chi * (cos_i + sin_i * tan_bar * (cos_psi * e2_e + half * e2_i) / low)
        mu = chi * (cos_e + sin_e * tan_bar * (e2_e - half * e2_i) / low)
        shadowing = (mu / eta_e) * (cos_i / eta_i) * chi / (1.0 - f + f * chi * (cos_i / eta_i))
    else:
        low = 2.0 - e1_i - (psi / math.pi) * e1_e
        mu0 = chi * (cos_i + sin_i * tan_bar * (e2_i - half * e2_e) / low)
        mu = chi * (cos_e + sin_e * tan_bar * (cos_psi * e2_i + half * e2_e) / low)
        shadowing = (mu / eta_e) * (cos_i / eta_i) * chi / (1.0 - f + f * chi * (cos_e / eta_e))
    mu0, mu = max(mu0, 1e-6), max(mu, 1e-6)
    b, c = hapke[1], hapke[2]
    ahead, back = 1.0 + 2.0 * b * cos_g + b * b, 1.0 - 2.0 * b * cos_g + b * b
    forward = (1.0 - b * b) / (ahead * math.sqrt(ahead))
    backward = (1.0 - b * b) / (back * math.sqrt(back))
    phase = 0.5 * (1.0 + c) * backward + 0.5 * (1.0 - c) * forward
    tan_half_g = math.sqrt((1.0 - cos_g) / (1.0 + cos_g + 1e-12))
    opposition = hapke[3] / (1.0 + tan_half_g / hapke[4])
    single = phase * (1.0 + opposition)
    multiple = _chandrasekhar(mu0, albedo) * _chandrasekhar(mu, albedo) - 1.0
    return float(0.25 * albedo * mu0 / (mu0 + mu) * (single + multiple) * shadowing)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def albedo_factor(
    x: float,
    y: float,
    z: float,
    highland: float,
    contrast: float,
    texture: float,
    seed: np.uint64,
    gradients: Any,
    cells: Any,
) -> float:
    """What the single-scattering albedo is multiplied with at a body-fixed point (metres).

    Between 1 (highland 1) and 1/contrast (highland 0: mare), times a texture of relative strength
    `texture` at 0.5 to 8 km. gradients (5, 8, 3) and cells (5, 3) are `lattice_noise`'s.
    """
    detail = 0.0
    lattice_m = 8000.0
    share = 0.6814  # makes the variance of five octaves, each 3/4 of the one above, 1
    for k in range(5):
        detail += share * lattice_noise(
            x / lattice_m,
            y / lattice_m,
            z / lattice_m,
            seed + np.uint64(k + 1),
            gradients[k],
            cells[k],
        )
        share *= 0.75
        lattice_m *= 0.5
    detail = min(max(texture * detail, -0.5), 0.5)
    return (1.0 / contrast + (1.0 - 1.0 / contrast) * highland) * (1.0 + detail)
