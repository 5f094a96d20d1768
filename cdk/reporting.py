"""The duties that need no daemon: the hourly report, the guard of the budget, lost machines and dead letters.

Each is a function that AWS calls: by the clock, on what EC2 and the groups tell, on the bill's notices, and for each
message that nobody could take. Beside them the alarms and the board, which look at all of the lab.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import (
    Aws,
    CfnOutput,
    CustomResource,
    Duration,
    Stack,
    aws_events,
    aws_events_targets,
    aws_iam,
    aws_lambda,
    aws_lambda_event_sources,
    aws_scheduler,
    aws_sns_subscriptions,
)
from constructs import Construct

from cdk import powers
from cdk.alarms import Alarms
from cdk.board import add_board
from cdk.functions import Duty, Shared
from cdk.lab import Lab
from cdk.settings import Settings, lab_settings
from lab.aws.names import Names
from lab.experiment import JOB_CLASSES

HOURLY = "cron(5 * * * ? *)"  # the daemon posts its own at the full hour; a key is taken once
OFTEN = "rate(10 minutes)"


class Reporting(Stack):
    def __init__(self, scope: Construct, id: str, settings: Settings, names: Names, lab: Lab) -> None:
        super().__init__(scope, id, description="Aether: reports, budget guard, alarms")
        shared = Shared(self, "Shared", names)
        report = Duty(self, "Report", shared, "report", [*powers.to_report(names), *powers.to_show(names)],
                      memory_mib=1024, limit_s=120)
        guard = Duty(self, "Guard", shared, "guard", [*powers.to_report(names), *powers.to_stop(names)],
                     memory_mib=512, limit_s=300, environment={
                         f"AETHER_{one.upper()}_MAX": str(settings.maximum(one)) for one in JOB_CLASSES})
        fleet = Duty(self, "Fleet", shared, "fleet", powers.to_let_go(names), memory_mib=512, limit_s=180)
        dead = Duty(self, "DeadLetters", shared, "dead_letters", (), memory_mib=512, limit_s=60)
        _by_the_clock(self, names, {HOURLY: report.function, OFTEN: guard.function})
        lab.bill.add_subscription(aws_sns_subscriptions.LambdaSubscription(guard.function))
        _on_machines(self, names, fleet.function)
        for queue in lab.dead.values():
            dead.function.add_event_source(aws_lambda_event_sources.SqsEventSource(
                queue, batch_size=10, report_batch_item_failures=True))
        _adopts(self, shared, settings)
        functions = {one.node.id: one.function for one in (report, guard, fleet, dead)}
        alarms = Alarms(self, "Alarms", names, lab, functions, dead.function)
        add_board(self, names, lab, alarms.all, list(functions.values()))


def _adopts(scope: Construct, shared: Shared, settings: Settings) -> None:
    """The lab's own settings: a deploy puts them in force where none are, and tells what differs later."""
    duty = Duty(scope, "Settings", shared, "settings", (), memory_mib=512, limit_s=60)
    adopted = CustomResource(scope, "Adopted", service_token=duty.function.function_arn,
                             resource_type="Custom::Settings", service_timeout=Duration.minutes(5),
                             properties={"Text": lab_settings(settings), "MonthlyUsd": settings.monthly_budget_usd})
    adopted.node.add_dependency(duty.role)
    CfnOutput(scope, "SettingsInForce", value=adopted.get_att_string("Told"))


def _by_the_clock(scope: Construct, names: Names, calls: Mapping[str, aws_lambda.Function]) -> None:
    role = aws_iam.Role(scope, "Clock", assumed_by=aws_iam.ServicePrincipal(
        "scheduler.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}))
    for statement in powers.to_call([one.function_arn for one in calls.values()]):
        role.add_to_policy(statement)
    schedule = aws_scheduler.CfnSchedule
    for when, function in calls.items():
        schedule(scope, f"Every{'Hour' if when == HOURLY else 'TenMinutes'}",
                 name=f"{names.prefix}-{'report' if when == HOURLY else 'guard'}", schedule_expression=when,
                 flexible_time_window=schedule.FlexibleTimeWindowProperty(mode="OFF"),
                 target=schedule.TargetProperty(
                     arn=function.function_arn, role_arn=role.role_arn, input='{"why": "schedule"}',
                     retry_policy=schedule.RetryPolicyProperty(
                         maximum_event_age_in_seconds=600, maximum_retry_attempts=3))
                 ).node.add_dependency(role.node.find_child("DefaultPolicy"))


def _on_machines(scope: Construct, names: Names, function: aws_lambda.Function) -> None:
    """EC2 tells of every instance of the account; the function knows by the ledger which of them worked for the lab."""
    patterns: dict[str, Any] = {
        "Taken": {"source": ["aws.ec2"], "detail_type": ["EC2 Spot Instance Interruption Warning",
                                                         "EC2 Instance Rebalance Recommendation"]},
        "Gone": {"source": ["aws.ec2"], "detail_type": ["EC2 Instance State-change Notification"],
                 "detail": {"state": ["shutting-down", "terminated"]}},
        "Leaving": {"source": ["aws.autoscaling"], "detail_type": ["EC2 Instance-terminate Lifecycle Action"],
                    "detail": {"AutoScalingGroupName": [f"{names.prefix}-{one}" for one in JOB_CLASSES]}}}
    for id, pattern in patterns.items():
        aws_events.Rule(scope, id, event_pattern=aws_events.EventPattern(**pattern)).add_target(
            aws_events_targets.LambdaFunction(function, max_event_age=Duration.hours(1), retry_attempts=3))
