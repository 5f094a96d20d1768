"""What the orchestrator and the workers share: an Ubuntu that boots into one systemd service, and a role of its own.

No open port (a shell comes through Session Manager), IMDSv2 alone with a hop limit of 1, encrypted volumes, logs kept
for a month, and the project's own code as an asset of a few MB, so that no image has to be built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aws_cdk import Aws, IgnoreMode, RemovalPolicy, aws_autoscaling, aws_ec2, aws_iam, aws_logs, aws_s3_assets
from constructs import Construct

from cdk import powers
from cdk.boot import user_data
from cdk.findings import acknowledge
from lab.aws.names import Names

ROOT = Path(__file__).resolve().parents[1]
# The README is not in it: no machine needs one, and each word in it would replace the orchestrator.
CODE = ("aether_kit", "agents", "cli", "gpu_workers", "lab", "orchestrator", "requirements",
        "LICENSE", "NOTICE", "pyproject.toml")
UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/{}/hvm/ebs-gp3/ami-id"
DEEP_LEARNING = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
# Of each job class: the locked set, the image, and the disk.
SET = {"cpu": "core", "gpu": "learned"}
IMAGE = {"cpu": UBUNTU.format("amd64"), "gpu": DEEP_LEARNING}
VOLUME_GIB = {"cpu": 40, "gpu": 150}


@dataclass(frozen=True)
class Kind:
    """`command` is what `aether` is asked to do; `set` the requirements that it needs; `image` a parameter that
    names it; `told` a line NAME=value of its environment, whose value needs no quotes."""

    role: str
    command: str
    set: str
    image: str
    volume_gib: int
    restart: str
    told: str = ""


def code_of(scope: Construct) -> aws_s3_assets.Asset:
    return aws_s3_assets.Asset(scope, "Code", path=str(ROOT), ignore_mode=IgnoreMode.GIT,
                               exclude=["/*", *(f"!/{one}" for one in CODE), "__pycache__", "*.pyc"])


class Machine(Construct):
    def __init__(self, scope: Construct, id: str, kind: Kind, names: Names, closed: aws_ec2.ISecurityGroup,
                 own: Sequence[aws_iam.PolicyStatement]) -> None:
        super().__init__(scope, id)
        self.group_name = names.group(kind.role)
        log_group = f"/aether/{names.prefix}/{kind.role}"
        code = code_of(self)
        aws_logs.LogGroup(self, "Logs", log_group_name=log_group, retention=aws_logs.RetentionDays.ONE_MONTH,
                          removal_policy=RemovalPolicy.DESTROY)
        self.role = aws_iam.Role(self, "Role", assumed_by=aws_iam.ServicePrincipal("ec2.amazonaws.com"),
                                 role_name=f"{names.prefix}-{kind.role}-{names.region}")
        statements = (*own, *powers.of_ledger(names), *powers.of_store(names), *powers.to_report(names),
                      *powers.to_log(log_group), *powers.to_be_reached(),
                      *powers.to_fetch(code.s3_bucket_name, code.s3_object_key))
        for statement in statements:
            self.role.add_to_policy(statement)
        acknowledge(self.role, powers.wild(statements))
        data = user_data({
            "LAB": names.prefix, "ROLE": kind.role, "COMMAND": kind.command, "SET": kind.set, "TOLD": kind.told,
            "RESTART": kind.restart, "REGION": Aws.REGION, "LOG_GROUP": log_group,
            "TOPIC": f"arn:{Aws.PARTITION}:sns:{Aws.REGION}:{Aws.ACCOUNT_ID}:{names.topic}",
            "CODE_BUCKET": code.s3_bucket_name, "CODE_KEY": code.s3_object_key})
        self.template = aws_ec2.LaunchTemplate(
            self, "Template", launch_template_name=self.group_name, role=self.role, security_group=closed,
            machine_image=aws_ec2.MachineImage.from_ssm_parameter(kind.image), user_data=aws_ec2.UserData.custom(data),
            require_imdsv2=True, http_put_response_hop_limit=1, instance_metadata_tags=True,  # the tag that keeps it
            associate_public_ip_address=True,
            instance_initiated_shutdown_behavior=aws_ec2.InstanceInitiatedShutdownBehavior.TERMINATE,
            block_devices=[aws_ec2.BlockDevice(device_name="/dev/sda1", volume=aws_ec2.BlockDeviceVolume.ebs(
                kind.volume_gib, encrypted=True, volume_type=aws_ec2.EbsDeviceVolumeType.GP3))])

    def runs(self, group: aws_autoscaling.AutoScalingGroup) -> None:
        """No instance may start before its role can do all that it will do."""
        group.node.add_dependency(self.role)
        acknowledge(group, {
            "AS3": "The topic goes to a person's mail: failed boots are told there, and instances that come and go by "
                   "plan are not.",
            "EC26": "The volume is in the launch template, encrypted; the rule looks for it in the group."})
