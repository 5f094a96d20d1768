"""Clients whose waits are bounded and whose retries are botocore's own, with back-off and jitter: two tries or four.

What a heartbeat waits for (the ledger has a client of its own, `lab.aws.table.connect`) must end within the grace in
which a worker stops itself; what carries files or waits for messages may take longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from lab.aws.errors import plain_errors

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sts import STSClient

LISTEN_S = 20.0  # SQS lets nobody wait longer for a message
PROMPT = Config(connect_timeout=1.0, read_timeout=2.0, retries={"mode": "standard", "total_max_attempts": 2})
PATIENT = Config(connect_timeout=5.0, read_timeout=LISTEN_S + 10.0, max_pool_connections=16,
                 retries={"mode": "standard", "total_max_attempts": 4})


def s3(**where: Any) -> S3Client:
    with plain_errors("S3"):
        return boto3.client("s3", config=PATIENT, **where)


def sqs(**where: Any) -> SQSClient:
    """For all but waiting: a heartbeat extends its message with it."""
    with plain_errors("SQS"):
        return boto3.client("sqs", config=PROMPT, **where)


def listening_sqs(**where: Any) -> SQSClient:
    with plain_errors("SQS"):
        return boto3.client("sqs", config=PATIENT, **where)


def sns(**where: Any) -> SNSClient:
    with plain_errors("SNS"):
        return boto3.client("sns", config=PATIENT, **where)


def sts(**where: Any) -> STSClient:
    with plain_errors("STS"):
        return boto3.client("sts", config=PATIENT, **where)


def autoscaling(**where: Any) -> AutoScalingClient:
    with plain_errors("Auto Scaling"):
        return boto3.client("autoscaling", config=PATIENT, **where)


def ec2(**where: Any) -> EC2Client:
    with plain_errors("EC2"):
        return boto3.client("ec2", config=PATIENT, **where)


def cloudformation(**where: Any) -> Any:
    with plain_errors("CloudFormation"):
        return boto3.client("cloudformation", config=PATIENT, **where)


def quotas(**where: Any) -> Any:
    with plain_errors("Service Quotas"):
        return boto3.client("service-quotas", config=PATIENT, **where)


def cloudwatch(**where: Any) -> Any:
    with plain_errors("CloudWatch"):
        return boto3.client("cloudwatch", config=PATIENT, **where)


def cost_explorer(**where: Any) -> Any:
    with plain_errors("Cost Explorer"):
        return boto3.client("ce", config=PATIENT, **where)
