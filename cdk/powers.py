"""What each role may do: the requests that the code sends, on the resources of this lab alone.

Records, tables and buckets are nobody's to delete, and objects only a worker's, which retires its checkpoints; all else
goes by a person's own hand (`aether gc`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from aws_cdk import Aws, aws_iam

from lab.aws.names import Names
from lab.experiment import JOB_CLASSES

PREFIXES = ("objects", "pointers", "bodies")  # of the store's bucket: all that the backend reads and writes

FLEET_TAG = "aether:fleet"  # of the instances that the guard may end
GEOGRAPHIES = ("us", "us-gov", "eu", "apac", "jp", "au", "ca", "global")  # with which an inference profile's id begins
TOOLS = "ec2imagebuilder*"  # the buckets from which AWS brings what runs a build
PAGE = "index.html"  # as `lab.aws.site`, which needs boto3; a test holds the two equal

# Why a resource ends in a star, by its service: what cdk-nag asks to be told.
WILD = {
    "s3": "Objects are named by their hash, so none can be named beforehand; the prefix is the narrowest there is.",
    "logs": "Streams are named by instance, and the instance makes its own; the log group is named whole.",
    "autoscaling": "AWS puts a random id into a group's ARN before its name; the name is whole.",
    "ec2": "Instances have no names; the condition on the tag of the lab's fleets is what bounds it.",
    "bedrock": "An inference profile sends a request to a region of its own choice; the model is whole, and the "
               "condition lets it be asked through that profile alone.",
    "imagebuilder": "AWS numbers the builds of a component; its name is whole.",
    "*": "Requests that take no resource: Systems Manager's, which concern the instance that calls or AWS's own "
         "documents, and those of the guard and of the orchestrator that only look: at instances, prices, the bill.",
}
TOLD = {TOOLS: "AWS's own buckets, one a region and tool; nothing of the account is in them."}  # of single resources


def of_ledger(names: Names) -> list[aws_iam.PolicyStatement]:
    table = _arn("dynamodb", f"table/{names.table}")
    return [_may(["dynamodb:BatchGetItem", "dynamodb:ConditionCheckItem", "dynamodb:DescribeTable", "dynamodb:GetItem",
                  "dynamodb:PutItem", "dynamodb:Query"], [table]),
            _may(["dynamodb:Query"], [f"{table}/index/by_tag"])]


def of_store(names: Names) -> list[aws_iam.PolicyStatement]:
    """Without the right to list, S3 answers 403 for what is not there, and the store could not tell."""
    bucket = f"arn:{Aws.PARTITION}:s3:::{names.bucket}"
    return [_may(["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"],
                 [f"{bucket}/{one}/*" for one in PREFIXES]),
            _may(["s3:ListBucket"], [bucket])]


def to_retire(names: Names) -> list[aws_iam.PolicyStatement]:
    """A checkpoint that was succeeded is hidden, and shown again if it was stored anew meanwhile; objects alone."""
    bucket = f"arn:{Aws.PARTITION}:s3:::{names.bucket}"
    return [_may(["s3:DeleteObject", "s3:DeleteObjectVersion"], [f"{bucket}/objects/*"]),
            _may(["s3:ListBucketVersions"], [bucket])]


def to_send(names: Names, job_classes: Sequence[str]) -> list[aws_iam.PolicyStatement]:
    return [_may(["sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:SendMessage"], _queues(names, job_classes))]


def to_price() -> list[aws_iam.PolicyStatement]:
    """What machines cost, which of them run, how much is stored, and what was billed; these requests take no
    resource."""
    return [_may(["ce:GetCostAndUsage", "cloudwatch:GetMetricStatistics", "ec2:DescribeInstances",
                  "ec2:DescribeSpotPriceHistory", "ec2:DescribeVolumes"], ["*"])]


def to_ask(secret: str, models: Sequence[str]) -> list[aws_iam.PolicyStatement]:
    """What a designer that asks a model needs: the value of one secret, by its name, and these models. Nothing where
    neither is named."""
    read = [_may(["secretsmanager:GetSecretValue"], [_arn("secretsmanager", f"secret:{secret}-??????")])]
    return [*(read if secret else ()), *(statement for one in models for statement in _to_invoke(one))]


def _to_invoke(model: str) -> list[aws_iam.PolicyStatement]:
    """Through an inference profile its model is asked in any region, and not without the profile."""
    ask, at = ["bedrock:InvokeModel"], f"arn:{Aws.PARTITION}:bedrock"
    geography, _, routed = model.partition(".")
    if geography not in GEOGRAPHIES:
        return [_may(ask, [f"{at}:{Aws.REGION}::foundation-model/{model}"])]
    profile = _arn("bedrock", f"inference-profile/{model}")
    return [_may(ask, [profile]),
            aws_iam.PolicyStatement(actions=ask, resources=[f"{at}:*::foundation-model/{routed}"],
                                    conditions={"StringEquals": {"bedrock:InferenceProfileArn": profile}})]


def to_receive(names: Names, job_class: str) -> list[aws_iam.PolicyStatement]:
    """`sqs:SendMessage` is how a worker gives a message back that is not to be counted against the work."""
    return [_may(["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl",
                  "sqs:ReceiveMessage", "sqs:SendMessage"], _queues(names, [job_class]))]


def to_report(names: Names) -> list[aws_iam.PolicyStatement]:
    return [_may(["sns:Publish"], [_arn("sns", names.topic)])]


def to_leave(group: str) -> list[aws_iam.PolicyStatement]:
    """An instance gives itself back, in its own group only; the group's size is nobody's to set."""
    return [_may(["autoscaling:TerminateInstanceInAutoScalingGroup"],
                 [_arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{group}")])]


def to_show(names: Names) -> list[aws_iam.PolicyStatement]:
    """The page, and nothing else of the site."""
    return [_may(["s3:PutObject"], [f"arn:{Aws.PARTITION}:s3:::{names.site}/{PAGE}"])]


def to_stop(names: Names) -> list[aws_iam.PolicyStatement]:
    """The fleets down to none and back; their instances go one by one, since none is unprotected."""
    by_fleet = {"StringEquals": {f"aws:ResourceTag/{FLEET_TAG}": names.prefix}}
    return [_may(["autoscaling:DescribeAutoScalingGroups", "ec2:DescribeInstances"], ["*"]),
            _may(["autoscaling:TerminateInstanceInAutoScalingGroup", "autoscaling:UpdateAutoScalingGroup"],
                 _groups(names)),
            aws_iam.PolicyStatement(actions=["ec2:TerminateInstances"], resources=[_arn("ec2", "instance/*")],
                                    conditions=by_fleet)]


def to_let_go(names: Names) -> list[aws_iam.PolicyStatement]:
    """Work is offered again, and a machine that its group ends may go at once."""
    return [_may(["sqs:GetQueueUrl", "sqs:SendMessage"], _queues(names, JOB_CLASSES)),
            _may(["autoscaling:CompleteLifecycleAction"], _groups(names))]


def to_be_baked(log_group: str, component: str) -> list[aws_iam.PolicyStatement]:
    """Beside what Session Manager needs: as AWS's own policies for its agent and for Image Builder have it, without
    the account's parameters and what only other builds need."""
    return [_may(["ec2messages:AcknowledgeMessage", "ec2messages:DeleteMessage", "ec2messages:FailMessage",
                  "ec2messages:GetEndpoint", "ec2messages:GetMessages", "ec2messages:SendReply",
                  "ssm:DescribeAssociation", "ssm:DescribeDocument", "ssm:GetDeployablePatchSnapshotForInstance",
                  "ssm:GetDocument", "ssm:GetManifest", "ssm:ListAssociations", "ssm:ListInstanceAssociations",
                  "ssm:PutComplianceItems", "ssm:PutConfigurePackageResult", "ssm:PutInventory",
                  "ssm:UpdateAssociationStatus", "ssm:UpdateInstanceAssociationStatus"], ["*"]),
            _may(["imagebuilder:GetComponent"], [_arn("imagebuilder", f"component/{component}/*")]),
            _may(["s3:GetObject"], [f"arn:{Aws.PARTITION}:s3:::{TOOLS}"]),
            _may(["logs:CreateLogGroup"], [_arn("logs", f"log-group:{log_group}")])]


def to_call(functions: Sequence[str]) -> list[aws_iam.PolicyStatement]:
    return [_may(["lambda:InvokeFunction"], list(functions))]


def to_log(log_group: str) -> list[aws_iam.PolicyStatement]:
    """A stream is made in a group, and written by its own name."""
    group = _arn("logs", f"log-group:{log_group}")
    return [_may(["logs:CreateLogStream", "logs:PutLogEvents"], [group, f"{group}:*"])]


def to_be_reached() -> list[aws_iam.PolicyStatement]:
    """Session Manager's shell, which the instance opens from inside; these requests take no resource."""
    return [_may(["ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel",
                  "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel",
                  "ssmmessages:OpenDataChannel"], ["*"])]


def to_fetch(bucket: str, key: str) -> list[aws_iam.PolicyStatement]:
    return [_may(["s3:GetObject"], [f"arn:{Aws.PARTITION}:s3:::{bucket}/{key}"])]


def _queues(names: Names, job_classes: Sequence[str]) -> list[str]:
    return [_arn("sqs", names.queue(one)) for one in job_classes]


def _groups(names: Names) -> list[str]:
    return [_arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{names.prefix}-{one}") for one in JOB_CLASSES]


def _arn(service: str, resource: str) -> str:
    return f"arn:{Aws.PARTITION}:{service}:{Aws.REGION}:{Aws.ACCOUNT_ID}:{resource}"


def _may(actions: list[str], resources: list[str]) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(actions=actions, resources=resources)


def wild(statements: Iterable[aws_iam.PolicyStatement]) -> dict[str, str]:
    """The findings IAM5 of these statements, as cdk-nag spells them, with the reason of each."""
    found = [resource for statement in statements for resource in statement.resources if "*" in resource]
    return {f"IAM5[Resource::{_shown(one)}]": _why(one) for one in found}


def _why(resource: str) -> str:
    name = resource.split(":")[-1]
    return TOLD[name] if name in TOLD else WILD[resource.split(":")[2] if ":" in resource else resource]


def _shown(arn: str) -> str:
    return re.sub(r"\$\{Token\[AWS[.:]+(\w+)[^\]]*\]\}", r"<AWS::\1>", arn)
