"""What the codec track needs of a machine is looked at, and what is missing comes with its fix."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gpu_workers.codec.health import health
from lab.track import Health


def found(name: str) -> Health:
    return next(one for one in health() if one.name == name)


def test_this_machine_has_ffmpeg_with_every_encoder_and_pyav_with_every_decoder() -> None:
    assert [one.fix for one in health() if one.needed] == ["", ""]
    assert "libvvenc" in found("ffmpeg").found


@pytest.mark.parametrize(("script", "told"), [("exit 1", "does not run"), ("echo ffmpeg version 4", "lacks libx265")])
def test_an_ffmpeg_that_cannot_serve_is_told_with_the_fix(script: str, told: str, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "ffmpeg"
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(binary))
    assert told in found("ffmpeg").found
    assert "make setup" in found("ffmpeg").fix
