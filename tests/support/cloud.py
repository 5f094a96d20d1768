"""A network of one's own with AWS's emulator in it, IAM enforced, and the CDK command line beside it.

TLS, since the bootstrap bucket refuses anything else; port 443 too, since CDK's Node providers answer there. Both are
only to be had where nobody else is, and in here no other host can be reached at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import ssl
import struct
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from support.account import prove_harmless
from support.servers import Endpoint, free_port, running

ROOT = Path(__file__).resolve().parents[2]
NODE_MODULES = Path(__file__).parent / "aws" / "node_modules"
LIMIT_S = 240.0  # of one cdk command; an emulator's custom resource that is never answered hangs
REGION = "us-east-1"


def own_network() -> list[str]:
    """Prefix of a command that is to run in a network of its own, as root in it. Root itself needs no other names of
    users for that; whoever does can make no box of the sandbox there."""
    return ["unshare", *(() if os.geteuid() == 0 else ("--map-root-user",)), "--net", "--"]


def raise_loopback() -> None:
    """`ip link set lo up`, with nothing installed. Refused where the network is not one's own."""
    assert {name for _, name in socket.if_nameindex()} == {"lo"}, "this network is shared with others"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        fcntl.ioctl(asked, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS, UP and RUNNING


@contextlib.contextmanager
def emulator(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of clients that reach it; it is proved first that they reach nothing else."""
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    authority = folder / "ministack-tls" / "server.crt"
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder), "PYTHONPATH": str(ROOT / "tests"),
        "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_ACCOUNT_ID": "000000000000", "MINISTACK_REGION": REGION, "AUTH": "true", "USE_SSL": "1",
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "LAMBDA_EXECUTOR": "local",
        "STATE_DIR": str(folder / "state"), "S3_DATA_DIR": str(folder / "s3"), "NODE_PATH": str(NODE_MODULES),
        "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0", "PYTHONDONTWRITEBYTECODE": "1"}

    def answers() -> bool:
        trust = ssl.create_default_context(cafile=authority)
        with urllib.request.urlopen(f"{url}/_ministack/health", timeout=2, context=trust) as answer:
            return bool(answer.status == 200)

    with running([sys.executable, "-m", "support.shims"], environment, folder, answers):
        reach = {"AWS_ENDPOINT_URL": url, "AWS_ENDPOINT_URL_S3": url,
                 "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
                 "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_CA_BUNDLE": str(authority),
                 "NODE_EXTRA_CA_CERTS": str(authority), "AWS_EC2_METADATA_DISABLED": "true",
                 "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        os.environ.update(reach)
        prove_harmless(Endpoint(url, region=REGION))
        yield reach


def cdk(*arguments: str, folder: Path, reach: Mapping[str, str], cwd: Path = ROOT) -> str:
    """Runs the command line; gives what it said. Raises with that where it fails."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "CI": "1", "CDK_DISABLE_VERSION_CHECK": "1",
                   "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
                   "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1", **reach}
    done = subprocess.run([str(ROOT / "node_modules" / ".bin" / "cdk"), "--ci", *arguments], cwd=cwd, env=environment,
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise AssertionError(f"cdk {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout[-6000:]}")
    return done.stdout
