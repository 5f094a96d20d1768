"""What AWS's library raises, as the lab's own errors: one line with the fix, never a traceback of botocore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    TokenRetrievalError,
)

from lab.errors import Unavailable

LOGIN = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, TokenRetrievalError)
REGION = (NoRegionError,)
FIXES = {
    "AccessDeniedException": "give this role or user the permission, or choose another AWS_PROFILE",
    "ExpiredTokenException": "the credentials have run out: sign in again (`aws sso login`)",
    "IncompleteSignatureException": "the credentials are not valid: check AWS_PROFILE and the access key",
    "InvalidSignatureException": "the credentials or this machine's clock are wrong: check both",
    "ResourceNotFoundException": "there is no such lab in this account and region: deploy it, or check the region",
    "UnrecognizedClientException": "the credentials are not valid: check AWS_PROFILE and the access key",
}
WAIT = "AWS is busy; call again, nothing is done twice"
OURS = "AWS does not accept such a request; please report it as a fault of Aether"


@contextmanager
def plain_errors(what: str) -> Iterator[None]:
    """Whatever botocore raises inside becomes Unavailable; `what` says which thing could not be reached."""
    try:
        yield
    except ClientError as error:
        code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        raise Unavailable(f"{what}: {code}: {_line(said)}; {FIXES.get(code) or _fix(code)}") from error
    except LOGIN as error:
        raise Unavailable(f"{what}: {_line(error)}; set AWS_PROFILE or sign in (`aws configure`)") from error
    except REGION as error:
        raise Unavailable(f"{what}: no region is set; set AWS_REGION, such as us-east-1") from error
    except BotoCoreError as error:
        raise Unavailable(f"{what}: {_line(error)}; check the network and the region, then call again") from error


def _fix(code: str) -> str:
    return OURS if code in ("ValidationException", "SerializationException") else WAIT


def _line(said: object) -> str:
    return " ".join(str(said).split()).rstrip(".")
