"""An image is built and an instance starts from it, by the very lines of both scripts, in a folder in place of a
machine: real venvs, the real locked set, the code from the emulator's store. Systemd and AppArmor are not there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cdk.boot import component, unpacked, user_data
from support.account import Account
from support.cloud import ROOT

pytestmark = pytest.mark.ci
SETTINGS = {"REGION": "us-east-1", "SET": "core", "CODE_BUCKET": "tbake", "CODE_KEY": "code.zip"}
NOWHERE = {"PIP_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_NO_CACHE": "1"}  # no index, and nothing kept of one
STEPS = re.compile(r"^(?:again packages|own_python|printf .*\$HELPER.*|confine|code|requirements|.* -m compileall .*)$",
                   re.MULTILINE)
PATHS = r"(?<![\w.$}])/(?=opt/|etc/apparmor|proc/sys|root\b)"
STUBS = {"apt-get": "exit 1", "dpkg": "exit 0", "apparmor_parser": "exit 0", "sleep": "exit 0"}


class Machine:
    def __init__(self, folder: Path, account: Account) -> None:
        self.folder, self.account = folder, account
        for name, text in STUBS.items():
            (folder / "bin").mkdir(exist_ok=True)
            (folder / "bin" / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{folder}/asked\n{text}\n')
            (folder / "bin" / name).chmod(0o755)
        (folder / "bin" / "gunzip").write_text(
            f"#!{sys.executable}\nimport gzip, re, sys\n"
            f"print(re.sub({PATHS!r}, '{folder}/', gzip.decompress(sys.stdin.buffer.read()).decode()), end='')\n")
        (folder / "bin" / "gunzip").chmod(0o755)
        for where in ("etc/apparmor.d", "proc/sys/kernel"):
            (folder / where).mkdir(parents=True)
        (folder / "proc/sys/kernel/apparmor_restrict_unprivileged_userns").write_text("1")

    def run(self, script: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Its paths lead into the folder, also those of what it unpacks. Packages come from where they come for the
        tests."""
        (self.folder / "script").write_text(re.sub(PATHS, f"{self.folder}/", script))
        own = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_", "SSL_"))}
        return subprocess.run(["bash", str(self.folder / "script")], text=True, capture_output=True, check=False, env={
            **own, "PATH": f"{self.folder}/bin:{os.environ['PATH']}", **self.account.environment(), **more})

    def bakes(self) -> subprocess.CompletedProcess[str]:
        [line] = [one for one in component(SETTINGS).splitlines() if one.startswith("            - ")]
        return self.run(json.loads(line.removeprefix("            - ")), UV_CACHE_DIR=_cache())

    def boots(self, **more: str) -> subprocess.CompletedProcess[str]:
        """The steps of a boot that have to do with what is installed, in its order."""
        settings, _, _ = user_data(SETTINGS).partition("\nbase64")
        functions, _, boot = unpacked("boot.sh").partition("# An instance's first minutes")
        steps = STEPS.findall(boot)
        assert len(steps) == 7
        return self.run("\n".join([settings, functions, *steps]), **more)

    def sends(self, code: Path) -> None:
        archive = shutil.make_archive(str(self.folder / "sent"), "zip", code)
        self.account.client("s3").upload_file(archive, SETTINGS["CODE_BUCKET"], SETTINGS["CODE_KEY"])


def _cache() -> str:
    uv = subprocess.run([ROOT / "requirements" / "sync", "uv"], check=True, capture_output=True, text=True).stdout
    return subprocess.run([uv.strip(), "cache", "dir"], check=True, capture_output=True, text=True).stdout.strip()


def stands(folder: Path) -> dict[str, Any]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*.dist-info")}


def test_a_boot_from_an_image_needs_no_index_and_a_stale_image_is_brought_up(
        account: Account, assembly_of_all: Path, tmp_path: Path) -> None:
    account.client("s3").create_bucket(Bucket=SETTINGS["CODE_BUCKET"])
    [code] = [path for path in assembly_of_all.glob("asset.*") if (path / "pyproject.toml").exists()]
    machine, aether = Machine(tmp_path, account), tmp_path / "opt" / "aether"
    machine.sends(code)
    baked = machine.bakes()
    assert baked.returncode == 0, baked.stdout[-3000:] + baked.stderr[-3000:]
    assert [path.name for path in aether.iterdir()] == [".venv"], "each boot brings its own code"
    assert (tmp_path / "etc/apparmor.d/aether-bwrap").exists()
    assert list((aether / ".venv").rglob("msgspec/__pycache__/*.pyc")), "who runs them may not write there"
    before, boto = stands(aether), stands(tmp_path / "opt" / "boot")

    booted = machine.boots(**NOWHERE)
    assert booted.returncode == 0, booted.stdout[-3000:] + booted.stderr[-3000:]
    assert (stands(aether), stands(tmp_path / "opt" / "boot")) == (before, boto)
    assert list((aether / "lab" / "__pycache__").glob("experiment.*.pyc"))
    said = subprocess.run([aether / ".venv" / "bin" / "aether", "--help"], capture_output=True, text=True)
    assert "experiments" in said.stdout, said.stderr
    assert not [one for one in (tmp_path / "asked").read_text().splitlines() if one.startswith("apt-get")]

    newer = tmp_path / "newer"
    shutil.copytree(code, newer)
    [more] = re.findall(r"^iniconfig==(?:.*\\\n)+.*\n", (code / "requirements" / "dev.txt").read_text(), re.MULTILINE)
    with (newer / "requirements" / "core.txt").open("a") as lock:
        lock.write(more)
    machine.sends(newer)
    stale = machine.boots(**NOWHERE)
    assert stale.returncode != 0
    assert "try 9 of " in stale.stdout, "what is locked anew needs the index"
    brought = machine.boots(UV_CACHE_DIR=_cache())
    assert brought.returncode == 0, brought.stdout[-3000:] + brought.stderr[-3000:]
    assert {Path(name).name.partition("-")[0] for name in stands(aether).keys() - before.keys()} == {"iniconfig"}
