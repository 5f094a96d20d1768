"""The real command line deploys the lab on the emulator, IAM enforced; a laboratory lives there, and all is taken away
again. See rehearsal.py."""

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


@pytest.mark.ci
@pytest.mark.timeout(1800)  # five minutes where nothing else runs
def test_bootstrap_deploy_a_laboratorys_life_diff_and_destroy(tmp_path: Path) -> None:
    need_cdk()
    if not (ROOT / "node_modules" / ".bin" / "cdk").exists() or not (NODE_MODULES / "@aws-sdk" / "client-ec2").exists():
        unavailable("the CDK command line is not installed", "run npm ci here and tests/support/aws/install")
    if shutil.which("unshare") is None or subprocess.run([*own_network(), "true"], check=False).returncode:
        unavailable("no network of one's own can be had", "allow user namespaces, or run as root")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    ended = subprocess.run([*own_network(), sys.executable, "-m", "tests.cdk.rehearsal", str(tmp_path)], cwd=ROOT,
                           env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    print(ended.stdout)
    assert ended.returncode == 0, ended.stdout[-6000:]
    if NO_BOX in ended.stdout:
        unavailable("no laboratory lived there, since a sandbox in a network of one's own takes root", "run it as root")
