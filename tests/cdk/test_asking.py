"""Who may read a model's key, or ask a model: the orchestrator, where the deploy names them, and nobody else ever."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.templates import MODEL, PROFILE, SECRET

pytestmark = pytest.mark.ci
Templates = dict[str, Any]
TOLD = f"AETHER_LLM_SECRET={SECRET}"


def asking(templates: Templates) -> list[tuple[str, dict[str, Any]]]:
    """Policy and statement of all that has to do with secrets and models."""
    found = []
    for template in templates.values():
        for one in template["Resources"].values():
            if one["Type"] == "AWS::IAM::Policy":
                for statement in one["Properties"]["PolicyDocument"]["Statement"]:
                    if any(service in json.dumps(statement["Action"]) for service in ("secretsmanager", "bedrock")):
                        found.append((one["Properties"]["PolicyName"], statement))
    return found


def plain(resource: Any) -> str:
    return "".join(one if isinstance(one, str) else f"<{one['Ref'].removeprefix('AWS::')}>"
                   for one in resource["Fn::Join"][1])


def test_nothing_may_be_read_or_asked_unless_the_deploy_says_so(templates: Templates) -> None:
    assert asking(templates) == []
    assert "AETHER_LLM_SECRET" not in json.dumps(templates)


def test_the_orchestrator_alone_reads_that_secret_and_asks_those_models(templates_of_all: Templates) -> None:
    found = asking(templates_of_all)
    assert {name[:12] for name, _ in found} == {"Orchestrator"}
    [read] = [one for _, one in found if one["Action"] == "secretsmanager:GetSecretValue"]
    assert plain(read["Resource"]) == f"arn:<Partition>:secretsmanager:<Region>:<AccountId>:secret:{SECRET}-??????"
    assert "Condition" not in read
    asked = {plain(one["Resource"]): one.get("Condition") for _, one in found if one["Action"] == "bedrock:InvokeModel"}
    profile = f"arn:<Partition>:bedrock:<Region>:<AccountId>:inference-profile/{PROFILE}"
    routed = f"arn:<Partition>:bedrock:*::foundation-model/{PROFILE.partition('.')[2]}"
    assert set(asked) == {f"arn:<Partition>:bedrock:<Region>::foundation-model/{MODEL}", profile, routed}
    [(test, bound)] = (asked[routed] or {}).items()
    assert (test, plain(bound["bedrock:InferenceProfileArn"])) == ("StringEquals", profile)
    assert [one for one in asked.values() if one] == [asked[routed]]
    assert len(found) == 4


def test_the_secrets_name_reaches_the_orchestrators_environment_and_no_other(templates_of_all: Templates) -> None:
    told = {name: json.dumps(one["Properties"]["LaunchTemplateData"]["UserData"])
            for template in templates_of_all.values() for name, one in template["Resources"].items()
            if one["Type"] == "AWS::EC2::LaunchTemplate"}
    assert [name[:12] for name, text in told.items() if TOLD in text] == ["Orchestrator"]
    assert len(told) == 3
    assert json.dumps(templates_of_all).count(SECRET) == 2, "in what may be read, and in that environment"
