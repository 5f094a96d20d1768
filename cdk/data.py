"""What must outlive a deploy: the store's bucket and the ledger's table.

Their names follow from the prefix and their logical ids are pinned, so no refactoring replaces them. `cdk destroy`
leaves both, unless the lab is disposable; a later deploy takes them in again with `cdk import`.
"""

from __future__ import annotations

from aws_cdk import CfnOutput, CfnResource, Duration, RemovalPolicy, Stack, aws_dynamodb, aws_s3
from constructs import Construct

from cdk.findings import acknowledge
from cdk.settings import Settings
from lab.aws.names import Names

# For which S3 keeps what was removed or stored again, paid like all that is stored: a training that goes on without a
# pause leaves gigabytes of succeeded checkpoints a day. Two are enough to notice a removal that was a mistake.
REMOVED_DAYS = 2


class Data(Stack):
    def __init__(self, scope: Construct, id: str, settings: Settings, names: Names) -> None:
        super().__init__(scope, id, description="Aether: the ledger's table and the store's bucket")
        keep = RemovalPolicy.DESTROY if settings.disposable else RemovalPolicy.RETAIN
        self.bucket = _bucket(self, names, keep)
        self.table = _table(self, names, keep)
        CfnOutput(self, "Bucket", value=self.bucket.bucket_name)
        CfnOutput(self, "Table", value=self.table.table_name)


def _bucket(scope: Construct, names: Names, keep: RemovalPolicy) -> aws_s3.Bucket:
    bucket = aws_s3.Bucket(
        scope, "Store", bucket_name=names.bucket, removal_policy=keep,
        auto_delete_objects=keep is RemovalPolicy.DESTROY, versioned=True, enforce_ssl=True, minimum_tls_version=1.2,
        encryption=aws_s3.BucketEncryption.S3_MANAGED, block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        lifecycle_rules=[aws_s3.LifecycleRule(
            id="what-was-removed", noncurrent_version_expiration=Duration.days(REMOVED_DAYS),
            expired_object_delete_marker=True, abort_incomplete_multipart_upload_after=Duration.days(2))])
    _pin(bucket, "Store")
    acknowledge(bucket, {
        "S1": "Who stored what stands in the ledger, objects are checked by their hash on every read, and removed ones "
              f"can be had back for {REMOVED_DAYS} days; access logs would be a second bucket to keep."})
    return bucket


def _table(scope: Construct, names: Names, keep: RemovalPolicy) -> aws_dynamodb.Table:
    """As `lab.aws.table.TABLE_SCHEMA` has it; a test holds the two equal, since that module needs boto3."""
    table = aws_dynamodb.Table(
        scope, "Ledger", table_name=names.table, removal_policy=keep,
        deletion_protection=keep is RemovalPolicy.RETAIN, billing_mode=aws_dynamodb.BillingMode.PAY_PER_REQUEST,
        partition_key=_text("pk"), sort_key=_text("sk"), encryption=aws_dynamodb.TableEncryption.DEFAULT,
        point_in_time_recovery_specification=aws_dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True))
    table.add_global_secondary_index(index_name="by_tag", partition_key=_text("tagged"), sort_key=_text("sk"),
                                     projection_type=aws_dynamodb.ProjectionType.KEYS_ONLY)
    _pin(table, "Ledger")
    return table


def _text(name: str) -> aws_dynamodb.Attribute:
    return aws_dynamodb.Attribute(name=name, type=aws_dynamodb.AttributeType.STRING)


def _pin(construct: Construct, logical_id: str) -> None:
    child = construct.node.default_child
    assert isinstance(child, CfnResource)
    child.override_logical_id(logical_id)
