"""What an instance says to AWS: it fetches its code, sends its logs, and is given back once it failed or idled,
unless a person keeps it.

It travels whole in the user data. Code and logs go by boto3; what tells of a failure and gives the instance back needs
nothing but Ubuntu's own Python, since a boot may fail before anything could be installed.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

LOGS = Path("/var/log/aether")
SENT = Path("/opt/boot/sent.json")  # of each log how many bytes, so that a restart repeats no line and no metric in it
FAILURES = Path("/run/aether-failures")
TRIES = 5  # of a service that crashes, before the instance goes
ASKED = 5  # times, before a request is given up
KEEP = "aether:keep"  # a tag of the instance, which the metadata service tells: "30 minutes, …"
LOOK_S = 600  # for which one that failed stays, so that a person may keep it
METADATA = "http://169.254.169.254/latest/"
API = {"sns": "2010-03-31", "autoscaling": "2011-01-01"}  # versions
FORM = "application/x-www-form-urlencoded; charset=utf-8"
AT_ONCE = 500_000  # bytes of logs in one turn
PAUSE_S = 5.0


def own_id() -> str:
    return _told("instance-id")


def _told(name: str) -> str:
    """What the metadata service says, which is nothing of what it has no word for."""
    token = _asked("PUT", "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    try:
        return _asked("GET", f"meta-data/{name}", {"X-aws-ec2-metadata-token": token})
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return ""
        raise


def _asked(method: str, path: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(METADATA + path, None, headers, method=method)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return str(answer.read().decode())


class Refused(Exception):
    """What AWS answered in place of doing it."""


def ask(service: str, action: str, **told: str) -> None:
    """One request of a query API; again where nothing or only trouble answered. Raises Refused, OSError."""
    region, form = os.environ["AWS_DEFAULT_REGION"], {"Action": action, "Version": API[service], **told}
    # The variable is the one that boto3 reads too; China's endpoints have another name, and no price here.
    address = os.environ.get("AWS_ENDPOINT_URL") or f"https://{service}.{region}.amazonaws.com"
    body = urllib.parse.urlencode(form).encode()
    for left in reversed(range(ASKED)):
        try:
            at = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
            headers = signed(body, urllib.parse.urlsplit(address).netloc, service, region, own_keys(), at)
            urllib.request.urlopen(urllib.request.Request(f"{address}/", body, headers), timeout=10).close()
            return
        except urllib.error.HTTPError as error:
            said = error.read().decode()
            if not left or (error.code < 500 and "hrottl" not in said):
                raise Refused(said) from error
        except OSError:
            if not left:
                raise
        time.sleep(PAUSE_S)


def own_keys() -> dict[str, str]:
    roles = "iam/security-credentials/"
    keys: dict[str, str] = json.loads(_told(roles + _told(roles)))
    return keys


def signed(body: bytes, host: str, service: str, region: str, keys: dict[str, str], at: str) -> dict[str, str]:
    """The headers of a POST to /, by Signature Version 4. `at` is such as 20261128T120000Z."""
    headers = {"content-type": FORM, "host": host, "x-amz-date": at, "x-amz-security-token": keys["Token"]}  # by name
    names, scope = ";".join(headers), f"{at[:8]}/{region}/{service}/aws4_request"
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    asked = f"POST\n/\n\n{lines}\n{names}\n{sha256(body).hexdigest()}"
    seal = f"AWS4{keys['SecretAccessKey']}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{sha256(asked.encode()).hexdigest()}"):
        seal = hmac.digest(seal, part.encode(), "sha256")
    by = f"Credential={keys['AccessKeyId']}/{scope}, SignedHeaders={names}, Signature={seal.hex()}"
    return {**headers, "authorization": f"AWS4-HMAC-SHA256 {by}"}


def fetch(bucket: str, key: str, path: str) -> None:
    import boto3
    boto3.client("s3").download_file(bucket, key, path)


def follow() -> None:
    import boto3
    client, me, sent = boto3.client("logs"), own_id(), already_sent()
    while True:
        try:
            send_logs(client, LOGS, me, sent)
            remember(sent)
        except Exception as error:  # also a network that is gone for an hour, or a full disk; what was not sent is then
            print(error, flush=True)
        time.sleep(PAUSE_S)


def already_sent(told: Path = SENT) -> dict[Path, int]:
    """Nothing where the file is not whole, after a loss of power."""
    try:
        return {Path(name): size for name, size in json.loads(told.read_text()).items()}
    except (OSError, ValueError):
        return {}


def remember(sent: dict[Path, int], told: Path = SENT) -> None:
    new = told.with_suffix(".new")
    new.write_text(json.dumps({str(path): size for path, size in sent.items()}))
    new.replace(told)


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
    """The topic hears the last lines of each log; then the instance goes, also where nobody could be told."""
    me, worker = me or own_id(), os.environ["AETHER_ROLE"] != "orchestrator"
    ends = [f"{path.name}:\n" + "\n".join(path.read_text(errors="replace").splitlines()[-40:])
            for path in sorted(folder.glob("*.log"))]
    then = (f"The instance is given back in {LOOK_S // 60} minutes. To keep it for a look: aether work keep {me} "
            f"--minutes 30 --backend aws:{os.environ['AETHER_LAB']}\nIts last lines:" if worker else "Its last lines:")
    try:
        ask("sns", "Publish", TopicArn=os.environ["AETHER_TOPIC"], Subject=f"Aether: {what} failed on {me}"[:99],
            Message="\n\n".join([then, *ends])[:200_000])
    finally:
        if worker:
            go(LOOK_S)


def ended() -> None:
    """After each end of the service. A worker that left by itself found no work; one that crashed may try again."""
    told = subprocess.run(["systemctl", "is-system-running"], capture_output=True, text=True, check=False).stdout
    if told.strip() == "stopping" or os.environ["AETHER_ROLE"] == "orchestrator":
        return
    if os.environ.get("SERVICE_RESULT") == "success":
        go(0)
        return
    with FAILURES.open("a") as file:
        file.write("x")
    tell_crash()
    if FAILURES.stat().st_size >= TRIES:
        failed(f"the worker {os.environ['AETHER_ROLE']}")


def go(stay_s: int) -> None:
    """The service ends for good, and a unit of its own gives the instance back, since none may take long to stop."""
    subprocess.run(["systemctl", "stop", "--no-block", f"aether-{os.environ['AETHER_ROLE']}"], check=False)
    subprocess.run(["systemd-run", "--unit=aether-leave", "--property=EnvironmentFile=/opt/boot/environment",
                    "--property=Restart=on-failure", "--property=RestartSec=30", sys.executable, __file__, "leave",
                    str(stay_s)], check=True)


def leave(stay_s: str) -> None:
    """Gives the instance back when its time is over, and that for which a person keeps it. Their minutes count from
    when they are first seen here: no clock is compared with another."""
    until, kept = time.monotonic() + float(stay_s), ""
    while True:
        if (asked := _told(f"tags/instance/{KEEP}")) != kept:
            kept, minutes = asked, re.match(r"\d+", asked)
            until = time.monotonic() + 60 * int(minutes.group()) if minutes else until
        if time.monotonic() >= until:
            break
        time.sleep(PAUSE_S)
    give_back(own_id())


def give_back(me: str) -> None:
    """A worker's place goes with it, unless AWS takes this machine: then its group is to fill it again. Where none is
    wanted any more (the guard, `cdk destroy`) no place is left to go, and none is filled."""
    if _told("autoscaling/target-lifecycle-state") == "Terminated":
        return
    taken = bool(_told("spot/instance-action") or _told("events/recommendations/rebalance"))
    try:
        _leave_group(me, place_too=not taken)
    except Refused as error:
        if taken or "<Code>ValidationError</Code>" not in str(error):
            raise
        _leave_group(me, place_too=False)


def _leave_group(me: str, *, place_too: bool) -> None:
    ask("autoscaling", "TerminateInstanceInAutoScalingGroup", InstanceId=me,
        ShouldDecrementDesiredCapacity=str(place_too).lower())


def tell_crash(folder: Path = LOGS) -> None:
    """A line that CloudWatch makes a metric of, as `lab.aws.telemetry` has them."""
    metric = {"Namespace": "Aether", "Dimensions": [["Lab"]], "Metrics": [{"Name": "WorkerCrash", "Unit": "Count"}]}
    told = {"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metric]},
            "Lab": os.environ["AETHER_LAB"], "WorkerCrash": 1.0}
    with (folder / "crashes.log").open("a") as file:
        print(json.dumps(told), file=file)


if __name__ == "__main__":
    {"fetch": fetch, "logs": follow, "failed": failed, "ended": ended, "leave": leave}[sys.argv[1]](*sys.argv[2:])  # type: ignore[operator]
