"""The search space of the family `classic`, as plain data: no ffmpeg, numpy or torch is needed to read it.

Names are the encoders' own words; the first part says whose option it is. Rates are constant quality (`crf`), a
constant quantiser (`qp`) or an average rate (`mbps`; SVT-AV1 knows it in one pass only). VVenC always codes 10 bit.
"""

from __future__ import annotations

from collections.abc import Mapping

from lab.space import Choice, Dimension, Integer, Real, Value, When


def _rate(encoder: str, modes: tuple[str, ...]) -> Choice:
    return Choice(name=f"{encoder}_rate", values=modes, when=When("encoder", (encoder,)))


def _mbps(encoder: str) -> Real:
    return Real(name=f"{encoder}_mbps", low=0.05, high=10.0, log=True, when=When(f"{encoder}_rate", ("mbps",)))


def _passes(encoder: str) -> Choice:
    return Choice(name=f"{encoder}_passes", values=(1, 2), when=When(f"{encoder}_rate", ("mbps",)))


_X265 = When("encoder", ("x265",))
_SVTAV1 = When("encoder", ("svtav1",))
_VVENC = When("encoder", ("vvenc",))

X265_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower")
VVENC_PRESETS = ("faster", "fast", "medium")  # slower ones take minutes a second of video on two cores

SPACE: tuple[Dimension, ...] = (
    Choice(name="encoder", values=("x265", "svtav1", "vvenc")),
    Choice(name="scale", values=("full", "2/3", "1/2")),  # of both sides; the decoder enlarges
    Choice(name="gop_frames", values=(16, 32, 64, 128, 256)),  # greatest distance of two key frames
    Choice(name="bit_depth", values=(8, 10), when=When("encoder", ("x265", "svtav1"))),  # of the coding
    Choice(name="x265_preset", values=X265_PRESETS, when=_X265),
    _rate("x265", ("crf", "qp", "mbps")),
    Real(name="x265_crf", low=12.0, high=48.0, digits=3, when=When("x265_rate", ("crf",))),
    Integer(name="x265_qp", low=12, high=50, when=When("x265_rate", ("qp",))),
    _mbps("x265"),
    _passes("x265"),
    Choice(name="x265_tune", values=("none", "psnr", "ssim", "grain"), when=_X265),
    Integer(name="x265_aq_mode", low=0, high=4, when=When("x265_tune", ("none",))),
    Real(name="x265_psy_rd", low=0.0, high=4.0, digits=2, when=When("x265_tune", ("none",))),
    Integer(name="x265_bframes", low=0, high=8, when=_X265),
    Integer(name="svtav1_preset", low=2, high=12, when=_SVTAV1),
    _rate("svtav1", ("crf", "mbps")),
    Real(name="svtav1_crf", low=15.0, high=70.0, digits=4, when=When("svtav1_rate", ("crf",))),  # in quarters
    _mbps("svtav1"),
    Choice(name="svtav1_tune", values=(0, 1, 2), when=When("svtav1_rate", ("crf",))),  # visual quality, PSNR, SSIM
    Choice(name="svtav1_vbr_tune", values=(0, 1), when=When("svtav1_rate", ("mbps",))),  # it refuses SSIM at a rate
    Choice(name="svtav1_variance_boost", values=(False, True), when=_SVTAV1),
    Integer(name="svtav1_film_grain", low=0, high=50, when=_SVTAV1),
    Choice(name="vvenc_preset", values=VVENC_PRESETS, when=_VVENC),
    _rate("vvenc", ("qp", "mbps")),
    Integer(name="vvenc_qp", low=16, high=56, when=When("vvenc_rate", ("qp",))),
    _mbps("vvenc"),
    _passes("vvenc"),
    Choice(name="vvenc_qpa", values=(False, True), when=_VVENC),  # perceptual adaptation of the quantiser
)

QUALITY_KNOBS: Mapping[str, tuple[str, str]] = {  # encoder → rate mode and parameter of its constant quality
    "x265": ("crf", "x265_crf"), "svtav1": ("crf", "svtav1_crf"), "vvenc": ("qp", "vvenc_qp"),
}

_PLAIN: dict[str, Value] = {
    "scale": "full", "gop_frames": 256, "bit_depth": 8,
    "x265_preset": "medium", "x265_bframes": 4, "x265_tune": "none", "x265_aq_mode": 2, "x265_psy_rd": 2.0,
    "x265_passes": 2,
    "svtav1_preset": 6, "svtav1_tune": 1, "svtav1_vbr_tune": 1, "svtav1_variance_boost": False, "svtav1_film_grain": 0,
    "vvenc_preset": "faster", "vvenc_qpa": True, "vvenc_passes": 2,
}


def as_people_run(encoder: str, /, **changed: Value) -> dict[str, Value]:
    """A whole point of the space from its encoder's own defaults and what differs: the rate, at the least.

    `as_people_run("svtav1", svtav1_crf=40.0)`, `as_people_run("x265", x265_mbps=10.0, x265_tune="psnr")`.
    """
    given = {**changed, f"{encoder}_rate": _rate_of(encoder, changed)}
    point: dict[str, Value] = {"encoder": encoder}
    for dimension in SPACE[1:]:
        if dimension.when is None or point.get(dimension.when.name) in dimension.when.values:
            value = given.get(dimension.name, _PLAIN.get(dimension.name))
            if value is not None:
                point[dimension.name] = value
    return point


def _rate_of(encoder: str, changed: Mapping[str, Value]) -> Value:
    modes = ("crf", "qp", "mbps")
    return changed.get(f"{encoder}_rate") or next((mode for mode in modes if f"{encoder}_{mode}" in changed), "crf")
