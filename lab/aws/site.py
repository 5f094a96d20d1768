"""The web page of a lab on an account: one object, which the content network fetches from a private bucket."""

from __future__ import annotations

from lab.aws import clients
from lab.aws.errors import plain_errors
from lab.aws.names import Names

PAGE = "index.html"
FRESH_S = 60  # for how long a reader may be shown the page before


def publish(names: Names, html: bytes) -> None:
    """Readers see the old page or the new one, never a half. Raises Unavailable."""
    with plain_errors(f"S3 bucket {names.site}"):
        clients.s3(region_name=names.region).put_object(
            Bucket=names.site, Key=PAGE, Body=html, ContentType="text/html; charset=utf-8",
            CacheControl=f"max-age={FRESH_S}")
