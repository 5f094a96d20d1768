"""The real command line deploys the lab on the emulator, IAM enforced; a laboratory lives there, and all is taken away
again (rehearsal.py). What a destroy leaves is taken in by the next deploy (adoption.py)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.cloud import NODE_MODULES, ROOT, own_network
from support.servers import unavailable
from support.templates import need_cdk
from tests.cdk.rehearsal import NO_BOX

pytestmark = pytest.mark.ci


@pytest.fixture
def away(tmp_path: Path) -> Path:
    """A folder for a run in a network of its own."""
    need_cdk()
    if not (ROOT / "node_modules" / ".bin" / "cdk").exists() or not (NODE_MODULES / "@aws-sdk" / "client-ec2").exists():
        unavailable("the CDK command line is not installed", "run npm ci here and tests/support/aws/install")
    if shutil.which("unshare") is None or subprocess.run([*own_network(), "true"], check=False).returncode:
        unavailable("no network of one's own can be had", "allow user namespaces, or run as root")
    return tmp_path


def ran(module: str, folder: Path, *arguments: str) -> str:
    """What it said. Fails with that where it fails."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    ended = subprocess.run([*own_network(), sys.executable, "-m", f"tests.cdk.{module}", str(folder), *arguments],
                           cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           check=False)
    print(ended.stdout)
    assert ended.returncode == 0, ended.stdout[-6000:]
    return ended.stdout


@pytest.mark.timeout(1800)  # a bound for a busy machine and no bar; some minutes where nothing else runs
def test_bootstrap_deploy_a_laboratorys_life_diff_and_destroy(away: Path) -> None:
    if NO_BOX in ran("rehearsal", away):
        unavailable("no laboratory lived there, since a sandbox in a network of one's own takes root", "run it as root")


def test_data_that_a_destroy_left_are_taken_in_by_the_next_deploy(away: Path, assembly: Path) -> None:
    ran("adoption", away, str(assembly))
