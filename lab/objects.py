"""Objects of our own in the store: JSON under its hash, read as what it is meant to be."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from lab.backend import Store
from lab.errors import Damaged

T = TypeVar("T")


def read_as(store: Store, hash: str, form: type[T], what: str) -> T:
    """The object `hash` as `form`; `what` it is, for people. Raises NotFound, and Damaged for bytes that are another
    thing: also a whole object may stand under the wrong name."""
    try:
        return msgspec.json.decode(store.read(hash), type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"the object {hash[:12]} of the store is no {what} ({error}); `aether doctor` says what is "
                      f"damaged") from None
