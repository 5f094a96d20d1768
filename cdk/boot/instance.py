"""What an instance says to AWS: it fetches its code, sends its logs, and is given back once it failed or idled.

It travels whole in the user data and runs beside nothing but boto3.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3

LOGS = Path("/var/log/aether")
FAILURES = Path("/run/aether-failures")
TRIES = 5  # of a service that crashes, before the instance goes
METADATA = "http://169.254.169.254/latest/"
AT_ONCE = 500_000  # bytes of logs in one turn
PAUSE_S = 5.0


def own_id() -> str:
    token = _asked("PUT", "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    return _asked("GET", "meta-data/instance-id", {"X-aws-ec2-metadata-token": token})


def _asked(method: str, path: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(METADATA + path, None, headers, method=method)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return str(answer.read().decode())


def fetch(bucket: str, key: str, path: str) -> None:
    boto3.client("s3").download_file(bucket, key, path)


def follow() -> None:
    client, me, sent = boto3.client("logs"), own_id(), dict[Path, int]()
    while True:
        try:
            send_logs(client, LOGS, me, sent)
        except Exception as error:  # also a network that is gone for an hour; what was not sent is sent then
            print(error, flush=True)
        time.sleep(PAUSE_S)


def send_logs(client: Any, folder: Path, me: str, sent: dict[Path, int]) -> None:
    """The whole lines that came to each file since the last turn, into a stream of its own. `sent` counts bytes."""
    for path in sorted(folder.glob("*.log")):
        where = {"logGroupName": os.environ["AETHER_LOG_GROUP"], "logStreamName": f"{me}/{path.stem}"}
        if path not in sent:
            with contextlib.suppress(client.exceptions.ResourceAlreadyExistsException):
                client.create_log_stream(**where)
            sent[path] = 0
        with path.open("rb") as file:
            file.seek(sent[path])
            data = file.read(AT_ONCE)
        whole = data if len(data) == AT_ONCE else data[:data.rfind(b"\n") + 1]
        now = int(time.time() * 1000)
        lines = [line[:50_000] for line in whole.decode(errors="replace").splitlines() if line.strip()]
        for first in range(0, len(lines), 1000):
            events = [{"timestamp": now, "message": line} for line in lines[first:first + 1000]]
            client.put_log_events(**where, logEvents=events)
        sent[path] += len(whole)


def failed(what: str, me: str = "", folder: Path = LOGS) -> None:
    """The topic hears the last lines of each log; then the instance goes."""
    me = me or own_id()
    ends = [f"{path.name}:\n" + "\n".join(path.read_text(errors="replace").splitlines()[-40:])
            for path in sorted(folder.glob("*.log"))]
    boto3.client("sns").publish(TopicArn=os.environ["AETHER_TOPIC"], Subject=f"Aether: {what} failed on {me}"[:99],
                                Message="\n\n".join(["The instance is given back. Its last lines:", *ends])[:200_000])
    give_back(me)


def give_back(me: str) -> None:
    """A worker's place goes with it. The orchestrator's group has one place, and fills it again."""
    if os.environ["AETHER_ROLE"] != "orchestrator":
        boto3.client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=me, ShouldDecrementDesiredCapacity=True)


def ended() -> None:
    """After each end of the service. A worker that left by itself found no work; one that crashed may try again."""
    told = subprocess.run(["systemctl", "is-system-running"], capture_output=True, text=True, check=False).stdout
    if told.strip() == "stopping" or os.environ["AETHER_ROLE"] == "orchestrator":
        return
    if os.environ.get("SERVICE_RESULT") == "success":
        give_back(own_id())
        return
    with FAILURES.open("a") as file:
        file.write("x")
    tell_crash()
    if FAILURES.stat().st_size >= TRIES:
        failed(f"the worker {os.environ['AETHER_ROLE']}")


def tell_crash(folder: Path = LOGS) -> None:
    """A line that CloudWatch makes a metric of, as `lab.aws.telemetry` has them."""
    metric = {"Namespace": "Aether", "Dimensions": [["Lab"]], "Metrics": [{"Name": "WorkerCrash", "Unit": "Count"}]}
    told = {"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metric]},
            "Lab": os.environ["AETHER_LAB"], "WorkerCrash": 1.0}
    with (folder / "crashes.log").open("a") as file:
        print(json.dumps(told), file=file)


if __name__ == "__main__":
    {"fetch": fetch, "logs": follow, "failed": failed, "ended": ended}[sys.argv[1]](*sys.argv[2:])  # type: ignore[operator]
