"""How much a lab stores on its account, as AWS last counted it: the table every six hours, the bucket every day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lab.aws.errors import plain_errors
from lab.aws.names import Names

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

GB = 1e9
LOOK_BACK = timedelta(days=3)


def table_gb(client: DynamoDBClient, names: Names) -> float:
    """Raises Unavailable."""
    with plain_errors(f"DynamoDB table {names.table}"):
        return client.describe_table(TableName=names.table)["Table"].get("TableSizeBytes", 0) / GB


def bucket_gb(cloudwatch: Any, names: Names) -> float:
    """Versions that are hidden and not yet gone count as well. Nothing where S3 has not counted yet. Raises
    Unavailable."""
    now = datetime.now(UTC)
    with plain_errors(f"the size of S3 bucket {names.bucket}"):
        told = cloudwatch.get_metric_statistics(
            Namespace="AWS/S3", MetricName="BucketSizeBytes", StartTime=now - LOOK_BACK, EndTime=now, Period=86400,
            Statistics=["Average"], Dimensions=[{"Name": "BucketName", "Value": names.bucket},
                                                {"Name": "StorageType", "Value": "StandardStorage"}])["Datapoints"]
    newest = max(told, key=lambda point: point["Timestamp"], default=None)
    return newest["Average"] / GB if newest is not None else 0.0
