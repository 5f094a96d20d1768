"""Where no emulator goes: throttling, refusals, replies lost after the deed, and a put beside a removal.

The clients are botocore's own, with their answers stubbed or one of their calls made to fail once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.stub import Stubber

from lab.aws import clients
from lab.aws.cache import Cache
from lab.aws.mailbox import MESSAGE_BYTES, SnsMailbox, subject
from lab.aws.names import Names
from lab.aws.queue import SqsQueue
from lab.aws.store import S3Store
from lab.backend import Message
from lab.control import Report
from lab.errors import Conflict, NotFound, Unavailable
from support.account import Account

WHERE: dict[str, Any] = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
DATA = b"weights"
HASH = hashlib.sha256(DATA).hexdigest()
HELD = Message("m1", "e1", "receipt", 1)


def stubbed_queue() -> tuple[SqsQueue, Stubber]:
    client = clients.sqs(**WHERE)
    answers = Stubber(client)
    answers.add_response("get_queue_url", {"QueueUrl": "https://sqs.us-east-1.amazonaws.com/0/lab-cpu"})
    answers.activate()
    return SqsQueue(client, client, "lab-cpu"), answers


def stubbed_store(folder: Path) -> tuple[S3Store, Stubber]:
    client = clients.s3(**WHERE)
    answers = Stubber(client)
    answers.activate()
    return S3Store(client, "lab-store", Cache(folder)), answers


@pytest.mark.parametrize("code", ["AWS.SimpleQueueService.MessageNotInflight", "InvalidParameterValue",
                                  "ReceiptHandleIsInvalid"])
@pytest.mark.parametrize(("call", "method"), [
    ("change_message_visibility", lambda queue: queue.extend(HELD, 60)),
    ("delete_message", lambda queue: queue.done(HELD))])
def test_a_delivery_that_is_over_is_no_error(code: str, call: str, method: Callable[[SqsQueue], None]) -> None:
    """SQS says so after 12 hours, after another delivery, and after the message was deleted."""
    queue, answers = stubbed_queue()
    answers.add_client_error(call, code, "not now")
    method(queue)
    answers.assert_no_pending_responses()


@pytest.mark.parametrize(("code", "fix"), [
    ("AWS.SimpleQueueService.NonExistentQueue", "half deployed"), ("AccessDenied", "permission"),
    ("ThrottlingException", "call again"), ("ExpiredToken", "sign in again"), ("SignatureDoesNotMatch", "clock")])
def test_an_error_of_a_queue_is_one_line_with_its_fix(code: str, fix: str) -> None:
    queue, answers = stubbed_queue()
    answers.add_client_error("send_message", code, "no")
    with pytest.raises(Unavailable, match=f"SQS queue lab-cpu: {code}: no; .*{fix}"):
        queue.send("e1")


@pytest.mark.parametrize(("code", "fix"), [
    ("NoSuchBucket", "half deployed"), ("AccessDenied", "permission"), ("SlowDown", "call again"),
    ("PermanentRedirect", "AWS_REGION"), ("301", "AWS_REGION"), ("403", "permission"),
    ("RequestTimeTooSkewed", "clock")])
def test_an_error_of_the_store_is_one_line_with_its_fix(tmp_path: Path, code: str, fix: str) -> None:
    store, answers = stubbed_store(tmp_path)
    answers.add_client_error("head_object", code, "no", http_status_code=400)
    with pytest.raises(Unavailable, match=f"S3 bucket lab-store: {code}: no; .*{fix}"):
        store.has(HASH)


def test_a_store_that_refuses_to_tell_is_not_taken_for_one_without_the_file(tmp_path: Path) -> None:
    """S3 answers 403 for a missing object to those who may not list: nothing is concluded from it."""
    store, answers = stubbed_store(tmp_path)
    answers.add_client_error("head_object", "403", "Forbidden", http_status_code=403)
    with pytest.raises(Unavailable):
        store.has(HASH)


@pytest.mark.parametrize(("pointed", "moved"), [(HASH, False), ("1" * 64, True)])
def test_a_swap_whose_first_reply_was_lost_is_known_by_where_the_pointer_stands(
        tmp_path: Path, pointed: str, moved: bool) -> None:
    store, answers = stubbed_store(tmp_path)
    answers.add_client_error("get_object", "NoSuchKey", http_status_code=404)
    answers.add_client_error("put_object", "PreconditionFailed", http_status_code=412,
                             response_meta={"RetryAttempts": 1})
    answers.add_response("get_object", {"Body": _Body(pointed), "ETag": '"e"'})
    if moved:
        with pytest.raises(Conflict):
            store.swap("champion", None, HASH)
    else:
        store.swap("champion", None, HASH)


def test_a_swap_that_was_not_repeated_loses_to_another_that_set_the_same(tmp_path: Path) -> None:
    store, answers = stubbed_store(tmp_path)
    answers.add_client_error("get_object", "NoSuchKey", http_status_code=404)
    answers.add_client_error("put_object", "ConditionalRequestConflict", http_status_code=409)
    with pytest.raises(Conflict):
        store.swap("champion", None, HASH)
    answers.assert_no_pending_responses()


class _Body:
    def __init__(self, text: str) -> None:
        self._text = text

    def read(self) -> bytes:
        return self._text.encode()


# ---------------------------------------------------------------------- mail


def report(**fields: Any) -> Report:
    return Report(**{"key": "2026-11-23T05", "subject": "lab: all well", "text": "t", "html": "", "at": 0.0} | fields)


@pytest.mark.parametrize("words", ["x" * 300, "größer – 3 × „so“ …", "two\nlines\tand\x07a bell", "", "日本"])
def test_any_subject_becomes_one_that_sns_takes_and_keeps_its_key_whole(words: str) -> None:
    found = subject(report(subject=words))
    assert found.isascii()
    assert found.isprintable()
    assert 0 < len(found.lstrip()) < 100
    assert found.endswith("[2026-11-23T05]")


def test_a_text_that_no_mail_takes_ends_with_where_the_whole_is() -> None:
    client = clients.sns(**WHERE)
    sent: list[Any] = []
    client.publish = lambda **fields: sent.append(fields)  # type: ignore[method-assign]
    SnsMailbox(client, "arn:aws:sns:us-east-1:0:lab-reports", "aws:lab").deliver(report(text="–" * MESSAGE_BYTES))
    assert sent[0]["Message"].endswith("`aether report --backend aws:lab` shows the whole.]\n")
    assert len(sent[0]["Message"].encode()) <= 262_144 - 1000
    assert "\ufffd" not in sent[0]["Message"]


def test_a_topic_that_is_missing_or_closed_says_so() -> None:
    client = clients.sns(**WHERE)
    for code, fix in (("NotFound", "half deployed"), ("AuthorizationError", "permission")):
        with Stubber(client) as answers:
            answers.add_client_error("publish", code, "no")
            with pytest.raises(Unavailable, match=f"SNS topic lab-reports: {code}: no; .*{fix}"):
                SnsMailbox(client, "arn:aws:sns:us-east-1:0:lab-reports", "aws:lab").deliver(report())


# ---------------------------------------------------------------------- on the emulator


class Between:
    """An S3 client that lets something happen right before or after one kind of call, the first time."""

    def __init__(self, client: Any, call: str, happens: Callable[[], object], *, before: bool = False) -> None:
        self._client, self._call, self._happens, self._before = client, call, happens, before

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name != self._call:
            return found
        self._call = ""

        def called(*arguments: Any, **fields: Any) -> Any:
            if self._before:
                self._happens()
            answer = found(*arguments, **fields)
            if not self._before:
                self._happens()
            return answer
        return called


@pytest.fixture
def bucket(account: Account) -> tuple[Any, Names]:
    names = account.deploy()
    return clients.s3(**account.endpoint.settings), names


@pytest.mark.ci
@pytest.mark.parametrize("before", [True, False])
def test_what_is_stored_again_while_it_is_removed_is_not_lost(bucket: tuple[Any, Names], tmp_path: Path,
                                                              before: bool) -> None:
    """Between the look and the hiding, or right after the hiding."""
    client, names = bucket
    writer = S3Store(client, names.bucket, Cache(tmp_path / "a"))
    writer.put_bytes(DATA)
    sweeper = S3Store(Between(client, "delete_object", lambda: writer.put_bytes(DATA), before=before), names.bucket,
                      Cache(tmp_path / "b"))
    assert not sweeper.retire(HASH, before=1e12)
    assert S3Store(client, names.bucket, Cache(tmp_path / "c")).read(HASH) == DATA


@pytest.mark.ci
def test_a_removal_that_was_sent_twice_hides_nothing_that_was_stored_in_between(bucket: tuple[Any, Names],
                                                                                 tmp_path: Path) -> None:
    """The first reply was lost, and botocore asked again: two markers hide the object."""
    client, names = bucket
    writer = S3Store(client, names.bucket, Cache(tmp_path / "a"))
    writer.put_bytes(DATA)

    def again_and_gone() -> None:
        writer.put_bytes(DATA)
        client.delete_object(Bucket=names.bucket, Key=f"objects/{HASH[:2]}/{HASH[2:]}")
    sweeper = S3Store(Between(client, "delete_object", again_and_gone, before=True), names.bucket,
                      Cache(tmp_path / "b"))
    assert not sweeper.retire(HASH, before=1e12)
    assert writer.has(HASH)


@pytest.mark.ci
def test_a_file_in_many_parts_comes_back_whole_and_is_renewed(bucket: tuple[Any, Names], tmp_path: Path) -> None:
    client, names = bucket
    film = tmp_path / "film"
    film.write_bytes(b"frame" * 8_000_000)  # 40 MB: three parts
    store = S3Store(client, names.bucket, Cache(tmp_path / "a"))
    hash = store.put(film)
    assert store.put(film) == hash
    fetched = S3Store(client, names.bucket, Cache(tmp_path / "b")).fetch(hash)
    assert fetched.stat().st_size == film.stat().st_size
    assert hashlib.sha256(fetched.read_bytes()).hexdigest() == hash


@pytest.mark.ci
def test_a_file_kept_here_that_went_bad_is_fetched_anew(bucket: tuple[Any, Names], tmp_path: Path) -> None:
    client, names = bucket
    store = S3Store(client, names.bucket, Cache(tmp_path))
    store.put_bytes(DATA)
    kept = store.fetch(HASH)
    kept.chmod(0o600)
    kept.write_bytes(b"wrong")
    assert store.read(HASH) == DATA


@pytest.mark.ci
def test_what_another_machine_removed_is_said_to_be_missing(bucket: tuple[Any, Names], tmp_path: Path) -> None:
    client, names = bucket
    store = S3Store(client, names.bucket, Cache(tmp_path / "a"))
    store.put_bytes(DATA)
    S3Store(client, names.bucket, Cache(tmp_path / "b")).remove(HASH)
    with pytest.raises(NotFound, match="aether reproduce"):
        store.fetch(HASH)


def test_waits_are_bounded_and_retries_are_botocores_own() -> None:
    for client in (clients.s3(**WHERE), clients.sqs(**WHERE), clients.sns(**WHERE), clients.sts(**WHERE)):
        config: Config = client.meta.config
        assert config.retries["mode"] == "standard"
        assert config.read_timeout <= 30
    assert clients.listening_sqs(**WHERE).meta.config.read_timeout > clients.LISTEN_S
