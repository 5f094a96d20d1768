"""The packages of the functions, for their own machine (Python 3.12 on Arm), brought by uv without docker.

`python -m cdk.packages` puts the locked, hashed set into `build/lambda`, a layer of its own, so that a change of our
code uploads none of it. boto3 comes with the runtime. Beside them lie the project's entry points, by which the
functions find the tracks.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from lab.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "lambda.txt"
FOLDER = ROOT / "build" / "lambda"
STAMP = FOLDER.with_suffix(".sum")  # beside the folder, since all that is in the folder is uploaded
PYTHON, PLATFORM = "3.12", "aarch64-manylinux2014"


def layer() -> Path:
    """The folder of the layer. Raises UserError where it is not there, or was made from another lock."""
    if not STAMP.exists() or STAMP.read_text() != _sum():
        raise UserError("the packages of the functions are not here as they are locked; run `make cloud`")
    return FOLDER


def build() -> None:
    """Brings the layer to what is locked; returns at once where it is."""
    if STAMP.exists() and STAMP.read_text() == _sum():
        return
    STAMP.unlink(missing_ok=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    uv = subprocess.run([ROOT / "requirements" / "sync", "uv"], check=True, stdout=subprocess.PIPE, text=True)
    packages = FOLDER / "python"  # where a runtime looks for a layer's
    subprocess.run([uv.stdout.strip(), "pip", "install", "--quiet", "--target", packages, "--python-version", PYTHON,
                    "--python-platform", PLATFORM, "--only-binary", ":all:", "--no-deps", "--require-hashes",
                    "-r", LOCK], check=True, cwd=ROOT)
    (packages / ".lock").unlink(missing_ok=True)
    told = packages / f"{_project()['name'].replace('-', '_')}-{_project()['version']}.dist-info"
    told.mkdir()
    for name, text in _told().items():
        (told / name).write_text(text)
    STAMP.write_text(_sum())


def _told() -> dict[str, str]:
    """What an installed project says of itself, as far as a function asks."""
    project = _project()
    lines = [line for group, points in project["entry-points"].items()
             for line in (f"[{group}]", *(f"{name} = {where}" for name, where in points.items()))]
    return {"METADATA": f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n",
            "entry_points.txt": "\n".join(lines) + "\n"}


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def _sum() -> str:
    told = [LOCK.read_text(), PYTHON, PLATFORM, *_told().values()]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


if __name__ == "__main__":
    try:
        build()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
