"""The machines of one job class: spot, from none to N, as many as the backlog asks for.

They come by two rules and go by themselves. A first one comes as soon as work waits and none is wanted (a step alarm,
since what falls to each instance says nothing at zero); then as many are wanted as there are messages, those that wait
and those that are worked on: one that waits for a machine that boots asks for no other. No rule takes one away: every
instance is protected, and gives itself back after IDLE_MINUTES without work. A spot notice reaches the worker through
its metadata; the hook lets it finish its checkpoint where the group itself ends it.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration, Tags, aws_autoscaling, aws_cloudwatch, aws_cloudwatch_actions, aws_ec2, aws_sqs
from constructs import Construct

from cdk.machine import Machine
from cdk.network import Network
from cdk.powers import FLEET_TAG

TARGET = 1.0  # messages for each instance that is wanted
IDLE_MINUTES = 10
MINUTE = Duration.minutes(1)
WARMUP = Duration.minutes(5)  # until which no second one comes for the same reason


class Fleet(Construct):
    """`types` is what may be rented, each of which can run this job class."""

    def __init__(self, scope: Construct, id: str, prefix: str, machine: Machine, network: Network,
                 queue: aws_sqs.IQueue, types: Sequence[str], maximum: int) -> None:
        super().__init__(scope, id)
        self.group = aws_autoscaling.AutoScalingGroup(
            self, "Group", auto_scaling_group_name=machine.group_name, vpc=network.vpc,
            vpc_subnets=aws_ec2.SubnetSelection(subnet_type=aws_ec2.SubnetType.PUBLIC),
            min_capacity=0, max_capacity=maximum, capacity_rebalance=True, new_instances_protected_from_scale_in=True,
            group_metrics=[aws_autoscaling.GroupMetrics.all()],
            mixed_instances_policy=aws_autoscaling.MixedInstancesPolicy(
                launch_template=machine.template,
                launch_template_overrides=[aws_autoscaling.LaunchTemplateOverrides(
                    instance_type=aws_ec2.InstanceType(one)) for one in types],
                instances_distribution=aws_autoscaling.InstancesDistribution(
                    on_demand_base_capacity=0, on_demand_percentage_above_base_capacity=0,
                    spot_allocation_strategy=aws_autoscaling.SpotAllocationStrategy.PRICE_CAPACITY_OPTIMIZED)))
        Tags.of(self.group).add(FLEET_TAG, prefix)
        self.group.add_lifecycle_hook(
            "Leave", lifecycle_hook_name="leave", heartbeat_timeout=Duration.minutes(2),
            lifecycle_transition=aws_autoscaling.LifecycleTransition.INSTANCE_TERMINATING,
            default_result=aws_autoscaling.DefaultResult.CONTINUE)
        waiting = queue.metric_approximate_number_of_messages_visible(period=MINUTE, statistic="Maximum")
        self._first(waiting, machine.group_name)
        self._more(queue.queue_name, machine.group_name)

    def _first(self, waiting: aws_cloudwatch.Metric, name: str) -> None:
        """The group tells its size each minute, of none too. Where that is late nothing is known and nothing done: one
        is added, never set, so that no number of machines is ever lowered to the first."""
        wanted = aws_cloudwatch.Metric(namespace="AWS/AutoScaling", metric_name="GroupDesiredCapacity", period=MINUTE,
                                       dimensions_map={"AutoScalingGroupName": name}, statistic="Maximum")
        alone = aws_cloudwatch.MathExpression(
            expression="IF(wanted < 1, waiting, 0)", period=MINUTE, label="work waits and nobody is wanted",
            using_metrics={"wanted": wanted, "waiting": waiting})
        step = aws_autoscaling.StepScalingAction(
            self, "First", auto_scaling_group=self.group, estimated_instance_warmup=WARMUP,
            adjustment_type=aws_autoscaling.AdjustmentType.CHANGE_IN_CAPACITY)
        step.add_adjustment(adjustment=1, lower_bound=0)
        alarm = alone.create_alarm(
            self, "Unserved", threshold=1, evaluation_periods=1,
            comparison_operator=aws_cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=aws_cloudwatch.TreatMissingData.NOT_BREACHING)
        alarm.add_alarm_action(aws_cloudwatch_actions.AutoScalingAction(step))

    def _more(self, queue_name: str, name: str) -> None:
        policy = aws_autoscaling.CfnScalingPolicy
        query, data = policy.TargetTrackingMetricDataQueryProperty, policy.TargetTrackingMetricStatProperty

        def stat(id: str, space: str, metric: str, dimension: str, value: str) -> object:
            return query(id=id, return_data=False, metric_stat=data(stat="Average", metric=policy.MetricProperty(
                namespace=space, metric_name=metric,
                dimensions=[policy.MetricDimensionProperty(name=dimension, value=value)])))

        policy(self, "More", auto_scaling_group_name=self.group.auto_scaling_group_name,
               policy_type="TargetTrackingScaling", estimated_instance_warmup=WARMUP.to_seconds(),
               target_tracking_configuration=policy.TargetTrackingConfigurationProperty(
                   target_value=TARGET, disable_scale_in=True,
                   customized_metric_specification=policy.CustomizedMetricSpecificationProperty(metrics=[
                       stat("waiting", "AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue_name),
                       stat("running", "AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "QueueName", queue_name),
                       stat("wanted", "AWS/AutoScaling", "GroupDesiredCapacity", "AutoScalingGroupName", name),
                       query(id="each", label="messages for each instance that is wanted", return_data=True,
                             expression="(waiting + running) / IF(wanted < 1, 1, wanted)")])))
