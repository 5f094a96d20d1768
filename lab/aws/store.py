"""The store on S3: `objects/ab/cdef…` by SHA-256 and `pointers/NAME`; fetched files are kept on this machine as well.

Promised: bytes are checked against their hash on every read, also those kept here; an object is there whole or not at
all; of many who move a pointer from one place, one wins. Ages are told by S3's own clock.

`retire` beside a `put`: on a bucket with versions (as deployed) a removal only hides the object. So it is hidden first
and judged again then, and whoever stored it in between has left a newer version and sees it shown again; for that
moment readers may miss it. On a bucket without versions that `put` would be lost, and no condition of S3 prevents it:
the same bytes have the same ETag. What is hidden is paid for until the bucket's lifecycle takes it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from lab.aws.cache import Cache
from lab.aws.errors import code_of, plain_errors
from lab.canonical import sha256
from lab.errors import Conflict, Damaged
from lab.files import SystemFiles
from lab.stored import missing, object_name, pointer_name

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OBJECTS = "objects/"
SINGLE_BYTES = 16 << 20  # in one request, whose SHA-256 S3 checks; larger files go in parts with sums of their own
COPY_BYTES = 5 << 30  # S3 copies no more in one request
TRANSFER = TransferConfig(multipart_threshold=SINGLE_BYTES, multipart_chunksize=SINGLE_BYTES, max_concurrency=4)
COPYING = TransferConfig(multipart_threshold=COPY_BYTES, multipart_chunksize=COPY_BYTES // 16, max_concurrency=4)
ABSENT = frozenset({"404", "NoSuchKey"})
MOVED = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict", *ABSENT})


class S3Store:
    """Implements `lab.backend.Store` in `bucket`. May be shared by threads."""

    def __init__(self, client: S3Client, bucket: str, cache: Cache) -> None:
        self._client, self._bucket, self._cache = client, bucket, cache
        self._files = SystemFiles()
        self._what = f"S3 bucket {bucket}"

    def put(self, path: Path) -> str:
        """Sent from a copy of our own: what is stored is what was hashed, whoever writes to `path` meanwhile."""
        hash = self._files.digest(path)
        if self._renewed(hash, path.stat().st_size):
            return hash
        with self._cache.aside() as copy:
            hash = self._files.copy(path, copy)
            if copy.stat().st_size <= SINGLE_BYTES:
                self._send(hash, copy.read_bytes())
            else:
                with plain_errors(self._what):
                    self._client.upload_file(str(copy), self._bucket, object_name(hash), Config=TRANSFER)
            self._cache.keep(hash, copy)
        return hash

    def put_bytes(self, data: bytes) -> str:
        hash = sha256(data)
        if not self._renewed(hash, len(data)):
            self._send(hash, data)
        return hash

    def fetch(self, hash: str) -> Path:
        name = object_name(hash)
        if (kept := self._cache.found(hash)) is not None:
            return kept
        with self._cache.aside() as path:
            try:
                with self._unless(ABSENT):
                    self._client.download_file(self._bucket, name, str(path), Config=TRANSFER)
            except Unmet:
                raise missing(hash) from None
            if self._files.digest(path) != hash:
                raise Damaged(f"{self._what}: {name} does not match its hash; remove it and add it again")
            return self._cache.keep(hash, path)

    def read(self, hash: str) -> bytes:
        return self._files.read(self.fetch(hash))

    def has(self, hash: str) -> bool:
        try:
            with self._unless(ABSENT):
                self._client.head_object(Bucket=self._bucket, Key=object_name(hash))
        except Unmet:
            return False
        return True

    def pointer(self, name: str) -> str | None:
        return self._pointed(name)[0]

    def swap(self, name: str, expected: str | None, new: str) -> None:
        pointed, etag = self._pointed(name)
        if pointed != expected:
            raise _moved(name)
        try:
            with self._unless(MOVED):
                if etag is None:
                    self._client.put_object(Bucket=self._bucket, Key=pointer_name(name), Body=new.encode(),
                                            IfNoneMatch="*")
                else:
                    self._client.put_object(Bucket=self._bucket, Key=pointer_name(name), Body=new.encode(),
                                            IfMatch=etag)
        except Unmet as unmet:  # by our own first try, if its reply was lost
            if not unmet.retried or self.pointer(name) != new:
                raise _moved(name) from None

    def hashes(self) -> Iterable[tuple[str, int, float]]:
        with plain_errors(self._what):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=OBJECTS):
                for one in page.get("Contents", ()):
                    hash = one["Key"].removeprefix(OBJECTS).replace("/", "")
                    yield hash, one["Size"], one["LastModified"].timestamp()

    def remove(self, hash: str) -> None:
        with plain_errors(self._what):
            self._client.delete_object(Bucket=self._bucket, Key=object_name(hash))
        self._cache.forget(hash)

    def retire(self, hash: str, before: float) -> bool:
        name = object_name(hash)
        try:
            with self._unless(ABSENT):
                judged = self._client.head_object(Bucket=self._bucket, Key=name)
        except Unmet:
            return False
        if judged["LastModified"].timestamp() > before:
            return False
        with plain_errors(self._what):
            hidden = self._client.delete_object(Bucket=self._bucket, Key=name)
            if hidden.get("DeleteMarker") and self._shown_again(name, judged.get("VersionId")):
                return False
        self._cache.forget(hash)
        return True

    # ------------------------------------------------------------------ requests

    def _renewed(self, hash: str, size: int) -> bool:
        """Make it as young as one that is stored now, by a copy onto itself, the one way to that; whether it was there.
        """
        name = object_name(hash)
        try:
            with self._unless(ABSENT):
                if size > COPY_BYTES:
                    self._client.copy({"Bucket": self._bucket, "Key": name}, self._bucket, name, Config=COPYING)
                else:
                    self._client.copy_object(Bucket=self._bucket, Key=name, MetadataDirective="REPLACE",
                                             CopySource={"Bucket": self._bucket, "Key": name})
        except Unmet:
            return False
        return True

    def _send(self, hash: str, data: bytes) -> None:
        with plain_errors(self._what):
            self._client.put_object(Bucket=self._bucket, Key=object_name(hash), Body=data,
                                    ChecksumSHA256=b64encode(bytes.fromhex(hash)).decode())

    def _pointed(self, name: str) -> tuple[str | None, str | None]:
        """Where it points, and the ETag of that; None where there is none."""
        try:
            with self._unless(ABSENT):
                found = self._client.get_object(Bucket=self._bucket, Key=pointer_name(name))
                return found["Body"].read().decode(), found["ETag"]
        except Unmet:
            return None, None

    def _shown_again(self, name: str, judged: str | None) -> bool:
        """If a version newer than the one judged is there: what hides it goes, and a lost reply may have left two."""
        found = self._client.list_object_versions(Bucket=self._bucket, Prefix=name)
        if found["Versions"][0]["VersionId"] == judged:  # the newest stands first
            return False
        for marker in found.get("DeleteMarkers", ()):
            self._client.delete_object(Bucket=self._bucket, Key=name, VersionId=marker["VersionId"])
        return True

    @contextmanager
    def _unless(self, codes: frozenset[str]) -> Iterator[None]:
        """Raises Unmet where S3 answers with one of the codes."""
        with plain_errors(self._what):
            try:
                yield
            except ClientError as error:
                if code_of(error) not in codes:
                    raise
                raise Unmet(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) > 0) from error


class Unmet(Exception):
    """An answer that the caller expects; `retried`: an earlier try may have been carried out."""

    def __init__(self, retried: bool) -> None:
        super().__init__()
        self.retried = retried


def _moved(name: str) -> Conflict:
    return Conflict(f"pointer {name} was moved by another writer")
