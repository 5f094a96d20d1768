"""AWS's own DynamoDB Local, the judge of the ledger's conditional writes and transactions.

It listens on all interfaces, since the jar has no option to bind one. It therefore runs in the ci tier alone, where it
holds nothing but made-up rows, in memory, for as long as the session; a person's `make test` never opens it.
"""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.servers import Endpoint, free_port, running, unavailable

EMULATOR = Path(__file__).parent / "aws" / "node_modules" / "amplify-dynamodb-simulator" / "emulator"


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        unavailable("DynamoDB Local needs Java", "apt-get install default-jre-headless")
    if not (EMULATOR / "DynamoDBLocal.jar").exists():
        unavailable("DynamoDB Local is not installed", "run tests/support/aws/install (needs npm)")
    return java


@pytest.fixture(scope="session")
def dynamodb_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("dynamodb-local")
    port = free_port()
    endpoint = Endpoint(f"http://127.0.0.1:{port}")
    library = f"-Djava.library.path={EMULATOR / 'DynamoDBLocal_lib'}"
    command = [_java(), "-Xmx512m", library, "-jar", str(EMULATOR / "DynamoDBLocal.jar"), "-port", str(port)]
    # Every client sees the same tables, whatever key and region it signs with.
    command += ["-inMemory", "-sharedDb", "-disableTelemetry"]
    # It would write its settings to HOME and to the working folder; both are the session's.
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "DDB_LOCAL_TELEMETRY": "0"}
    with running(command, environment, folder, lambda: _speaks_dynamodb(endpoint.url)):
        yield endpoint


def _speaks_dynamodb(url: str) -> bool:
    """It has no health page, but it refuses an unsigned request in its own words."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return False
    except urllib.error.HTTPError as refusal:
        return b"MissingAuthenticationToken" in refusal.read()
