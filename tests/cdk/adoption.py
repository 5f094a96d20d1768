"""What a destroy leaves is taken in by another deploy with the README's command, run by test_deploy.py in a network of
its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import boto3

from lab.aws.names import Names
from lab.aws.table import connect
from support.account import EMULATED
from support.cloud import REGION, cdk, emulator, raise_loopback

NAMES = Names("aether", EMULATED, REGION)  # as the templates of the test session
STACK = f"{NAMES.prefix}-data"
KEPT = {"pk": {"S": "kept"}, "sk": {"S": "kept"}}


def main(folder: Path, assembly: str) -> None:
    raise_loopback()
    home = folder / "home"
    home.mkdir()
    with emulator(folder) as reach:
        def run(command: str, *arguments: str) -> str:
            return cdk(command, STACK, "--app", assembly, *arguments, folder=home, reach=reach)

        cdk("bootstrap", f"aws://{EMULATED}/{REGION}", folder=home, reach=reach, cwd=folder)
        run("deploy", "--require-approval", "never")
        connect().put_item(TableName=NAMES.table, Item=KEPT)
        boto3.client("s3").put_object(Bucket=NAMES.bucket, Key="pointers/kept", Body=b"kept")
        told = run("destroy", "--force").splitlines()
        assert {line.split()[-1] for line in told if "DELETE_SKIPPED" in line} == {"Ledger", "Store"}, told
        kept = subprocess.run([sys.executable, "-m", "cdk.kept", NAMES.prefix], stdout=subprocess.PIPE, text=True,
                              check=True).stdout
        run("import", "--resource-mapping-inline", kept)
        run("deploy", "--require-approval", "never")
        assert "differences: 0" in run("diff", "--fail")
        assert connect().get_item(TableName=NAMES.table, Key=KEPT)["Item"] == KEPT
        assert boto3.client("s3").get_object(Bucket=NAMES.bucket, Key="pointers/kept")["Body"].read() == b"kept"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
