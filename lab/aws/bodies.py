"""Bodies of ledger records that no DynamoDB item can hold: `bodies/HASH` in the lab's bucket, written before the item.

They are never removed: a record's history needs them as long as the ledger stands. A commit that fails after its body
was written leaves one that nothing names.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

from lab.aws.errors import plain_errors
from lab.canonical import sha256

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3Bodies:
    """Implements `lab.aws.table.Elsewhere`. What is read is checked by the record's own digest."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client, self._bucket = client, bucket
        self._what = f"S3 bucket {bucket}"

    def put(self, body: bytes) -> str:
        hash = sha256(body)
        with plain_errors(self._what):
            self._client.put_object(Bucket=self._bucket, Key=f"bodies/{hash}", Body=body,
                                    ChecksumSHA256=b64encode(bytes.fromhex(hash)).decode())
        return hash

    def get(self, hash: str) -> bytes:
        with plain_errors(self._what):
            return self._client.get_object(Bucket=self._bucket, Key=f"bodies/{hash}")["Body"].read()
