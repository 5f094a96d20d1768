"""The stacks' templates, synthesised once for all processes of a test session: jsii alone takes half a minute."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cdk import packages
from lab.errors import UserError
from support.servers import unavailable

ROOT = Path(__file__).resolve().parents[2]
CHOSEN = {"email": "a@example.com", "monthlyBudget": "500"}
SECRET, MODEL, PROFILE = "mine/llm-key", "anthropic.claude-test-v1:0", "eu.amazon.nova-test-v1:0"
ALL = {"llmSecret": SECRET, "bedrockModel": f"{MODEL},{PROFILE}", "bakedAmi": "true"}


def synthesise(out: Path, chosen: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """As the command line runs it, with the settings as it gives them."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(out.parent), "CDK_OUTDIR": str(out),
                   "CDK_CONTEXT_JSON": json.dumps(chosen)}
    return subprocess.run([sys.executable, "-m", "cdk"], cwd=ROOT, env=environment, text=True, capture_output=True,
                          check=False)


def need_cdk() -> None:
    if importlib.util.find_spec("aws_cdk") is None:
        unavailable("the CDK is not installed", "run requirements/sync cdk")
    if shutil.which("node") is None:
        unavailable("the CDK needs Node", "apt-get install nodejs")
    need_layer()


def need_layer() -> Path:
    """The folder of the functions' packages."""
    try:
        return packages.layer()
    except UserError as error:
        unavailable(*str(error).split("; "))


def made(factory: pytest.TempPathFactory, name: str, chosen: dict[str, str]) -> Path:
    """The folder of the synthesised app, validation included."""
    need_cdk()
    base = factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    out = shared / f"{name}.out"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.exists():
            ended = synthesise(shared / f"{name}.making", chosen)
            assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-3000:]
            (shared / f"{name}.making").rename(out)
    return out


def read(assembly: Path) -> dict[str, Any]:
    """The templates by their stacks' names without the prefix."""
    return {path.name.split(".")[0].removeprefix("aether-"): json.loads(path.read_text())
            for path in assembly.glob("*.template.json")}


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory, "cdk", CHOSEN)


@pytest.fixture(scope="session")
def templates(assembly: Path) -> dict[str, Any]:
    return read(assembly)


@pytest.fixture(scope="session")
def assembly_of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory, "all", CHOSEN | ALL)


@pytest.fixture(scope="session")
def templates_of_all(assembly_of_all: Path) -> dict[str, Any]:
    """With all that a deploy may ask for beside what it needs."""
    return read(assembly_of_all)
