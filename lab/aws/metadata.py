"""What a machine of AWS is told about itself (IMDSv2): who it is, and whether it is to go soon.

Asked in plain HTTP, with a fresh token each time, so that nothing is kept and a token never runs out. A machine that is
none of AWS's is known by its vendor and asks nobody. `AETHER_IMDS` names another address, for tests.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Literal

import msgspec

from lab.errors import Unavailable

ADDRESS = "http://169.254.169.254"
VENDOR = Path("/sys/devices/virtual/dmi/id/sys_vendor")  # "Amazon EC2" on every machine of the Nitro kind
TIMEOUT_S = 2.0  # the service is on the machine itself and answers in milliseconds
TOKEN_S = 60
FIRST_PAUSE_S = 0.2  # before the second try; each pause is twice the one before
SILENT = (OSError, HTTPException)

Kind = Literal["interruption", "rebalance", "leaving"]


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are. A `spot` one may be taken away."""

    id: str  # i-0abc…
    type: str  # g5.xlarge
    zone: str  # us-east-1a
    region: str
    spot: bool


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """That the machine is to go, at best two minutes before. `interruption`: AWS takes it; `leaving`: its group ends
    it, and waits for the hook; `rebalance`: it is likelier than others to be taken soon.
    """

    kind: Kind
    at: str = ""  # as AWS tells it: when it goes, or since when it is in danger; for people


def instance(wait_s: float = 0.0) -> Instance | None:
    """None on a machine that is none of AWS's, or that may not ask. Raises Unavailable where the service has not told
    it after so long (it is asked at least once)."""
    if address() is None:
        return None
    end, pause_s = time.monotonic() + wait_s, FIRST_PAUSE_S
    while True:
        try:
            return _instance()
        except SILENT as error:
            if time.monotonic() + pause_s > end:
                raise Unavailable(f"the metadata service of this machine does not say which one it is ({error}); in a "
                                  f"container it may need a hop limit of 2") from error
        time.sleep(pause_s)
        pause_s *= 2


def _instance() -> Instance:
    token = _token()
    id, type, zone, region, cycle = (_told(token, name) for name in (
        "instance-id", "instance-type", "placement/availability-zone", "placement/region", "instance-life-cycle"))
    if not (id and type and zone and region):
        raise OSError("it knows neither its id nor its type, or not where it is")
    return Instance(id=id, type=type, zone=zone, region=region, spot=cycle == "spot")


def notice() -> Notice | None:
    """The gravest there is. None also where the service does not answer this time: a notice is best effort at AWS."""
    if address() is None:
        return None
    try:
        token = _token()
        if action := _told(token, "spot/instance-action"):  # {"action": "terminate", "time": "…"}
            return Notice(kind="interruption", at=_field(action, "time"))
        if _told(token, "autoscaling/target-lifecycle-state") == "Terminated":
            return Notice(kind="leaving")
        if advice := _told(token, "events/recommendations/rebalance"):  # {"noticeTime": "…"}
            return Notice(kind="rebalance", at=_field(advice, "noticeTime"))
    except SILENT:
        return None
    return None


def address() -> str | None:
    """Where the service is; None where there is none."""
    if named := os.environ.get("AETHER_IMDS"):
        return named.rstrip("/")
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":  # as for AWS's own libraries
        return None
    try:
        return ADDRESS if VENDOR.read_text().strip() == "Amazon EC2" else None
    except OSError:
        return None


def _token() -> str:
    return _asked("PUT", "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_S)})


def _told(token: str, name: str) -> str | None:
    """None for what is not there: most names are absent until there is something to tell."""
    try:
        return _asked("GET", f"meta-data/{name}", {"X-aws-ec2-metadata-token": token})
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def _asked(method: str, path: str, headers: dict[str, str]) -> str:
    """By no proxy: the address is this machine's own."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"{address()}/latest/{path}", None, headers, method=method)
    with opener.open(request, timeout=TIMEOUT_S) as answer:
        return str(answer.read().decode().strip())


def _field(document: str, name: str) -> str:
    try:
        return str(json.loads(document)[name])
    except (ValueError, KeyError, TypeError):
        return ""
