"""Loopback servers that speak AWS's protocols, started for a test session and stopped by their process id.

A server whose tools are missing skips its tests with the reason and the fix, and fails them where `CI=true`, so that
a machine meant to check everything never passes by leaving something out.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

START_LIMIT_S = 120.0  # a virtual machine for Java on a busy machine took 25
STOP_LIMIT_S = 30.0
_started = set[int]()  # by `running`, in this process


@dataclass(frozen=True)
class Endpoint:
    """Where a server answers. `settings` are the keyword arguments of a boto3 client or resource."""

    url: str
    region: str = "us-east-1"
    access_key: str = "test"
    secret_key: str = "test"

    @property
    def settings(self) -> dict[str, str]:
        return {
            "endpoint_url": self.url,
            "region_name": self.region,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
        }


def unavailable(reason: str, fix: str) -> NoReturn:
    """Skips, or fails where everything is expected to be there."""
    message = f"{reason}; {fix}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children(recursive: bool = False) -> list[psutil.Process]:
    """Of this process, without the servers that a session's tests share."""
    found = [one for one in psutil.Process().children() if one.pid not in _started]
    for one in found.copy() if recursive else ():
        with contextlib.suppress(psutil.NoSuchProcess):
            found += one.children(recursive=True)
    return found


@contextlib.contextmanager
def running(
    command: list[str], environment: Mapping[str, str], folder: Path, answers: Callable[[], bool]
) -> Iterator[None]:
    """The server, from its first answer until the block ends. Its output is `server.log` in the folder."""
    log = folder / "server.log"
    with log.open("ab") as output:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=folder
        )
    _started.add(server.pid)
    try:
        _await_answer(server, answers, log)
        yield
    finally:
        _stop(server)
        _started.discard(server.pid)


def _await_answer(server: subprocess.Popen[bytes], answers: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError):
            if answers():
                return
        time.sleep(0.1)
    raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
