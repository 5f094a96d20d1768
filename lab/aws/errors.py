"""What AWS's library raises, as the lab's own errors: one line with the fix, never a traceback of botocore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from lab.errors import Unavailable

LOGIN = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound,
         TokenRetrievalError)
REGION = (NoRegionError,)
NO_REGION = "no region is set; set AWS_REGION, such as us-east-1"
DENIED = "give this role or user the permission, or choose another AWS_PROFILE"
KEYS = "the credentials are not valid: check AWS_PROFILE and the access key"
EXPIRED = "the credentials have run out: sign in again (`aws sso login`)"
CLOCK = "the credentials or this machine's clock are wrong: check both"
ELSEWHERE = "the bucket is in another region: check AWS_REGION"
ABSENT = "there is no such lab in this account and region, or it is half deployed: deploy it, or check the region"
FIXES = {
    "301": ELSEWHERE,  # numbers are what S3 answers where an answer has no text
    "403": DENIED,
    "AWS.SimpleQueueService.NonExistentQueue": ABSENT,
    "AccessDenied": DENIED,
    "AccessDeniedException": DENIED,
    "AuthorizationError": DENIED,
    "AuthorizationHeaderMalformed": ELSEWHERE,
    "ExpiredToken": EXPIRED,
    "ExpiredTokenException": EXPIRED,
    "IncompleteSignatureException": KEYS,
    "InvalidAccessKeyId": KEYS,
    "InvalidClientTokenId": KEYS,
    "InvalidSignatureException": CLOCK,
    "NoSuchBucket": ABSENT,
    "NotFound": ABSENT,  # how SNS says that there is no such topic
    "PermanentRedirect": ELSEWHERE,
    "RequestExpired": CLOCK,
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it (`timedatectl set-ntp true`)",
    "ResourceNotFoundException": ABSENT,
    "SignatureDoesNotMatch": CLOCK,
    "UnauthorizedOperation": DENIED,  # how EC2 says it
    "UnrecognizedClientException": KEYS,
}
WAIT = "AWS is busy; call again, nothing is done twice"
OURS = "AWS does not accept such a request; please report it as a fault of Aether"


@contextmanager
def plain_errors(what: str) -> Iterator[None]:
    """Whatever AWS's library raises inside becomes Unavailable; `what` says which thing could not be reached."""
    try:
        yield
    except ClientError as error:
        code, said = code_of(error), error.response["Error"].get("Message", "")
        raise Unavailable(f"{what}: {code}: {_line(said)}; {FIXES.get(code) or _fix(code)}") from error
    except LOGIN as error:
        raise Unavailable(f"{what}: {_line(error)}; set AWS_PROFILE or sign in (`aws configure`)") from error
    except REGION as error:
        raise Unavailable(f"{what}: {NO_REGION}") from error
    except (BotoCoreError, Boto3Error, ResponseParserError) as error:
        raise Unavailable(f"{what}: {_line(error)}; check the network and the region, then call again") from error


def code_of(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def _fix(code: str) -> str:
    return OURS if code in ("ValidationException", "SerializationException") else WAIT


def _line(said: object) -> str:
    return " ".join(str(said).split()).rstrip(".")
