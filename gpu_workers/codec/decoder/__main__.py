"""`python -m gpu_workers.codec.decoder`: one `.aec` on standard input, planar frames on standard output.

Everything it needs is loaded, and the word `ready` stands on a line of its own on the file descriptor `--ready-fd`
(standard error unless given), before it reads the first byte: so a clock outside times the decoding alone.
Exit code 0 after all the frames; 2 and one line on standard error for a bad stream, with the good frames written.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from pathlib import Path

from gpu_workers.codec.decoder import classic
from gpu_workers.codec.decoder.decode import AGENTS, Decoded
from lab.errors import AetherError


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    models = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in options.model}
    agents = {**AGENTS, **dict(_named(pair) for pair in options.agent)}
    classic.warm()
    os.write(options.ready_fd, b"ready\n")
    try:
        frames = Decoded(sys.stdin.buffer, threads=options.threads, agents=agents, models=models)
        for frame in frames:
            sys.stdout.buffer.write(frame.to_bytes())
        sys.stdout.buffer.flush()
    except AetherError as error:
        sys.stdout.buffer.flush()
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gpu_workers.codec.decoder", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ready-fd", type=int, default=2)
    parser.add_argument("--model", type=Path, action="append", default=[], help="a file of weights; may be repeated")
    parser.add_argument("--agent", action="append", default=[], metavar="FAMILY=FILE",
                        help="the decoding agent of a family from outside; may be repeated")
    return parser


def _named(pair: str) -> tuple[str, Path]:
    family, _, path = pair.partition("=")
    return family, Path(path)


if __name__ == "__main__":
    sys.exit(main())
