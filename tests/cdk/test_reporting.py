"""What the templates promise of the functions, of what calls them, and of whom the alarms and the page reach."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.fleet import ENDS
from cdk.settings import from_context
from lab.aws.fleets import TAG
from lab.aws.site import PAGE
from lab.aws.telemetry import UNITS
from lab.experiment import JOB_CLASSES
from support.templates import CHOSEN, ROOT

pytestmark = pytest.mark.ci
Templates = dict[str, Any]
NAMES = {"aether-report": "report", "aether-guard": "guard", "aether-fleet": "fleet",
         "aether-dead-letters": "dead_letters", "aether-settings": "settings"}


def of(template: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    found = [one["Properties"] for one in template["Resources"].values() if one["Type"] == f"AWS::{kind}"]
    assert found, f"there is no {kind}"
    return found


@pytest.fixture
def reporting(templates: Templates) -> dict[str, Any]:
    found: dict[str, Any] = templates["reporting"]
    return found


def statements(template: dict[str, Any], of_role: str) -> list[dict[str, Any]]:
    return [one for policy in of(template, "IAM::Policy") if policy["PolicyName"].startswith(of_role)
            for one in policy["PolicyDocument"]["Statement"]]


def test_each_duty_is_a_function_on_arm_that_knows_its_lab(reporting: dict[str, Any]) -> None:
    functions = {one["FunctionName"]: one for one in of(reporting, "Lambda::Function")}
    handlers = (ROOT / "agents" / "handlers.py").read_text()
    assert {name: one["Handler"] for name, one in functions.items()} == {
        name: f"agents.handlers.{handler}" for name, handler in NAMES.items()}
    for function in functions.values():
        assert f"\ndef {NAMES[function['FunctionName']]}(event: Event, " in handlers.replace("_event", "event")
        assert (function["Runtime"], function["Architectures"]) == ("python3.12", ["arm64"])
        assert function["Environment"]["Variables"]["AETHER_PREFIX"] == "aether"
        assert function["Environment"]["Variables"]["XDG_CACHE_HOME"] == "/tmp", "nothing else is writable there"
        assert len(function["Layers"]) == 1
    given = functions["aether-guard"]["Environment"]["Variables"]
    chosen = from_context(CHOSEN)
    assert {one: int(given[f"AETHER_{one.upper()}_MAX"]) for one in JOB_CLASSES} == {
        one: chosen.maximum(one) for one in JOB_CLASSES}


def test_a_deploy_gives_the_labs_settings_to_the_function_that_may_write_them(reporting: dict[str, Any]) -> None:
    [(id, adopted)] = [(id, one) for id, one in reporting["Resources"].items() if one["Type"] == "Custom::Settings"]
    given = adopted["Properties"]
    assert (given["Text"], given["MonthlyUsd"]) == ("", int(CHOSEN["monthlyBudget"]))
    assert int(given["ServiceTimeout"]) <= 600, "a function that dies holds no deploy for an hour"
    function = reporting["Resources"][given["ServiceToken"]["Fn::GetAtt"][0]]["Properties"]
    assert function["FunctionName"] == "aether-settings"
    assert any("Policy" in one for one in adopted["DependsOn"]), "its role can do nothing before that"
    assert {"Fn::GetAtt": [id, "Told"]} in [one["Value"] for one in reporting["Outputs"].values()]


def test_the_clock_calls_the_reporter_every_hour_and_the_guard_every_ten_minutes(reporting: dict[str, Any]) -> None:
    schedules = {one["Name"]: one for one in of(reporting, "Scheduler::Schedule")}
    assert {name: one["ScheduleExpression"] for name, one in schedules.items()} == {
        "aether-report": "cron(5 * * * ? *)", "aether-guard": "rate(10 minutes)"}
    for name, one in schedules.items():
        assert one["FlexibleTimeWindow"] == {"Mode": "OFF"}
        target = reporting["Resources"][one["Target"]["Arn"]["Fn::GetAtt"][0]]["Properties"]
        assert target["FunctionName"] == name


def test_the_bill_reaches_the_guard_and_only_services_of_this_account_publish(templates: Templates) -> None:
    [subscription] = of(templates["reporting"], "SNS::Subscription")
    called = templates["reporting"]["Resources"][subscription["Endpoint"]["Fn::GetAtt"][0]]["Properties"]
    assert (subscription["Protocol"], called["FunctionName"]) == ("lambda", "aether-guard")
    let = {}
    for policy in of(templates["lab"], "SNS::TopicPolicy"):
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Allow":
                assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
                let[statement["Principal"]["Service"]] = policy["Topics"][0]["Ref"][:4]
    assert let == {"budgets.amazonaws.com": "Bill", "cloudwatch.amazonaws.com": "Repo"}


def test_the_fleet_agent_hears_of_machines_that_go(reporting: dict[str, Any]) -> None:
    patterns = [one["EventPattern"] for one in of(reporting, "Events::Rule")]
    assert {kind for one in patterns for kind in one["detail-type"]} == {
        "EC2 Spot Instance Interruption Warning", "EC2 Instance Rebalance Recommendation",
        "EC2 Instance State-change Notification", "EC2 Instance-terminate Lifecycle Action"}
    assert [one["detail"] for one in patterns if one["source"] == ["aws.autoscaling"]] == [
        {"AutoScalingGroupName": ["aether-cpu", "aether-gpu"]}]
    [states] = [one["detail"]["state"] for one in patterns if "State-change" in str(one["detail-type"])]
    assert states == list(ENDS), "the first is in time, the second sure"
    for rule in of(reporting, "Events::Rule"):
        assert [target["Arn"]["Fn::GetAtt"][0][:5] for target in rule["Targets"]] == ["Fleet"]


def test_dead_letters_are_taken_one_by_one_and_come_again_only_after_the_function_ended(templates: Templates) -> None:
    mappings = of(templates["reporting"], "Lambda::EventSourceMapping")
    assert [one["FunctionResponseTypes"] for one in mappings] == [["ReportBatchItemFailures"]] * 2
    [function] = [one for one in of(templates["reporting"], "Lambda::Function") if "dead" in one["FunctionName"]]
    for queue in of(templates["lab"], "SQS::Queue"):
        if queue["QueueName"].endswith("-dead"):
            assert queue["VisibilityTimeout"] >= 6 * function["Timeout"], "as AWS advises"


def test_every_alarm_reaches_the_topic_and_silence_is_read_as_it_is_meant(reporting: dict[str, Any]) -> None:
    alarms = {one["AlarmName"]: one for one in of(reporting, "CloudWatch::Alarm")}
    assert set(alarms) == {f"aether-{one}" for one in (
        "DaemonSilent", "DeadLetters", "DeadLettersCpu", "DeadLettersGpu", "StuckCpu", "StuckGpu", "CrashLoop",
        "ReportFails", "GuardFails", "FleetFails", "DeadLettersFails")}
    for name, alarm in alarms.items():
        [action] = alarm["AlarmActions"]
        assert "Reports" in json.dumps(action)
        assert alarm["TreatMissingData"] == ("breaching" if name == "aether-DaemonSilent" else "notBreaching")
        assert alarm["AlarmDescription"]
        assert "FILL" not in json.dumps(alarm), "what was never told cannot be filled"
        shown = [one for one in alarm.get("Metrics", ()) if one.get("ReturnData", True)]
        assert len(shown) == ("Metrics" in alarm), "of what is computed, one value is looked at"
    beat = alarms["aether-DaemonSilent"]
    assert (beat["Namespace"], beat["MetricName"], beat["Dimensions"]) == (
        "Aether", "DaemonHeartbeat", [{"Name": "Lab", "Value": "aether"}])
    assert (beat["Statistic"], beat["ComparisonOperator"], beat["Threshold"]) == ("Sum", "LessThanThreshold", 1)


def test_each_function_and_each_grave_has_an_alarm_of_its_own_on_what_it_tells(reporting: dict[str, Any]) -> None:
    """One whose metric does not exist yet, since nobody called it, makes no other deaf."""
    looked = [(one["Namespace"], one["MetricName"], json.dumps(one["Dimensions"])) for one in of(
        reporting, "CloudWatch::Alarm") if "Metrics" not in one]
    for duty in set(NAMES.values()) - {"settings"}:  # whose fault the deploy itself tells
        id = duty.title().replace("_", "")
        assert [metric for _, metric, of_what in looked if f'"{id}Function' in of_what and metric == "Errors"], duty
    assert len([one for one in looked if one[:2] == ("AWS/SQS", "ApproximateNumberOfMessagesVisible")]) == 2
    assert [of_what for _, metric, of_what in looked if metric == "Invocations" and '"DeadLettersFunction' in of_what]


@pytest.mark.parametrize("job_class", JOB_CLASSES)
def test_a_fleet_is_stuck_where_work_waits_and_none_is_worked_on_whatever_machines_there_are(
        reporting: dict[str, Any], job_class: str) -> None:
    """One whose boot fails before it can tell of it is in service; at its bound a fleet lets work wait for hours."""
    [alarm] = [one for one in of(reporting, "CloudWatch::Alarm")
               if one["AlarmName"] == f"aether-Stuck{job_class.title()}"]
    looked = {one["Id"]: one["MetricStat"] for one in alarm["Metrics"] if "MetricStat" in one}
    assert {one["Metric"]["Namespace"] for one in looked.values()} == {"AWS/SQS"}
    [computed] = [one["Expression"] for one in alarm["Metrics"] if "Expression" in one]
    words = {"IF": lambda which, yes, no: yes if which else no}

    def breaches(waiting: int, taken: int) -> bool:
        told = {"ApproximateNumberOfMessagesVisible": waiting, "ApproximateNumberOfMessagesNotVisible": taken}
        values = {id: told[one["Metric"]["MetricName"]] for id, one in looked.items()}
        return bool(eval(computed, {**words, **values}) >= alarm["Threshold"])

    assert [breaches(1, 0), breaches(5, 0), breaches(1, 1), breaches(0, 0), breaches(0, 4)] == [
        True, True, False, False, False]
    assert alarm["EvaluationPeriods"] * looked["waiting"]["Period"] == 1800


def test_the_board_shows_what_the_lab_writes_of_itself(reporting: dict[str, Any]) -> None:
    [board] = of(reporting, "CloudWatch::Dashboard")
    text = json.dumps(board)
    for metric in UNITS:
        assert metric in text, metric


def test_only_the_guard_sizes_fleets_and_ends_instances_and_those_of_the_fleets_alone(templates: Templates) -> None:
    sizing = {"autoscaling:UpdateAutoScalingGroup", "ec2:TerminateInstances"}
    for name, template in templates.items():
        for policy in [one["Properties"] for one in template["Resources"].values() if "IAM::Policy" in one["Type"]]:
            for statement in policy["PolicyDocument"]["Statement"]:
                action = statement["Action"]
                if sizing & {*([action] if isinstance(action, str) else action)}:
                    assert (name, policy["PolicyName"][:5]) == ("reporting", "Guard")
    [ending] = [one for one in statements(templates["reporting"], "Guard") if one["Action"] == "ec2:TerminateInstances"]
    assert ending["Condition"] == {"StringEquals": {f"aws:ResourceTag/{TAG}": "aether"}}
    tagged = {group["AutoScalingGroupName"] for stack in ("lab", "workers")
              for group in of(templates[stack], "AutoScaling::AutoScalingGroup")
              if {"Key": TAG, "Value": "aether", "PropagateAtLaunch": True} in group["Tags"]}
    assert tagged == {"aether-cpu", "aether-gpu"}, "the orchestrator is not the guard's to end"
    groups = [one["Resource"] for one in statements(templates["reporting"], "Guard")
              if "autoscaling:UpdateAutoScalingGroup" in one["Action"]]
    assert [one["Fn::Join"][1][-1].rpartition("/")[2] for one in groups[0]] == ["aether-cpu", "aether-gpu"]


def test_the_page_is_behind_the_content_network_alone(templates: Templates) -> None:
    site = templates["site"]
    [bucket] = of(site, "S3::Bucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    [network] = [one["DistributionConfig"] for one in of(site, "CloudFront::Distribution")]
    assert network["Origins"][0]["OriginAccessControlId"]
    assert network["DefaultRootObject"] == PAGE
    assert network["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "redirect-to-https"
    [policy] = of(site, "S3::BucketPolicy")
    allowed = [one for one in policy["PolicyDocument"]["Statement"]
               if one["Principal"] == {"Service": "cloudfront.amazonaws.com"}]
    assert [(one["Action"], list(one["Condition"]["StringEquals"])) for one in allowed] == [
        ("s3:GetObject", ["AWS:SourceArn"])]
    [headers] = of(site, "CloudFront::ResponseHeadersPolicy")
    told = headers["ResponseHeadersPolicyConfig"]["SecurityHeadersConfig"]
    assert told["ContentSecurityPolicy"]["ContentSecurityPolicy"].startswith("default-src 'none'")
    assert told["FrameOptions"]["FrameOption"] == "DENY"


def test_the_outputs_are_what_a_person_looks_for(templates: Templates) -> None:
    told = {name for template in templates.values() for name in template.get("Outputs", {})
            if not name.startswith("Export")}
    assert told == {"Bucket", "Table", "Topic", "QueueCpu", "QueueGpu", "Shell", "Dashboard", "SettingsInForce"}


def test_the_functions_share_a_small_asset_and_none_of_the_command_line(assembly: Path) -> None:
    [code] = [path for path in assembly.glob("asset.*") if {one.name for one in path.iterdir()} == {
        "agents", "gpu_workers", "lab"}]
    assert sum(path.stat().st_size for path in code.rglob("*") if path.is_file()) < 3_000_000
