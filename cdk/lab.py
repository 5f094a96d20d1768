"""The laboratory itself: a queue for each job class beside its dead-letter queue, the topic, and the orchestrator.

The orchestrator is one small instance in a group of one, which replaces it when it dies. Its state is in the ledger, so
a new one carries on where the old one stopped.
"""

from __future__ import annotations

from aws_cdk import (
    CfnOutput,
    Duration,
    Stack,
    aws_autoscaling,
    aws_ec2,
    aws_sns,
    aws_sns_subscriptions,
    aws_sqs,
)
from constructs import Construct

from cdk import powers
from cdk.budget import add_budget, let_publish
from cdk.machine import UBUNTU, Kind, Machine
from cdk.network import Network
from cdk.settings import Settings
from lab.aws.names import Names
from lab.aws.rentable import ORCHESTRATOR, ORCHESTRATOR_DISK_GIB
from lab.experiment import JOB_CLASSES

RECEIVED_AT_MOST = 20  # a spot notice sends a fresh message, so only hints that nobody can take come to this


class Lab(Stack):
    def __init__(self, scope: Construct, id: str, settings: Settings, names: Names, network: Network) -> None:
        super().__init__(scope, id, description="Aether: queues, topic and orchestrator")
        self.dead = {one: _dead(self, names, one) for one in JOB_CLASSES}
        self.queues = {one: _queue(self, names, one, self.dead[one]) for one in JOB_CLASSES}
        self.topic = aws_sns.Topic(self, "Reports", topic_name=names.topic, enforce_ssl=True)
        self.topic.add_subscription(aws_sns_subscriptions.EmailSubscription(settings.email))
        let_publish(self.topic, "cloudwatch")
        self.bill = add_budget(self, settings)
        group = _orchestrator(self, settings, names, network)
        CfnOutput(self, "Topic", value=self.topic.topic_arn)
        for one, queue in self.queues.items():
            CfnOutput(self, f"Queue{one.title()}", value=queue.queue_url)
        CfnOutput(self, "Shell", value=(
            f"aws ssm start-session --target $(aws autoscaling describe-auto-scaling-groups --auto-scaling-group-names "
            f"{group} --query 'AutoScalingGroups[0].Instances[0].InstanceId' --output text)"))


def _dead(scope: Construct, names: Names, job_class: str) -> aws_sqs.Queue:
    """A message that its function could not deal with comes again only after that function has surely ended."""
    return aws_sqs.Queue(
        scope, f"Dead{job_class.title()}", queue_name=names.dead_queue(job_class), enforce_ssl=True,
        encryption=aws_sqs.QueueEncryption.SQS_MANAGED, retention_period=Duration.days(14),
        visibility_timeout=Duration.minutes(10))


def _queue(scope: Construct, names: Names, job_class: str, dead: aws_sqs.Queue) -> aws_sqs.Queue:
    return aws_sqs.Queue(
        scope, f"Work{job_class.title()}", queue_name=names.queue(job_class), enforce_ssl=True,
        encryption=aws_sqs.QueueEncryption.SQS_MANAGED, retention_period=Duration.days(14),
        visibility_timeout=Duration.minutes(2),  # each receive sets its own, a lease
        dead_letter_queue=aws_sqs.DeadLetterQueue(queue=dead, max_receive_count=RECEIVED_AT_MOST))


def _orchestrator(scope: Construct, settings: Settings, names: Names, network: Network) -> str:
    """It keeps work for as many workers as the fleets may have instances, and none for a fleet that may have none."""
    fleets = " ".join(f"--fleet {one}={settings.maximum(one)}" for one in JOB_CLASSES)
    machine = Machine(scope, "Orchestrator", Kind(
        role="orchestrator", set="core",
        command=f"orchestrate --backend aws:{names.prefix} --wait --standing {fleets}",
        image=UBUNTU.format("arm64"), volume_gib=ORCHESTRATOR_DISK_GIB, restart="always",
        told=f"AETHER_LLM_SECRET={settings.llm_secret}" if settings.llm_secret else ""),
        names, network.closed, [*powers.to_send(names, JOB_CLASSES), *powers.to_price(),
                                *powers.to_ask(settings.llm_secret, settings.bedrock_models)])
    group = aws_autoscaling.AutoScalingGroup(
        machine, "Group", auto_scaling_group_name=machine.group_name, vpc=network.vpc, min_capacity=1, max_capacity=1,
        vpc_subnets=aws_ec2.SubnetSelection(subnet_type=aws_ec2.SubnetType.PUBLIC),
        mixed_instances_policy=aws_autoscaling.MixedInstancesPolicy(
            launch_template=machine.template,
            launch_template_overrides=[aws_autoscaling.LaunchTemplateOverrides(
                instance_type=aws_ec2.InstanceType(ORCHESTRATOR))],
            instances_distribution=aws_autoscaling.InstancesDistribution(
                on_demand_percentage_above_base_capacity=100)),
        update_policy=aws_autoscaling.UpdatePolicy.rolling_update(max_batch_size=1, min_instances_in_service=0))
    machine.runs(group)
    return machine.group_name
