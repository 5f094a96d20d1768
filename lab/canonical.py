"""Canonical JSON and the hashes made of it: the same value gives the same bytes on every machine."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder(order="deterministic")


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces. NaN and infinities become null, as msgspec writes them."""
    return _encoder.encode(value)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fingerprint(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of `value`."""
    return sha256(canonical_json(value))
