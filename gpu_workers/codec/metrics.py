"""Every number of a codec experiment, defined once: name, unit, direction, definition, source.

Names carry their units. A number that could not be had is null with its reason, never zero. This table is plain data,
so that the orchestrator, the report and the page can read it without numpy, torch or ffmpeg.
"""

from __future__ import annotations

from typing import Literal

from lab.track import Metric

Better = Literal["lower", "higher", "neither"]


def _metric(name: str, unit: str, better: Better, definition: str, source: str) -> Metric:
    return Metric(name=name, unit=unit, better=better, definition=definition, source=source)


def _derived(name: str, definition: str, source: str) -> Metric:
    return Metric(name=name, unit="%", better="higher", definition=definition, source=source, derived=True)


def _timing(name: str, unit: str, better: Better, definition: str) -> Metric:
    return Metric(name=name, unit=unit, better=better, definition=definition, deterministic=False,
                  source="measured from outside the process, on the device class beside it")


_FRAMES = "paired by index with the original, at its resolution, depth and range"

RATE = (
    _metric("bitrate_mbps", "Mbps", "lower", "all bytes of the container x 8 / duration (frames / frame rate) / 10^6",
            "Aether container .aec"),
    _metric("amortised_mbps", "Mbps", "lower", "bitrate_mbps when the frozen weights travel with an hour of video; "
            "equal to it where there are none", "bitrate_mbps + model_mb x 8 / 3600"),
    _metric("reduction_vs_source_pct", "%", "higher", "how far bitrate_mbps lies below the rate of the clip's own file",
            "1 - bitrate_mbps / source_mbps"),
)
QUALITY = (
    _metric("psnr_y_db", "dB", "higher", f"PSNR of luma, the mean over frames {_FRAMES}",
            "10 log10(peak^2 / MSE); ITU-T J.340"),
    _metric("psnr_y_mse_db", "dB", "higher", "PSNR of luma from the mean squared error over all frames",
            "ffmpeg vf_psnr's average"),
    _metric("psnr_u_db", "dB", "higher", "PSNR of the first chroma plane, mean over frames", "as psnr_y_db"),
    _metric("psnr_v_db", "dB", "higher", "PSNR of the second chroma plane, mean over frames", "as psnr_y_db"),
    _metric("psnr_yuv611_db", "dB", "higher", "(6 Y + U + V) / 8 of the three PSNRs; 1.0-1.5 dB above psnr_y_db",
            "JCT-VC common test conditions"),
    _metric("ssim", "", "higher", "structural similarity of luma, 8x8 windows on a 4-pixel grid, mean over frames",
            "Wang et al. 2004, as ffmpeg vf_ssim computes it"),
    _metric("ms_ssim", "", "higher", "multi-scale structural similarity of luma, mean over frames",
            "Wang et al. 2003; libvmaf float_ms_ssim"),
    _metric("vmaf", "", "higher", "VMAF, the mean over frames", "libvmaf, model vmaf_v0.6.1"),
    _metric("vmaf_neg", "", "higher", "VMAF without the gain that enhancement buys", "libvmaf, model vmaf_v0.6.1neg"),
    _metric("lpips", "", "lower", "learned perceptual distance, mean over frames", "Zhang et al. 2018"),
)
DERIVED = (
    _derived("reduction_vs_hevc10_pct", "how far bitrate_mbps lies below x265 medium in two passes at 10 Mbps on the "
             "same clip; no claim of equal quality", "1 - bitrate_mbps / that anchor's"),
    _derived("saving_x265_pct", "rate saved against x265 medium at equal psnr_y_db", "log-rate interpolation between "
             "the anchor's points; null outside of them"),
    _derived("saving_svtav1_pct", "rate saved against SVT-AV1 preset 6 at equal psnr_y_db", "log-rate interpolation "
             "between the anchor's points; null outside of them"),
)
COST = (
    _timing("encode_fps", "frames/s", "higher", "frames over wall-clock seconds of the encoding agent, machine alone"),
    _timing("encode_cpu_s", "s", "lower", "processor time of encoding the clip, all processes"),
    _timing("decode_fps", "frames/s", "higher", "from delivery of the stream to a ready decoder to its last byte, "
            "median of warm runs, machine alone"),
    _timing("decode_ms", "ms", "lower", "the same, milliseconds a frame"),
    _timing("decode_spread_pct", "%", "lower", "(slowest - fastest) / median of the timed runs"),
    _timing("decode_cpu_s", "s", "lower", "processor time of decoding the clip, median of the timed runs"),
    _timing("decode_peak_mb", "MiB", "lower", "most resident memory of the decoder, its libraries included"),
    _metric("decoder_kmac_px", "kMAC/pixel", "lower", "multiply-accumulates of the decoding network, a pixel",
            "torch.utils.flop_counter"),
    _metric("decoder_teraops_frame", "TOPS/frame", "lower", "2 x MAC / 10^12 of one frame of the clip's size",
            "torch.utils.flop_counter"),
    _metric("model_mb", "MB", "lower", "weights and foreign source that decoding needs beside the stream, 10^6 bytes",
            "size of the files"),
)
WHY = (
    _metric("worst_frame", "index", "neither", "the frame of least psnr_y_db", "per-frame psnr_y_db"),
    _metric("worst_psnr_y_db", "dB", "higher", "psnr_y_db of that frame", "per-frame psnr_y_db"),
    _metric("key_bytes_pct", "%", "neither", "share of the container's bytes in key frames", "the container's chunks"),
    _metric("overhead_bytes_frame", "B", "lower", "container bytes that are no coded data, a frame",
            "the container's chunks"),
)
METRICS = (*RATE, *QUALITY, *DERIVED, *COST, *WHY)
