"""A code bundle: a candidate's Python files, stored as one canonical JSON under its hash, which stands in the spec.

Source travels, and nothing else: a network's weights come from training, under their own hash. So there is a limit on
all of it together and on each constant in it, and no file that is not Python text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

from lab.backend import Store
from lab.canonical import canonical_json
from lab.errors import Damaged, UserError
from lab.objects import read_as

MAX_BYTES = 256 << 10  # of source, all files together
MAX_LITERAL_BYTES = 4 << 10  # so that no weights travel in the source
MAX_FILES = 32
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,60}\.py")


def from_folder(folder: Path, needed: tuple[str, ...]) -> dict[str, str]:
    """The folder's Python files, name → text. Raises UserError, with the fix, for what is no bundle."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give the one that holds {' and '.join(needed)}")
    found = {path.name: _text(path) for path in sorted(folder.glob("*.py")) if path.is_file()}
    if missing := [name for name in needed if name not in found]:
        raise UserError(f"{folder} has no {' and no '.join(missing)}; docs/two-agents.md shows the smallest example")
    if wrong := problems(found):
        raise UserError(f"{folder}: {wrong[0]}")
    return found


def problems(files: Mapping[str, str]) -> list[str]:
    """Why these are no bundle: one line each, empty if they are one."""
    size = sum(len(text.encode()) for text in files.values())
    found = [f"{name!r} is no name for a module" for name in files if not _NAME.fullmatch(name)]
    found += [f"{len(files)} files, and {MAX_FILES} are allowed"] if len(files) > MAX_FILES else []
    found += [f"{size} bytes of source, and {MAX_BYTES} are allowed"] if size > MAX_BYTES else []
    return found or [problem for name, text in files.items() for problem in _source_problems(name, text)]


def defines(text: str, function: str) -> bool:
    """Whether this Python source has a function of that name at its top level."""
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in ast.parse(text).body)


def imported(files: Mapping[str, str]) -> frozenset[str]:
    """The packages that these sources name in an import anywhere."""
    nodes = [node for text in files.values() for node in ast.walk(ast.parse(text))]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return frozenset(name.partition(".")[0] for name in names)


def write(store: Store, files: Mapping[str, str]) -> str:
    """Stores the bundle; gives its hash."""
    return store.put_bytes(canonical_json(dict(files)))


def read(store: Store, hash: str) -> dict[str, str]:
    """Raises NotFound, or Damaged for what is no bundle."""
    files = read_as(store, hash, dict[str, str], "code bundle")
    if wrong := problems(files):
        raise Damaged(f"the object {hash[:12]} of the store is no code bundle ({wrong[0]})")
    return files


def _source_problems(name: str, text: str) -> list[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        return [f"{name} is no Python: {error}"]
    large = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Constant)
             and isinstance(node.value, str | bytes) and len(node.value) > MAX_LITERAL_BYTES]
    return [f"{name}:{line} has a constant of more than {MAX_LITERAL_BYTES} bytes; weights come from training"
            for line in large[:1]]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text: {error}") from None
