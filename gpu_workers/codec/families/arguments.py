"""From a point of the `classic` space to the words that ffmpeg understands. Pure: values in, arguments out.

Threads change how long a coding takes, not what comes out. Texts that an encoder writes about itself into the
stream are switched off: they are no picture, and their rate would count.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gpu_workers.codec.decoder.classic import Codec
from lab.space import Value

CODECS: Mapping[str, Codec] = {"x265": "hevc", "svtav1": "av1", "vvenc": "vvc"}


def passes(params: Mapping[str, Value]) -> int:
    """How often the encoder must see the frames."""
    return int(params.get(f"{params['encoder']}_passes", 1))


def encoder_arguments(params: Mapping[str, Value], threads: int, number: int, statistics: Path) -> list[str]:
    """ffmpeg's output options for pass `number` (1 or 2; where there is one pass it is 1)."""
    build = {"x265": _x265, "svtav1": _svtav1, "vvenc": _vvenc}[str(params["encoder"])]
    return build(params, threads, number, statistics)


def _x265(params: Mapping[str, Value], threads: int, number: int, statistics: Path) -> list[str]:
    own: dict[str, Value] = {"log-level": "error", "info": 0, "pools": threads, "frame-threads": 1,
                             "keyint": params["gop_frames"], "bframes": params["x265_bframes"]}
    if params["x265_tune"] == "none":
        own |= {"aq-mode": params["x265_aq_mode"], "psy-rd": params["x265_psy_rd"]}
    if params["x265_preset"] == "ultrafast":  # it looks 5 frames ahead, and refuses more B-frames than that
        own["rc-lookahead"] = max(5, int(params["x265_bframes"]) + 1)
    if passes(params) == 2:
        own |= {"pass": number, "stats": _escaped(statistics)}
    tune = [] if params["x265_tune"] == "none" else ["-tune", str(params["x265_tune"])]
    rate = {"crf": "-crf", "qp": "-qp", "mbps": "-b:v"}[str(params["x265_rate"])]
    return ["-c:v", "libx265", "-preset", str(params["x265_preset"]), *tune, rate, _rate_value(params),
            "-x265-params", _joined(own)]


def _svtav1(params: Mapping[str, Value], threads: int, number: int, statistics: Path) -> list[str]:
    own: dict[str, Value] = {"lp": threads, "keyint": params["gop_frames"],
                             "tune": params["svtav1_tune" if params["svtav1_rate"] == "crf" else "svtav1_vbr_tune"],
                             "enable-variance-boost": int(params["svtav1_variance_boost"]),
                             "film-grain": params["svtav1_film_grain"]}
    rate = []
    if params["svtav1_rate"] == "crf":
        own["crf"] = round(float(params["svtav1_crf"]) * 4) / 4  # its own steps; ffmpeg's -crf ends at 63
    else:
        rate = ["-b:v", _rate_value(params)]
    return ["-c:v", "libsvtav1", "-preset", str(params["svtav1_preset"]), *rate, "-svtav1-params", _joined(own)]


def _vvenc(params: Mapping[str, Value], threads: int, number: int, statistics: Path) -> list[str]:
    own: dict[str, Value] = {"accessunitdelimiter": 0, "intraperiod": params["gop_frames"]}
    rate = ["-qp" if params["vvenc_rate"] == "qp" else "-b:v", _rate_value(params)]
    if passes(params) == 2:
        rate += ["-pass", str(number), "-passlogfile", str(statistics)]
    return ["-c:v", "libvvenc", "-preset", str(params["vvenc_preset"]), "-threads", str(threads),
            "-qpa", str(int(params["vvenc_qpa"])), *rate, "-vvenc-params", _joined(own), "-tag:v", "vvc1"]


def _rate_value(params: Mapping[str, Value]) -> str:
    encoder = params["encoder"]
    mode = params[f"{encoder}_rate"]
    value = params[f"{encoder}_{mode}"]
    return str(round(float(value) * 1_000_000)) if mode == "mbps" else str(value)


def _joined(options: Mapping[str, Value]) -> str:
    return ":".join(f"{name}={value}" for name, value in options.items())


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace(":", "\\:")
