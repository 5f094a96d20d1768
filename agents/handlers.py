"""The doors by which AWS calls the agents: each opens the lab `AETHER_PREFIX`, does one duty, and says what it did.

What cannot be done now is raised, since AWS then calls again; every duty may be done twice.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import structlog
import urllib3

from agents import budget_guard, deployed
from agents import fleet as fleet_agent
from agents.dead_letters import bury
from agents.gather import settings_in_force
from agents.post import deliver_left
from agents.reporter import hourly
from lab.aws.backend import assemble, names_here
from lab.aws.fleets import Fleets, fleets_of
from lab.aws.names import Names
from lab.aws.site import publish
from lab.backend import Backend
from lab.errors import Unavailable
from lab.experiment import JOB_CLASSES

Event = Mapping[str, Any]
ADOPTIONS, ADOPT_S = 5, 6.0  # how often a deploy's settings are tried, and the pause between
ANSWER_BYTES = 3000  # of which CloudFormation takes four thousand, all of an answer together

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:  # there standard output is the function's log
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True),
                    structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout))
log = structlog.get_logger("agents")


def report(_event: Event, _context: object) -> dict[str, Any]:
    """Every hour: the report that no daemon has made, the outbox, and the latest page on the web, which is published
    whether or not the mail goes."""
    names, backend = _lab()
    now = time.time()
    made = hourly(backend, now)
    try:
        gone = deliver_left(backend, now)
    finally:
        latest = backend.ledger.office.latest_page()
        if latest is not None:
            publish(names, backend.store.read(latest.html))
    return _did("report", made=made.key if made else "", delivered=gone, page=latest.key if latest else "")


def guard(event: Event, _context: object) -> dict[str, Any]:
    """Every few minutes, and when AWS Budgets speaks. What is to be closed is closed whether or not the mail goes."""
    names, backend = _lab()
    now, settings, fleets = time.time(), settings_in_force(backend.ledger), _fleets(names)
    told = [str(record.get("Sns", {}).get("Message", "")) for record in event.get("Records", ())]
    bill = any(budget_guard.over_the_bill(one, f"{names.prefix}-monthly") for one in told)
    found = budget_guard.look(backend, fleets, settings, _maxima(), now, bill=bill)
    try:
        gone = deliver_left(backend, now)
    finally:
        if found.closed:
            budget_guard.close(backend, fleets, _maxima(), time.sleep)
    return _did("guard", budget=found.level, closed=found.closed, delivered=gone)


def fleet(event: Event, _context: object) -> dict[str, Any]:
    """A word of EC2 or Auto Scaling about one instance."""
    told = fleet_agent.read(event)
    if told is None:
        return _did("fleet", passed_over=str(event.get("detail-type")))
    names, backend = _lab()
    fleet_agent.heed(backend, _fleets(names), told, time.sleep)
    return _did("fleet", kind=told.kind, instance=told.instance)


def dead_letters(event: Event, _context: object) -> dict[str, Any]:
    """Messages of a dead-letter queue; those that could not be looked at come again."""
    _, backend = _lab()
    again = []
    for record in event.get("Records", ()):
        try:
            bury(backend.ledger, record["body"], int(record["attributes"]["ApproximateReceiveCount"]))
        except Unavailable as error:
            log.warning("a dead message must come again", message=record["messageId"], why=str(error))
            again.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": again}


def settings(event: Event, _context: object) -> None:
    """A deploy, as CloudFormation tells it of a custom resource, and waits for the answer. None fails by this."""
    told = "left as they are" if event["RequestType"] == "Delete" else _adopted(event["ResourceProperties"])
    answer = {key: event[key] for key in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {"Status": "SUCCESS", "PhysicalResourceId": event.get("PhysicalResourceId", os.environ["AETHER_PREFIX"]),
               "Data": {"Told": told.encode()[:ANSWER_BYTES].decode(errors="ignore")}}
    heard = urllib3.PoolManager(ca_certs=os.environ.get("AWS_CA_BUNDLE")).request(
        "PUT", event["ResponseURL"], body=json.dumps(answer, ensure_ascii=False).encode(), headers={"Content-Type": ""})
    log.info("settings", told=told, heard=heard.status)
    if heard.status >= 300:
        raise Unavailable(f"CloudFormation did not take the answer: {heard.status}")


def _adopted(given: Mapping[str, str]) -> str:
    """Asked again for half a minute: of a role that was made a moment ago not all is known everywhere yet."""
    for left in reversed(range(ADOPTIONS)):
        try:
            _, backend = _lab()
            return deployed.adopt(backend.ledger, backend.address, given.get("Text", ""), given["MonthlyUsd"],
                                  time.time())
        except Exception as error:  # whatever it is, it holds no deploy
            log.exception("settings")
            told = f"not looked at: {error}; `aether settings push` puts them in force"
        if left:
            time.sleep(ADOPT_S)
    return told


@cache
def _lab() -> tuple[Names, Backend]:
    """Kept while the function is warm."""
    names = names_here(os.environ["AETHER_PREFIX"])
    return names, assemble(names)


@cache
def _fleets(names: Names) -> Fleets:
    return fleets_of(names)


def _maxima() -> dict[str, int]:
    """What the deploy allows each fleet."""
    return {one: int(os.environ.get(f"AETHER_{one.upper()}_MAX", "0")) for one in JOB_CLASSES}


def _did(duty: str, **what: Any) -> dict[str, Any]:
    log.info(duty, **what)
    return what
