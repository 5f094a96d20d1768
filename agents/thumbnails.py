"""Original beside decoded: the pictures that an experiment has left, as data URIs, so that the page stands alone.

A track that has pictures stores them as artefacts named `FOLDER/WHAT-original.EXT` and `FOLDER/WHAT-decoded.EXT`.
"""

from __future__ import annotations

from base64 import b64encode
from pathlib import PurePosixPath

from agents.data import Pair
from lab.backend import Store
from lab.errors import AetherError
from lab.experiment import Scores

TYPES = {".webp": "image/webp", ".png": "image/png", ".jpg": "image/jpeg"}
MOST_PAIRS = 6
MOST_BYTES = 200_000  # a picture; a mail with the page must stay small


def pairs(store: Store, scores: Scores) -> list[Pair]:
    """In the order of their names; those that the store has lost are left out."""
    found = list[Pair]()
    for name in sorted(scores.artefacts):
        path = PurePosixPath(name)
        if not path.stem.endswith("-original") or path.suffix not in TYPES or len(found) == MOST_PAIRS:
            continue
        what = path.stem.removesuffix("-original")
        other = scores.artefacts.get(str(path.with_name(f"{what}-decoded{path.suffix}")), "")
        original, decoded = (_uri(store, hash, path.suffix) for hash in (scores.artefacts[name], other))
        if original and decoded:
            found.append(Pair(what=what, original=original, decoded=decoded))
    return found


def _uri(store: Store, hash: str, suffix: str) -> str:
    try:
        data = store.read(hash)
    except AetherError:
        return ""
    return f"data:{TYPES[suffix]};base64,{b64encode(data).decode()}" if len(data) <= MOST_BYTES else ""
