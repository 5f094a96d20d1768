"""The page of a lab is one object that browsers take as a page, and a missing bucket is one line with the fix."""

from __future__ import annotations

import pytest

from lab.aws.site import publish
from lab.errors import Unavailable
from support.account import Account


def test_a_page_is_published_as_a_page_and_replaced_as_a_whole(signed_in: Account) -> None:
    names = signed_in.new_names()
    s3 = signed_in.client("s3")
    s3.create_bucket(Bucket=names.site)
    publish(names, b"<!doctype html>the page before, which was longer")
    publish(names, b"<!doctype html>now")
    shown = s3.get_object(Bucket=names.site, Key="index.html")
    assert shown["Body"].read() == b"<!doctype html>now"
    assert (shown["ContentType"], shown["CacheControl"]) == ("text/html; charset=utf-8", "max-age=60")


def test_without_its_bucket_the_fault_is_one_line(signed_in: Account) -> None:
    names = signed_in.new_names()
    with pytest.raises(Unavailable, match=rf"S3 bucket {names.site}: NoSuchBucket: .*deploy it"):
        publish(names, b"page")
