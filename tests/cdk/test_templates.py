"""What the templates promise beyond what cdk-nag and cfn-lint look for. cdk-nag itself checks every synthesis."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.budget_guard import over_the_bill
from cdk.settings import from_context
from lab.aws.table import TABLE_SCHEMA
from support.servers import unavailable
from support.templates import CHOSEN, ROOT, need_cdk, synthesise

pytestmark = pytest.mark.ci
Templates = dict[str, Any]


def resources(templates: Templates, kind: str) -> Iterator[dict[str, Any]]:
    """All of one type, in all stacks; never none."""
    found = [one for template in templates.values() for one in template["Resources"].values() if one["Type"] == kind]
    assert found, f"there is no {kind}"
    yield from found


def plain(resource: Any) -> str:
    """An ARN with the names of what only a deploy knows."""
    parts = resource["Fn::Join"][1] if isinstance(resource, dict) else [resource]
    told = "".join(one if isinstance(one, str) else one.get("Fn::Sub") or f"${{{one['Ref']}}}" for one in parts)
    return re.sub(r"\$\{AWS::(\w+)\}", r"<\1>", told)


def test_the_ledgers_table_is_what_the_code_expects(templates: Templates) -> None:
    table = templates["data"]["Resources"]["Ledger"]
    deployed = {key: table["Properties"][key] for key in TABLE_SCHEMA}
    deployed["AttributeDefinitions"].sort(key=lambda one: str(one["AttributeName"]))
    assert deployed == {**TABLE_SCHEMA, "AttributeDefinitions": sorted(
        TABLE_SCHEMA["AttributeDefinitions"], key=lambda one: str(one["AttributeName"]))}


def test_data_outlives_its_stack_and_keeps_its_logical_id(templates: Templates) -> None:
    for name in ("Ledger", "Store"):
        resource = templates["data"]["Resources"][name]
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")
    table = templates["data"]["Resources"]["Ledger"]["Properties"]
    assert table["DeletionProtectionEnabled"] is True
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    store = templates["data"]["Resources"]["Store"]["Properties"]
    assert store["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(store["PublicAccessBlockConfiguration"].values()) == {True}
    [rule] = store["LifecycleConfiguration"]["Rules"]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 2}, "each day more of checkpoints is paid"
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
    assert "ExpirationInDays" not in rule, "what is stored goes by the ledger's word alone"


def test_nobody_is_let_in_and_no_gateway_is_paid_for(templates: Templates) -> None:
    for template in templates.values():
        kinds = {one["Type"] for one in template["Resources"].values()}
        assert not kinds & {"AWS::EC2::NatGateway", "AWS::EC2::SecurityGroupIngress", "AWS::EC2::EIP"}
    for group in resources(templates, "AWS::EC2::SecurityGroup"):
        assert "SecurityGroupIngress" not in group["Properties"]
    list(resources(templates, "Custom::VpcRestrictDefaultSG"))
    endpoints = list(resources(templates, "AWS::EC2::VPCEndpoint"))
    assert [one["Properties"]["VpcEndpointType"] for one in endpoints] == ["Gateway"] * 2


def test_the_orchestrator_keeps_work_for_as_many_workers_as_each_fleet_may_have(templates: Templates) -> None:
    sizes = {one["Properties"]["AutoScalingGroupName"].rpartition("-")[2]: one["Properties"]["MaxSize"]
             for one in resources({"workers": templates["workers"]}, "AWS::AutoScaling::AutoScalingGroup")}
    [template] = resources({"lab": templates["lab"]}, "AWS::EC2::LaunchTemplate")
    told = json.dumps(template["Properties"]["LaunchTemplateData"]["UserData"])
    assert f"--fleet cpu={sizes['cpu']} --fleet gpu={sizes['gpu']}'" in told


FIGURES = ("ce:GetCostAndUsage", "cloudwatch:GetMetricStatistics")  # which take no resource either


def test_no_role_of_ours_may_do_anything_by_a_star_and_only_workers_remove_objects(templates: Templates) -> None:
    for policy in resources(templates, "AWS::IAM::Policy"):
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert not [one for one in actions if "*" in one]
            removing = {one for one in actions if "Delete" in one} - {"sqs:DeleteMessage"}
            if removing:
                assert removing == {"s3:DeleteObject", "s3:DeleteObjectVersion"}
                assert policy["Properties"]["PolicyName"][:3] in ("Cpu", "Gpu")
                assert statement["Resource"]["Fn::Join"][1][-1] == "/objects/*"
            if statement["Resource"] == "*":
                looks = {one for one in actions if ":Describe" in one or one in FIGURES}
                assert {one.split(":")[0] for one in set(actions) - looks} <= {"ssm", "ssmmessages"}
    for role in resources(templates, "AWS::IAM::Role"):
        trusted = role["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]
        assert trusted["Service"] in ("ec2.amazonaws.com", "lambda.amazonaws.com", "scheduler.amazonaws.com")


@pytest.mark.parametrize("job_class", ["Cpu", "Gpu"])
def test_a_worker_reads_the_store_and_its_code_and_the_one_table_and_nothing_else(
        templates: Templates, job_class: str) -> None:
    read: dict[str, set[str]] = {}
    for policy in resources({"workers": templates["workers"]}, "AWS::IAM::Policy"):
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            actions, of = statement["Action"], statement["Resource"]
            for action in [actions] if isinstance(actions, str) else actions:
                if policy["Properties"]["PolicyName"].startswith(job_class):
                    read.setdefault(action, set()).update(map(plain, of if isinstance(of, list) else [of]))
    own = "arn:<Partition>:s3:::aether-store-<AccountId>-<Region>"
    table = "arn:<Partition>:dynamodb:<Region>:<AccountId>:table/aether-ledger"
    asset = re.compile(r"arn:<Partition>:s3:::cdk-\w+-assets-<AccountId>-<Region>/\w{64}\.zip")
    code = {one for one in read["s3:GetObject"] if asset.fullmatch(one)}
    assert len(code) == 1
    assert read["s3:GetObject"] - code == {f"{own}/objects/*", f"{own}/pointers/*", f"{own}/bodies/*"}
    assert read["s3:ListBucket"] == {own}
    assert read["dynamodb:GetItem"] == {table}
    assert read["dynamodb:Query"] == {table, f"{table}/index/by_tag"}


def test_only_the_orchestrator_sends_to_every_queue_and_a_worker_receives_from_its_own(templates: Templates) -> None:
    receivers: dict[str, list[str]] = {}
    for policy in resources(templates, "AWS::IAM::Policy"):
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            if "sqs:ReceiveMessage" in statement["Action"]:
                name = policy["Properties"]["PolicyName"][:3]
                receivers.setdefault(name, []).append(json.dumps(statement["Resource"]))
    assert {name for name, where in receivers.items() if ":aether-cpu\"" in str(where)} == {"Cpu"}
    assert {name for name, where in receivers.items() if ":aether-gpu\"" in str(where)} == {"Gpu"}
    assert all("DeadCpu" in one or "DeadGpu" in one for one in receivers.pop("Dea"))
    assert set(receivers) == {"Cpu", "Gpu"}


def test_instances_ask_for_a_token_keep_it_and_write_encrypted(templates: Templates) -> None:
    for template in resources(templates, "AWS::EC2::LaunchTemplate"):
        data = template["Properties"]["LaunchTemplateData"]
        assert data["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1,
                                           "InstanceMetadataTags": "enabled"}
        [disk] = [one["Ebs"] for one in data["BlockDeviceMappings"]]
        assert (disk["Encrypted"], disk["VolumeType"]) == (True, "gp3")
        assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
        assert "KeyName" not in data
        assert data["ImageId"].keys() == {"Ref"}, "from a public parameter"


@pytest.mark.parametrize("job_class", ["cpu", "gpu"])
def test_a_fleet_is_spot_from_none_and_no_rule_takes_an_instance_away(templates: Templates, job_class: str) -> None:
    [group] = [one["Properties"] for one in resources(templates, "AWS::AutoScaling::AutoScalingGroup")
               if one["Properties"]["AutoScalingGroupName"] == f"aether-{job_class}"]
    assert (group["MinSize"], group["MaxSize"]) == ("0", str(from_context(CHOSEN).maximum(job_class)))
    assert "DesiredCapacity" not in group, "a deploy would set it back while work runs"
    assert group["CapacityRebalance"] is True
    assert group["NewInstancesProtectedFromScaleIn"] is True
    mixed = group["MixedInstancesPolicy"]
    assert mixed["InstancesDistribution"] == {"OnDemandBaseCapacity": 0, "OnDemandPercentageAboveBaseCapacity": 0,
                                              "SpotAllocationStrategy": "price-capacity-optimized"}
    assert len({one["InstanceType"] for one in mixed["LaunchTemplate"]["Overrides"]}) >= 10


def test_fleets_grow_by_the_backlog_and_start_by_an_alarm(templates: Templates) -> None:
    policies = [one["Properties"] for one in resources(templates, "AWS::AutoScaling::ScalingPolicy")]
    tracking = [one["TargetTrackingConfiguration"] for one in policies if one["PolicyType"] == "TargetTrackingScaling"]
    assert len(tracking) == 2
    for one in tracking:
        assert one["DisableScaleIn"] is True
    steps = [one for one in policies if one["PolicyType"] == "StepScaling"]
    assert [one["AdjustmentType"] for one in steps] == ["ChangeInCapacity"] * 2, "an exact one would lower a late group"
    assert [[step["ScalingAdjustment"] for step in one["StepAdjustments"]] for one in steps] == [[1], [1]]
    for alarm in resources({"workers": templates["workers"]}, "AWS::CloudWatch::Alarm"):
        [first] = [one["Expression"] for one in alarm["Properties"]["Metrics"] if one.get("Expression")]
        assert first == "IF(wanted < 1, waiting, 0)", "filled, a late metric would say that nobody is wanted"
        assert alarm["Properties"]["TreatMissingData"] == "notBreaching"
        assert len(alarm["Properties"]["AlarmActions"]) == 1
    for hook in resources(templates, "AWS::AutoScaling::LifecycleHook"):
        assert hook["Properties"]["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
        assert (hook["Properties"]["DefaultResult"], hook["Properties"]["HeartbeatTimeout"]) == ("CONTINUE", 120)


def grown(tracking: dict[str, Any], most: int, live: int, minutes: int = 60) -> list[int]:
    """How many are wanted minute by minute after the first came, by the rule of target tracking as AWS describes it.
    Each boots for five minutes, then works on one of `live` experiments, none of which ends."""
    metrics = tracking["CustomizedMetricSpecification"]["Metrics"]
    [computed] = [one["Expression"] for one in metrics if one["ReturnData"]]
    wanted, seen = 1, [1] * 6
    for _ in range(minutes):
        running = min(seen[-6] if len(seen) > 6 else 0, live)
        values = {"ApproximateNumberOfMessagesVisible": live - running, "GroupInServiceInstances": wanted,
                  "ApproximateNumberOfMessagesNotVisible": running, "GroupDesiredCapacity": wanted}
        told = {one["Id"]: values[one["MetricStat"]["Metric"]["MetricName"]] for one in metrics if "MetricStat" in one}
        found = eval(computed, {"IF": lambda which, yes, no: yes if which else no, **told})
        wanted = min(most, max(wanted, math.ceil(wanted * found / tracking["TargetValue"])))
        seen.append(wanted)
    return seen


@pytest.mark.parametrize("most", [1, 2, 4, 8])
def test_a_fleet_grows_to_as_many_as_there_is_work_for_and_no_further_while_they_boot(
        templates: Templates, most: int) -> None:
    """The daemon keeps an experiment more than the fleets may have instances; the other fleet may have some of them."""
    for policy in resources(templates, "AWS::AutoScaling::ScalingPolicy"):
        if tracking := policy["Properties"].get("TargetTrackingConfiguration"):
            for live in range(1, most + 2):
                assert max(grown(tracking, most, live)) == min(most, live)


def test_the_orchestrator_is_one_on_demand_and_replaced(templates: Templates) -> None:
    [group] = [one for one in templates["lab"]["Resources"].values()
               if one["Type"] == "AWS::AutoScaling::AutoScalingGroup"]
    assert (group["Properties"]["MinSize"], group["Properties"]["MaxSize"]) == ("1", "1")
    assert group["UpdatePolicy"]["AutoScalingRollingUpdate"]["MinInstancesInService"] == 0


def test_each_queue_has_its_dead_letters_and_all_speak_tls(templates: Templates) -> None:
    queues = {one["Properties"]["QueueName"]: one["Properties"] for one in resources(templates, "AWS::SQS::Queue")}
    assert set(queues) == {"aether-cpu", "aether-cpu-dead", "aether-gpu", "aether-gpu-dead"}
    for name, queue in queues.items():
        assert queue["SqsManagedSseEnabled"] is True
        assert ("RedrivePolicy" in queue) == (not name.endswith("-dead"))
    denied = [one for kind in ("SQS::QueuePolicy", "SNS::TopicPolicy", "S3::BucketPolicy")
              for one in resources(templates, f"AWS::{kind}")]
    assert all("aws:SecureTransport" in json.dumps(one) for one in denied)
    assert len(denied) == 8


def test_the_bill_is_watched_at_the_labs_own_levels(templates: Templates) -> None:
    [budget] = resources(templates, "AWS::Budgets::Budget")
    assert budget["Properties"]["Budget"]["BudgetLimit"] == {"Amount": 500, "Unit": "USD"}
    told = [one["Notification"] for one in budget["Properties"]["NotificationsWithSubscribers"]]
    assert {one["ComparisonOperator"] for one in told} == {"GREATER_THAN"}
    assert [(one["NotificationType"], one["Threshold"]) for one in told] == [
        ("ACTUAL", 70), ("ACTUAL", 85), ("ACTUAL", 95), ("FORECASTED", 100)]
    for one in budget["Properties"]["NotificationsWithSubscribers"]:
        assert [to["SubscriptionType"] for to in one["Subscribers"]] == ["EMAIL", "SNS"]
    assert budget["DependsOn"] == ["BillPolicyB73E4A06"], "AWS refuses a budget that may not publish to its topic"


def test_the_budget_has_another_name_where_somebody_else_is_told_and_the_same_for_another_amount(
        templates: Templates) -> None:
    """AWS replaces it then, and refuses a second one of the same name."""
    from cdk.budget import name_of
    [budget] = resources(templates, "AWS::Budgets::Budget")
    name = budget["Properties"]["Budget"]["BudgetName"]
    others = [name_of(from_context(CHOSEN | other)) for other in (
        {"monthlyBudget": "7"}, {"email": "b@example.com"}, {"prefix": "mine"})]
    assert over_the_bill(f"Budget Name: {name}\nBudgeted Amount: $9.00\nAlert Type: ACTUAL\nACTUAL Amount: $9.00\n",
                         "aether-monthly"), "the guard knows it"
    assert [one == name for one in others] == [True, False, False]


def test_all_logs_are_kept_for_a_month_and_no_function_has_one_of_its_own_making(templates: Templates) -> None:
    assert {one["Properties"]["RetentionInDays"] for one in resources(templates, "AWS::Logs::LogGroup")} == {30}
    for function in resources(templates, "AWS::Lambda::Function"):
        assert function["Properties"]["LoggingConfig"]["LogGroup"].keys() == {"Ref"}


def test_the_code_is_what_runs_and_nothing_else(assembly: Path) -> None:
    [code] = [path for path in assembly.glob("asset.*") if (path / "pyproject.toml").exists()]
    files = [path for path in code.rglob("*") if path.is_file()]
    assert {path.relative_to(code).parts[0] for path in files} == {
        "aether_kit", "agents", "cli", "gpu_workers", "lab", "orchestrator", "requirements", "LICENSE", "NOTICE",
        "pyproject.toml"}
    assert not [path for path in files if path.suffix == ".md"], "each word in it would replace the orchestrator"
    assert sum(path.stat().st_size for path in files) < 5_000_000
    assert not [path for path in files if path.suffix == ".pyc"]
    assert os.access(code / "requirements" / "sync", os.R_OK)


def test_the_code_can_be_installed_as_it_is_sent(assembly: Path, tmp_path: Path) -> None:
    """Without the README that pyproject.toml names, by the locked setuptools, as `requirements/sync` does it."""
    [code] = [path for path in assembly.glob("asset.*") if (path / "pyproject.toml").exists()]
    shutil.copytree(code, tmp_path / "code")
    build = f"from setuptools.build_meta import build_editable; print(build_editable({str(tmp_path)!r}))"
    made = subprocess.run([sys.executable, "-c", build], cwd=tmp_path / "code", capture_output=True, text=True,
                          check=False)
    assert made.returncode == 0, made.stderr[-2000:]
    assert made.stdout.splitlines()[-1].startswith("aether_lab-")


def lint(assembly: Path) -> list[str]:
    """What cfn-lint finds, but for CDK's own: dependencies of functions and custom resources that are there twice."""
    linter = Path(sys.executable).parent / "cfn-lint"
    if not linter.exists():
        unavailable("cfn-lint is not installed", "run requirements/sync cdk")
    told = subprocess.run([str(linter), "--format", "parseable", *map(str, assembly.glob("*.template.json"))],
                          capture_output=True, text=True, check=False).stdout
    own = re.compile(r"W3005:.*(Custom\w+ProviderRole\w+|Role\w+' dependency .*Function\w+/Properties/Role)")
    return [line for line in told.splitlines() if not own.search(line)]


def test_cfn_lint_finds_nothing(assembly: Path) -> None:
    assert lint(assembly) == []


def test_a_wrong_setting_ends_the_synthesis_with_one_line(tmp_path: Path) -> None:
    need_cdk()
    ended = synthesise(tmp_path / "out", {**CHOSEN, "emial": "x"})
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("aether: no setting is called emial; there are email")
    assert "Traceback" not in ended.stderr
    assert (ROOT / "cdk.json").exists()
