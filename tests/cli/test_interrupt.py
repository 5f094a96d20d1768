"""Ctrl-C at a terminal while ffmpeg works: all of the foreground hears it, and the command ends without a word."""

from __future__ import annotations

import os
import pty
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from support.commands import WAIT_S, line, until
from support.footage import VIDEO, ffmpeg

LOOPS = 2  # a film of 162 frames, so that no machine is done before the key is pressed


class Terminal:
    """A command with a terminal of its own, and all that it printed."""

    def __init__(self, *words: str) -> None:
        self.printed = b""
        self.pid, self._keys = pty.fork()
        if self.pid == 0:
            with suppress(OSError):
                os.execvp(line()[0], line(*words))
            os._exit(127)
        self._child = psutil.Process(self.pid)

    def ffmpeg(self) -> list[psutil.Process]:
        os.set_blocking(self._keys, False)
        with suppress(BlockingIOError):
            self.printed += os.read(self._keys, 1 << 16)
        return [child for child in self._child.children(recursive=True) if "ffmpeg" in child.name()]

    def press(self, key: bytes) -> int:
        """Gives the exit code, once it has ended."""
        os.set_blocking(self._keys, True)
        os.write(self._keys, key)
        with suppress(OSError):  # its side of the terminal is closed
            while some := os.read(self._keys, 1 << 16):
                self.printed += some
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self) -> None:
        os.close(self._keys)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    ffmpeg("-stream_loop", str(LOOPS), "-i", str(VIDEO / "drive_1080p30.mp4"), "-c", "copy", str(path))
    return str(path)


@pytest.mark.parametrize("words", [
    ("encode", "FILM", "film.aec", "--crf", "50"),
    ("bench", "FILM", "--encoder", "x265_medium"),
    ("compare", "FILM", "FILM"),
], ids=lambda words: words[0])
def test_ctrl_c_ends_it_without_a_word_or_a_trace(words: tuple[str, ...], film: str, tmp_path: Path,
                                                  tmp_path_factory: pytest.TempPathFactory,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))  # a machine lock that nobody else holds
    monkeypatch.setenv("AETHER_BACKEND", "local:lab")
    terminal = Terminal("codec", *(film if word == "FILM" else word for word in words))
    try:
        until(terminal.ffmpeg, "ffmpeg at work")
        time.sleep(0.5)  # until frames are on their way through it
        working = terminal.ffmpeg()
        assert working
        assert terminal.press(b"\x03") == 130
    finally:
        terminal.close()
    for word in (b"error", b"Traceback", b"KeyboardInterrupt", b"ignored"):
        assert word not in terminal.printed, terminal.printed.decode()
    assert not psutil.wait_procs(working, timeout=WAIT_S)[1]
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and "matplotlib" not in file.parts]
