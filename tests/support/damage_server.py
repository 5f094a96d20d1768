"""Decodes streams that come on standard input, each in a fork of this process, which has loaded everything already.

A line of JSON says how many bytes follow and which models there are; a line of JSON answers how the decoding ended. The
fork may take a gibibyte more address space than this process has, a minute of processor time and two of the clock.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import select
import signal
import sys
from importlib import import_module
from pathlib import Path

from gpu_workers.codec.decoder import classic
from gpu_workers.codec.decoder.decode import AGENTS, Decoded
from lab.errors import AetherError

MORE_BYTES = 1 << 30
CPU_S = 60
PATIENCE_S = 120
LIBRARIES = ("torch", "constriction", "safetensors.torch", "safetensors.numpy")


def main() -> None:
    for name in (*LIBRARIES, *map(str, AGENTS.values())):
        import_module(name)
    classic.warm()
    for line in sys.stdin.buffer:
        order = json.loads(line)
        ending = in_a_fork(sys.stdin.buffer.read(order["bytes"]), [Path(path) for path in order["models"]])
        print(json.dumps(ending), flush=True)


def in_a_fork(data: bytes, models: list[Path]) -> dict[str, object]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        limit()
        os.write(writing, json.dumps(decode(data, models)).encode())
        os._exit(0)
    os.close(writing)
    in_time, _, _ = select.select([reading], [], [], PATIENCE_S)
    if not in_time:
        os.kill(child, signal.SIGKILL)
    told = os.read(reading, 1 << 16) if in_time else b""
    os.close(reading)
    _, status, usage = os.wait4(child, 0)
    ended = "" if in_time and status == 0 else f"time after {PATIENCE_S} s" if not in_time else f"status {status:#x}"
    return {**(json.loads(told) if told else {}), "ended": ended, "peak_mb": usage.ru_maxrss / 1024}


def limit() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def decode(data: bytes, models: list[Path]) -> dict[str, object]:
    found: dict[str, object] = {"frames": 0}
    try:
        by_hash = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in models}
        decoding = Decoded(io.BytesIO(data), models=by_hash)
        found["announced"] = decoding.info.frames
        for count, frame in enumerate(decoding, 1):
            right = tuple(plane.shape for plane in frame.planes) == decoding.info.plane_shapes
            found |= {"frames": count, "wrong_shape": bool(found.get("wrong_shape")) or not right}
    except AetherError as error:
        found["error"] = str(error)
    except BaseException as error:  # whatever it is, it is none that a person should see
        found["crash"] = f"{type(error).__name__}: {error}"
    return found


if __name__ == "__main__":
    main()
