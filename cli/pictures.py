"""Original beside decoded, from what an experiment has left: one picture a pair, for a person's own viewer."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from lab.errors import AetherError, UserError

if TYPE_CHECKING:
    from PIL import Image

    from lab.backend import Store
    from lab.experiment import Scores

ORIGINAL, DECODED = "-original", "-decoded"
GAP = 4  # pixels between the two


def write_pairs(scores: Scores, store: Store, folder: Path, prefix: str) -> list[Path]:
    """Original left, decoded right; gives the files, in the order of their names. Raises UserError where the folder
    cannot be written; pairs that the store has lost are left out."""
    written = list[Path]()
    for name, hash in sorted(scores.artefacts.items()):
        path = PurePosixPath(name)
        if not path.stem.endswith(ORIGINAL):
            continue
        what = path.stem.removesuffix(ORIGINAL)
        other = scores.artefacts.get(str(path.with_name(f"{what}{DECODED}{path.suffix}")), "")
        sides = [picture for picture in (_picture(store, hash), _picture(store, other)) if picture is not None]
        if len(sides) == 2:
            written.append(_written(_beside(*sides), folder / f"{prefix}-{what}.png"))
    return written


def _picture(store: Store, hash: str) -> Image.Image | None:
    from PIL import Image
    try:
        return Image.open(BytesIO(store.read(hash))).convert("RGB")
    except (AetherError, OSError):
        return None


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    from PIL import Image
    both = Image.new("RGB", (left.width + GAP + right.width, max(left.height, right.height)), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width + GAP, 0))
    return both


def _written(picture: Image.Image, target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        picture.save(target)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror}; name another folder") from None
    return target
