"""Whether each stack of a lab is there and whole; of one that is not, what CloudFormation said first went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

from lab.aws import clients
from lab.aws.errors import code_of, plain_errors
from lab.aws.names import Names
from lab.aws.parts import table_of
from lab.errors import AetherError
from lab.findings import AGAIN, Finding, failed

NAME = "stacks"
PREFIX = "aether"  # of a deploy that names none
WHOLE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"})
RETURNED = frozenset({"UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"})  # to what stood before
UNMADE = frozenset({"REVIEW_IN_PROGRESS", "DELETE_COMPLETE"})
CALLED_OFF = "cancelled"  # what CloudFormation says of all that it stops because of another failure


def states(names: Names) -> dict[str, str]:
    """Stack → its status; empty where there is no such stack. Raises Unavailable."""
    client = clients.cloudformation(region_name=names.region)
    with plain_errors("CloudFormation"):
        return {name: _state(client, name) for name in names.stacks}


def examine(names: Names) -> Iterator[Finding]:
    """One line for all that is whole, and one for each that is not."""
    try:
        found = states(names)
        kept = not found[names.stacks[1]] and table_of(names).there()
        if kept:
            yield Finding(name=NAME, found=f"{names.stacks[1]} is missing, and the ledger {names.table} is there",
                          fix=f"adopt what a destroy has left ({_adoption(names)}), then deploy the others",
                          level="bad" if any(found.values()) else "note")
        elif not any(found.values()):
            yield Finding(name=NAME, found=f"none of {', '.join(found)}: its parts were not made by this deploy",
                          level="note")
        if not any(found.values()):
            return
        whole = [name for name, state in found.items() if state in WHOLE]
        if whole:
            yield Finding(name=NAME, found=f"{', '.join(whole)} {'is' if len(whole) == 1 else 'are'} whole")
        for name, state in found.items():
            if name not in whole and not (kept and name == names.stacks[1]):
                yield _not_whole(names, name, state)
    except AetherError as error:
        yield failed(NAME, error, "note")


def _state(client: Any, name: str) -> str:
    try:
        state = str(client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
    except ClientError as error:
        if code_of(error) == "ValidationError":  # how it says that there is none
            return ""
        raise
    return "" if state in UNMADE else state


def _not_whole(names: Names, name: str, state: str) -> Finding:
    if not state:
        return Finding(name=NAME, found=f"{name} is missing: the lab is half deployed", level="bad",
                       fix=f"deploy it (`npx cdk deploy {name}`, with the settings of the others)")
    if state.endswith("_IN_PROGRESS"):
        return Finding(name=NAME, found=f"{name} is under way ({state})", fix="look again when the deploy has ended",
                       level="note")
    client = clients.cloudformation(region_name=names.region)
    with plain_errors(f"CloudFormation stack {name}"):
        why = (first_failure(client.describe_stack_events(StackName=name)["StackEvents"])
               or _refused(client.describe_events(StackName=name)["OperationEvents"]))
    told = f": {why}" if why else ""
    if state in RETURNED:
        return Finding(name=NAME, found=f"{name} stands, but its last deploy failed{told}", fix=AGAIN, level="note")
    fix = AGAIN
    if "already exists" in why:
        gone = f"npx cdk destroy {name} --exclusively --force{_prefix(names)}"
        first = f"take away what was begun (`{gone}`), " if state == "ROLLBACK_COMPLETE" else ""  # it takes nothing in
        fix = f"{first}adopt what is there ({_adoption(names)}), then {AGAIN}"
    return Finding(name=NAME, found=f"{name} is half deployed ({state}){told}", fix=fix, level="bad")


def _adoption(names: Names) -> str:
    mapping = f"$(python -m cdk.kept {names.prefix})"
    return f'`npx cdk import {names.stacks[1]} --resource-mapping-inline "{mapping}"{_prefix(names)}`'


def _prefix(names: Names) -> str:
    return "" if names.prefix == PREFIX else f" -c prefix={names.prefix}"


def first_failure(events: Sequence[Any]) -> str:
    """What went wrong first in the last deploy. `events` are the newest first, as CloudFormation gives them."""
    why = ""
    for event in events:
        reason, status = str(event.get("ResourceStatusReason", "")), str(event["ResourceStatus"])
        if event["PhysicalResourceId"] == event["StackId"]:
            if status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"):
                break
        elif status.endswith("_FAILED") and CALLED_OFF not in reason.lower():
            why = f"{event['LogicalResourceId']}: {' '.join(reason.split())}"
    return why


def _refused(events: Sequence[Any]) -> str:
    """What was refused before anything was made, such as a name that is taken; only these events tell."""
    refused = [one for one in events if one.get("ValidationStatus") == "FAILED"]
    return f"{refused[0]['LogicalResourceId']}: {refused[0]['ValidationStatusReason']}" if refused else ""
