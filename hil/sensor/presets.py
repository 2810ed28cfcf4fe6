"""Which sensor is simulated: every constant of a preset in one frozen value.

- `ideal`: the geometry the decoder was measured on; no scattering under skin, no distortion, no sun. Decoder only.
- `structured-light`: a 940 nm module, OV9282 class.
- `d4xx`: an 850 nm stereo camera that has dots only, with our flood board; depth is a correlated stereo noise model.
- `held-out`: another maker's 940 nm module, for evaluation. **Training and tuning never see it.**

A constant with no source beside it is a guess within the range of its class: part of what simulation cannot claim.
To vary one (protocol, randomisation) use `msgspec.structs.replace`.
"""

from types import MappingProxyType
from typing import Literal

import msgspec

from drivers.camera import Intrinsics

# Sun on a level square metre within +-20 nm of 940 nm; 850 nm has no water vapour above it and gets 3.2 times as much.
SUN_940_W_M2 = 16.5
SUN_850_W_M2 = 3.2 * SUN_940_W_M2


class Projector(msgspec.Struct, frozen=True):
    """The dot projector, `baseline_mm` to the right of the lens.

    Attributes:
        count: dots within the camera's image of the reference plane.
        power_uw: light of one dot, microwatts (33 uW: 34 ke- on skin at 0.5 m in 1 ms at f/2).
        sigma_px: a dot's own size in camera pixels; the lens blur adds to it in quadrature.
        speckle: contrast of laser speckle within a dot, 0..1.
        missing: share of dots that never light.
    """

    count: int
    power_uw: float = 33.0
    sigma_px: float = 0.6
    speckle: float = 0.15
    missing: float = 0.0


class Lens(msgspec.Struct, frozen=True):
    """The lens, and how well it is calibrated.

    Attributes:
        f_number: aperture.
        transmission: of lens and band filter together.
        psf_px: Gaussian sigma of the blur, pixels.
        distortion: k1, k2, p1, p2 as OpenCV has them.
        misaligned_px: error of the rectification, columns and rows: a module that was knocked or is warm.
    """

    f_number: float = 2.0
    transmission: float = 0.94
    psf_px: float = 0.7
    distortion: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    misaligned_px: tuple[float, float] = (0.0, 0.0)


class Pixel(msgspec.Struct, frozen=True):
    """The image sensor.

    Attributes:
        pitch_um: side of a pixel.
        quantum_efficiency: electrons per photon at the preset's wavelength.
        full_well_e: electrons at which a pixel saturates; at gain 1 also the largest number read out.
        read_noise_e: per read, sigma.
        prnu: fixed pattern, relative sensitivity of each pixel, sigma.
        dsnu_e: fixed pattern, offset of each pixel, sigma.
        hot: share of pixels stuck at full.
        bits: of the number read out, at most 8; fewer are spread over 0..255.
    """

    pitch_um: float = 3.0
    quantum_efficiency: float = 0.3
    full_well_e: float = 8000.0
    read_noise_e: float = 4.0
    prnu: float = 0.01
    dsnu_e: float = 2.0
    hot: float = 1e-5
    bits: int = 8


class Ambient(msgspec.Struct, frozen=True):
    """Light that is not ours.

    Attributes:
        sun: 0 indoors, 1 full sun on the face.
        sun_w_m2: full sun within the filter's band, on a square metre facing it.
        towards_sun: camera axes (y down), any length: where it stands.
        direct: share of sunlight that comes straight from it; the rest comes from everywhere.
        indoor_w_m2: lamps within the band, from everywhere.
        flicker: depth of the lamps' 100 Hz modulation, 0..1.
    """

    sun: float = 0.0
    sun_w_m2: float = SUN_940_W_M2
    towards_sun: tuple[float, float, float] = (0.5, -0.7, -0.5)
    direct: float = 0.8
    indoor_w_m2: float = 0.1
    flicker: float = 0.3


class Preset(msgspec.Struct, frozen=True):
    """One simulated sensor.

    Attributes:
        name: key of `PRESETS`.
        wavelength_nm: of flood and dots.
        intrinsics: of the rectified image.
        baseline_mm: lens to projector (`decode`) or to the second lens (`stereo`).
        reference_mm: distance of the plane the reference pattern was taken at.
        flood_w: optical power of the flood over a 76 degree cone; 0 where there is none.
        projector: the dots.
        lens: the optics.
        pixel: the image sensor.
        ambient: light that is not ours.
        exposure_us: shortest and longest exposure of the flood and the dark; the control loop picks within.
        dot_exposure_us: exposure that `expose_dots` integrates over; the control loop scales it.
        gain: smallest and largest.
        exposure_gap_us: from one exposure's middle to the next.
        scattering: whether light spreads under surfaces; off only in `ideal`.
        depth: `decode` decodes the rendered dots with the real decoder, `stereo` is the noise model.
        max_mm: where depth ends.
    """

    name: str
    wavelength_nm: int
    intrinsics: Intrinsics
    baseline_mm: float = 50.0
    reference_mm: float = 500.0
    flood_w: float = 2.0
    projector: Projector = Projector(count=30_000)
    lens: Lens = Lens()
    pixel: Pixel = Pixel()
    ambient: Ambient = Ambient()
    exposure_us: tuple[int, int] = (100, 3000)
    dot_exposure_us: int = 600
    gain: tuple[float, float] = (1.0, 2.0)
    exposure_gap_us: int = 8333  # 120 exposures a second, as an OV9282 runs
    scattering: bool = True
    depth: Literal["decode", "stereo"] = "decode"
    max_mm: float = 1300.0


def _image(width: int, focal_px: float) -> Intrinsics:
    height = {1280: 800, 640: 480}[width]
    middle = ((width - 1) / 2, (height - 1) / 2)
    return Intrinsics(width=width, height=height, fx=focal_px, fy=focal_px, cx=middle[0], cy=middle[1])


def _projector(
    width: int, at_1280: int, watts: float, sigma_px: float = 0.6, speckle: float = 0.15, missing: float = 0.0
) -> Projector:
    """The smaller image gets as many pixels per dot as the larger, so fewer dots, which share the same laser power."""
    count = at_1280 if width == 1280 else round(at_1280 * 640 * 480 / (1280 * 800))
    return Projector(count, watts * 1e6 / count, sigma_px, speckle, missing)


def _ideal(width: int) -> Preset:
    return Preset(
        name="ideal",
        wavelength_nm=940,
        intrinsics=_image(width, 900.0 if width == 1280 else 600.0),
        projector=_projector(width, 30_000, watts=1.0, speckle=0.0),
        pixel=Pixel(full_well_e=9000.0, prnu=0.0, dsnu_e=0.0, hot=0.0),
        ambient=Ambient(flicker=0.0),
        scattering=False,
    )


def _structured_light(width: int) -> Preset:
    return Preset(
        name="structured-light",
        wavelength_nm=940,
        intrinsics=_image(width, 783.0 if width == 1280 else 600.0),
        projector=_projector(width, 30_000, watts=1.0),
        lens=Lens(distortion=(-0.08, 0.02, 0.0005, -0.0005)),
    )


def _d4xx(width: int) -> Preset:
    return Preset(
        name="d4xx",
        wavelength_nm=850,
        intrinsics=_image(width, 650.0 if width == 1280 else 390.0),  # a real D435 at 640 x 480 says 390.4
        baseline_mm=50.2,  # the same one
        # the same sensor in both sizes: the smaller image is a crop, with most of the dots
        projector=Projector(count=5_000 if width == 1280 else 4_200, power_uw=60.0, sigma_px=0.9),
        lens=Lens(psf_px=0.8, distortion=(-0.05, 0.06, 0.0, 0.0)),
        # 640 x 480 is the whole sensor scaled down: each of its pixels sums 2.8 of the sensor's
        pixel=Pixel(quantum_efficiency=0.45)
        if width == 1280
        else Pixel(quantum_efficiency=0.45, pitch_um=5.0, full_well_e=20_000.0, read_noise_e=6.7),
        ambient=Ambient(sun_w_m2=SUN_850_W_M2),
        depth="stereo",
        max_mm=3000.0,
    )


def _held_out(width: int) -> Preset:
    return Preset(
        name="held-out",
        wavelength_nm=940,
        intrinsics=_image(width, 700.0 if width == 1280 else 540.0),
        baseline_mm=42.0,
        flood_w=1.4,
        projector=_projector(width, 22_000, watts=0.6, sigma_px=0.75, speckle=0.25, missing=0.02),
        lens=Lens(f_number=2.2, psf_px=0.95, distortion=(-0.15, 0.05, 0.001, 0.0008), misaligned_px=(0.15, 0.15)),
        pixel=Pixel(quantum_efficiency=0.24, full_well_e=6500.0, read_noise_e=6.0, prnu=0.015, dsnu_e=4.0, hot=5e-5),
        ambient=Ambient(indoor_w_m2=0.3),
    )


_MAKERS = MappingProxyType(
    {"ideal": _ideal, "structured-light": _structured_light, "d4xx": _d4xx, "held-out": _held_out}
)
PRESETS = tuple(_MAKERS)
HELD_OUT = "held-out"


class PresetError(ValueError):
    """There is no such preset or width."""


def preset(name: str, width: int = 640) -> Preset:
    """The sensor `name` at 1280 x 800 or 640 x 480. Raises PresetError."""
    if name not in _MAKERS or width not in (640, 1280):
        raise PresetError(
            f"no sensor preset {name!r} {width} pixels wide: there are {', '.join(PRESETS)} at 640 and 1280"
        )
    return _MAKERS[name](width)
