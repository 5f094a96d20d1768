"""The door of `aether`: loads the table of commands, and takes a Ctrl-C also while that lasts."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from cli.main import INTERRUPTED, run_command
    except KeyboardInterrupt:
        sys.exit(130)  # INTERRUPTED, which was not there to be loaded
    try:
        sys.exit(run_command(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
