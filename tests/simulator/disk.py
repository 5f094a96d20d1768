"""The disk of a simulated machine, in memory: what was not synced when the power fails is torn, what was renamed
without its folder being synced is undone, and a process may be killed in the middle of a write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from lab.canonical import sha256
from lab.errors import Unavailable


class Disk:
    """Bytes by path, as processes see them, and how many of them a power cut would leave."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.seen: dict[Path, bytearray] = {}
        self._safe: dict[Path, int] = {}  # bytes that are on the platter
        self._unsafe: dict[Path, None] = {}  # paths that have more, in the order of their writing

    def put(self, path: Path, data: bytes) -> None:
        """In place of what was there."""
        self.seen[path] = bytearray(data)
        self._safe.pop(path, None)
        self._unsafe[path] = None

    def add(self, path: Path, data: bytes) -> None:
        self.seen.setdefault(path, bytearray()).extend(data)
        self._unsafe[path] = None

    def rename(self, source: Path, target: Path) -> None:
        self.drop(target)
        self.seen[target] = self.seen.pop(source)
        if source in self._safe:
            self._safe[target] = self._safe.pop(source)
        if source in self._unsafe:
            del self._unsafe[source]
            self._unsafe[target] = None

    def drop(self, path: Path) -> None:
        self.seen.pop(path, None)
        self._safe.pop(path, None)
        self._unsafe.pop(path, None)

    def sync(self, path: Path) -> None:
        self._safe[path] = len(self.seen[path])
        self._unsafe.pop(path, None)

    def power_cut(self) -> int:
        """Every file that was not synced keeps any prefix of what was added, or is gone; gives how many were torn."""
        torn = list(self._unsafe)
        for path in torn:
            safe = self._safe.get(path)
            if safe is None and self._rng.random() < 0.3:
                self.drop(path)
            else:
                del self.seen[path][self._rng.randrange(safe or 0, len(self.seen[path]) + 1):]
                self.sync(path)
        return len(torn)


class ProcessFiles:
    """Implements `lab.files.Files` for one process. `fault(what)` may raise, and says how much of a write is done
    before it does (None: all of it, and no fault)."""

    def __init__(self, disk: Disk, fault: Callable[[str], tuple[float, BaseException] | None],
                 truncated: Callable[[], None]) -> None:
        self._disk, self._fault, self._truncated = disk, fault, truncated

    def write(self, path: Path, data: bytes) -> None:
        self._put(self._disk.put, path, data)
        self._disk.sync(path)

    def append(self, path: Path, data: bytes) -> None:
        self._put(self._disk.add, path, data)
        self._disk.sync(path)

    def replace(self, source: Path, target: Path) -> None:
        broken = self._fault("replace")
        if broken is not None and broken[0] < 0.5:
            raise broken[1]
        self._disk.rename(source, target)
        if broken is not None:
            raise broken[1]

    def copy(self, source: Path, target: Path) -> str:
        data = self.read(source)
        self.write(target, data)
        return sha256(data)

    def digest(self, path: Path) -> str:
        return sha256(self.read(path))

    def touch(self, path: Path) -> bool:
        return path in self._disk.seen

    def modified(self, path: Path) -> float | None:
        return 0.0 if path in self._disk.seen else None

    def read(self, path: Path) -> bytes:
        if path not in self._disk.seen:
            raise Unavailable(f"{path}: no such file")
        return bytes(self._disk.seen[path])

    def lines(self, path: Path) -> Iterator[bytes]:
        return iter(self.read(path).splitlines(keepends=True))

    def truncate(self, path: Path, size: int) -> None:
        if len(self._disk.seen[path]) > size:
            self._disk.put(path, self._disk.seen[path][:size])
            self._disk.sync(path)
            self._truncated()

    def exists(self, path: Path) -> bool:
        return path in self._disk.seen

    def remove(self, path: Path) -> None:
        self._disk.drop(path)

    def glob(self, folder: Path, pattern: str) -> list[Path]:
        return sorted(path for path in self._disk.seen if path.is_relative_to(folder) and path.match(pattern))

    def _put(self, way: Callable[[Path, bytes], None], path: Path, data: bytes) -> None:
        broken = self._fault("write")
        way(path, data if broken is None else data[:int(len(data) * broken[0])])
        if broken is not None:
            raise broken[1]
