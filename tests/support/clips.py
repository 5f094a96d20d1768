"""Footage by its name alone, for labs in which nobody works."""

from __future__ import annotations

from typing import Literal

from lab import clipset
from lab.backend import Store
from lab.experiment import Clip


def add_clip(store: Store, role: Literal["train", "score"] = "score") -> None:
    clip = Clip(name=role, hash=store.put_bytes(role.encode()), role=role)
    clipset.change(store, lambda clips: clipset.with_clip(clips, clip))
