"""What a person is woken for: each alarm says so on the topic of the reports.

Whether a fleet is stuck its messages say, not its machines: one whose boot fails before it can tell of it is in service
all the same. Nor does the age of the oldest say so: behind long trainings one waits for hours. A silent metric counts
as it should: no heartbeat is a dead daemon, and no word of a crash is none. Heartbeats are summed, since a daemon that
hangs may tell that it made none. Functions and dead letters have an alarm each, which costs what one on their sum does:
the metric of a function that was never called does not exist, and a sum with it might be nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Duration, aws_cloudwatch, aws_cloudwatch_actions, aws_lambda
from constructs import Construct

from cdk.lab import Lab
from lab.aws.names import Names

MINUTES = Duration.minutes(5)
CRASHES = 3  # of workers within half an hour; one may be a candidate's doing
MORE = aws_cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
LESS = aws_cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
FINE, BAD = aws_cloudwatch.TreatMissingData.NOT_BREACHING, aws_cloudwatch.TreatMissingData.BREACHING


def ours(names: Names, metric: str, statistic: str, period: Duration = MINUTES) -> aws_cloudwatch.Metric:
    """A metric that the lab itself writes into its logs."""
    return aws_cloudwatch.Metric(namespace="Aether", metric_name=metric, dimensions_map={"Lab": names.prefix},
                                 statistic=statistic, period=period)


class Alarms(Construct):
    def __init__(self, scope: Construct, id: str, names: Names, lab: Lab, functions: Mapping[str, aws_lambda.Function],
                 dead_letters: aws_lambda.Function) -> None:
        super().__init__(scope, id)
        self.all: list[aws_cloudwatch.Alarm] = []
        self._names, self._action = names, aws_cloudwatch_actions.SnsAction(lab.topic)
        self._add("DaemonSilent", ours(names, "DaemonHeartbeat", "Sum"),
                  "No sign of the daemon for a quarter of an hour: see its log, or open a shell on the orchestrator",
                  below=1, periods=3, missing=BAD).add_ok_action(self._action)
        self._add("DeadLetters", dead_letters.metric_invocations(period=MINUTES, statistic="Sum"),
                  "Work was received too often and ended by nobody: see `aether experiments list`", least=1)
        for one, queue in lab.dead.items():
            lying = queue.metric_approximate_number_of_messages_visible(period=MINUTES, statistic="Maximum")
            self._add(f"DeadLetters{one.title()}", lying, f"Work of the class {one} lies among the dead letters: see "
                      "the log of the function dead-letters, which should take it", least=1)
        for one, queue in lab.queues.items():
            waiting = queue.metric_approximate_number_of_messages_visible(period=MINUTES, statistic="Minimum")
            taken = queue.metric_approximate_number_of_messages_not_visible(period=MINUTES, statistic="Maximum")
            self._add(f"Stuck{one.title()}", aws_cloudwatch.MathExpression(
                expression="IF(taken < 1, waiting, 0)", period=MINUTES,
                using_metrics={"taken": taken, "waiting": waiting}, label="work waits and nobody works on any"),
                f"Work waits, and the fleet {one} has worked on none for half an hour. Where the guard has "
                "closed the fleets (`aether status` says so) that is as meant; else see `aether doctor`, then what the "
                "console shows of its instances", least=1, periods=6)
        self._add("CrashLoop", ours(names, "WorkerCrash", "Sum", Duration.minutes(30)),
                  "Workers crash again and again: see their logs", least=CRASHES)
        for one, function in functions.items():
            self._add(f"{one}Fails", function.metric_errors(period=MINUTES, statistic="Sum"),
                      f"The function {one} ended with an error: see its log", least=1)

    def _add(self, id: str, metric: aws_cloudwatch.IMetric, told: str, *, least: float = 0, below: float = 0,
             periods: int = 1, missing: aws_cloudwatch.TreatMissingData = FINE) -> aws_cloudwatch.Alarm:
        """Either at `least` so much is bad, or `below` so much."""
        alarm = aws_cloudwatch.Alarm(
            self, id, alarm_name=f"{self._names.prefix}-{id}", alarm_description=told, metric=metric,
            threshold=below or least, comparison_operator=LESS if below else MORE, evaluation_periods=periods,
            treat_missing_data=missing)
        alarm.add_alarm_action(self._action)
        self.all.append(alarm)
        return alarm
