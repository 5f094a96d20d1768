"""What the two agents of a candidate import of ours: chunks, frames and what they are told. A stable door.

The box in which they run holds this package, the modules that it leans on, numpy, torch where it is installed, and
nothing of the laboratory, its footage or its records.
"""

from __future__ import annotations

from gpu_workers.codec.contract import Chunk, DecodeInfo, EncodeInfo, Frame, Frames, Kind, TrainInfo, VideoInfo
from gpu_workers.codec.decoder.errors import BadStream
from lab.errors import Diverged

__all__ = ["BadStream", "Chunk", "DecodeInfo", "Diverged", "EncodeInfo", "Frame", "Frames", "Kind", "TrainInfo",
           "VideoInfo"]
