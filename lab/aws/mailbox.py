"""The mailbox on SNS: each report is published to one topic, and those who subscribed by mail get it as it stands.

SNS takes a subject of fewer than 100 ASCII characters and a message of 256 KB. A longer subject is cut before its key;
a longer text ends with where the whole report is. A retry whose first reply was lost comes twice, under the same key.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from lab.aws.errors import plain_errors
from lab.control import Report

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

SUBJECT_LENGTH = 99
MESSAGE_BYTES = 250_000  # of 262,144, which count the key as well
PLAIN = str.maketrans({"–": "-", "—": "-", "…": "...", "×": "x", "“": '"', "”": '"', "’": "'", "·": "-", "→": "->",
                       "≥": ">=", "≤": "<="})
CUT = "\n\n[cut here: a mail takes no more. `aether report --backend {address}` shows the whole.]\n"


class SnsMailbox:
    """Implements `lab.backend.Mailbox`. `address` is that of the lab, for those who read a text that was cut."""

    def __init__(self, client: SNSClient, topic_arn: str, address: str) -> None:
        self._client, self._arn, self._address = client, topic_arn, address

    def deliver(self, report: Report) -> str:
        with plain_errors(f"SNS topic {self._arn.rpartition(':')[2]}"):
            self._client.publish(
                TopicArn=self._arn, Subject=subject(report), Message=self._text(report.text),
                MessageAttributes={"key": {"DataType": "String", "StringValue": report.key}})
        return self._arn

    def _text(self, text: str) -> str:
        data = text.encode()
        if len(data) <= MESSAGE_BYTES:
            return text or "(no text)"  # SNS refuses an empty message
        return data[:MESSAGE_BYTES].decode(errors="ignore") + CUT.format(address=self._address)


def subject(report: Report) -> str:
    """`SUBJECT [KEY]` as SNS takes it; the key is whole."""
    key = f" [{report.key}]"
    return _plain(report.subject)[: SUBJECT_LENGTH - len(key)] + key


def _plain(text: str) -> str:
    ascii = unicodedata.normalize("NFKD", text.translate(PLAIN)).encode("ascii", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in ascii).split()).lstrip("?-")
