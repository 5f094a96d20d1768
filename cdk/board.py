"""The board: what the lab does, spends and finds, beside what AWS sees of its queues, fleets and functions."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration, aws_cloudwatch, aws_lambda
from constructs import Construct

from cdk.alarms import MINUTES, ours
from cdk.lab import Lab
from lab.aws.names import Names

HOUR = Duration.hours(1)


def add_board(scope: Construct, names: Names, lab: Lab, alarms: Sequence[aws_cloudwatch.IAlarm],
              functions: Sequence[aws_lambda.Function]) -> None:
    board = aws_cloudwatch.Dashboard(scope, "Board", dashboard_name=names.prefix, default_interval=Duration.days(3))
    board.add_widgets(aws_cloudwatch.AlarmStatusWidget(alarms=list(alarms), title="Alarms", width=24, height=3))
    queues = lab.queues.values()
    board.add_widgets(
        _graph("Experiments an hour, by verdict", _by(names, "Experiments", "Verdict", "Sum")),
        _graph("Best so far", _by(names, "BestSoFar", "Metric", "Average")),
        _graph("Spent this month, in US dollars", [ours(names, "SpentUsd", "Maximum", HOUR)]))
    board.add_widgets(
        _graph("Waiting work", [ours(names, "Backlog", "Maximum"), *(
            one.metric_approximate_number_of_messages_visible(period=MINUTES) for one in queues)]),
        _graph("Age of the oldest, in seconds", [ours(names, "QueueAgeS", "Maximum"), *(
            one.metric_approximate_age_of_oldest_message(period=MINUTES) for one in queues)]),
        _graph("Machines in service", [_serving(f"{names.prefix}-{one}") for one in ("orchestrator", *lab.queues)]))
    board.add_widgets(
        _graph("GPU used, waiting for data, in percent", [ours(names, "GpuUsePct", "Average"),
                                                          ours(names, "DataWaitPct", "Average")]),
        _graph("The daemon's heartbeats; workers' crashes", [ours(names, "DaemonHeartbeat", "Sum"),
                                                             ours(names, "WorkerCrash", "Sum")]),
        _graph("Errors of the functions", [one.metric_errors(period=MINUTES) for one in functions]))


def _graph(title: str, metrics: Sequence[aws_cloudwatch.IMetric]) -> aws_cloudwatch.GraphWidget:
    return aws_cloudwatch.GraphWidget(title=title, left=list(metrics), width=8, height=6)


def _by(names: Names, metric: str, dimension: str, statistic: str) -> list[aws_cloudwatch.IMetric]:
    """A line for each value of the dimension, whichever there come to be."""
    asked = f'{{Aether,Lab,{dimension}}} Lab="{names.prefix}" MetricName="{metric}"'
    return [aws_cloudwatch.MathExpression(expression=f"SEARCH('{asked}', '{statistic}', 3600)", label="", period=HOUR,
                                          using_metrics={})]


def _serving(group: str) -> aws_cloudwatch.Metric:
    return aws_cloudwatch.Metric(namespace="AWS/AutoScaling", metric_name="GroupInServiceInstances", period=MINUTES,
                                 statistic="Maximum", dimensions_map={"AutoScalingGroupName": group}, label=group)
