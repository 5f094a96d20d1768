"""ministack, one process that answers for DynamoDB, SQS, S3 and SNS on the loopback interface.

Plain HTTP and no signature checks: the ledger asks what a table does, not who may ask. (IAM and the CDK need TLS and
AUTH, since the bootstrap bucket refuses unencrypted requests.) It lost no update under races of eight processes, but it
never answers TransactionConflict, so that path is tested with a stubbed client.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.servers import Endpoint, free_port, running, unavailable


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    if importlib.util.find_spec("ministack") is None:
        unavailable("the AWS emulator is not installed", "run make test once, which sets it up")
    with serving(tmp_path_factory.mktemp("emulator")) as endpoint:
        yield endpoint


@contextmanager
def serving(folder: Path, program: str = "ministack") -> Iterator[Endpoint]:
    """An emulator of its own, with its state in this folder. `program` is the module that runs it."""
    port = free_port()
    endpoint = Endpoint(f"http://127.0.0.1:{port}")
    command = [sys.executable, "-m", program]
    with running(command, _environment(folder, port), folder, lambda: _healthy(endpoint.url)):
        yield endpoint


def _environment(folder: Path, port: int) -> dict[str, str]:
    """Nothing inherited but the path: a person's AWS_* or certificate variables must not reach the server."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": "us-east-1",
        "SERVICES": "autoscaling,cloudformation,dynamodb,s3,sns,sqs,sts",
        "STATE_DIR": str(folder / "state"),
        "S3_DATA_DIR": str(folder / "s3"),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }


def _healthy(url: str) -> bool:
    with urllib.request.urlopen(f"{url}/_ministack/health", timeout=2) as answer:
        return bool(answer.status == 200)
