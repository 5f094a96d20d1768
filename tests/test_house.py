"""Facts of the repository itself: what may be committed, what the locks hold, what every module says of itself."""

from __future__ import annotations

import ast
import hashlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("lab", "gpu_workers", "agents", "orchestrator", "cli", "cdk")
TWO_MB = 2 * 1024 * 1024
# The one clip at 1080p: halving it would take away what it is here to show.
LARGE_FILES = {"tests/data/video/drive_1080p30.mp4"}
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def tracked_files() -> list[Path]:
    """What git would carry to a fresh clone; where git is absent (an unpacked archive) there is nothing to judge."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


def modules() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_no_file_is_larger_than_2_mb_but_the_named_one() -> None:
    assert {relative(path) for path in tracked_files() if path.stat().st_size > TWO_MB} <= LARGE_FILES


def test_a_fresh_clone_stays_under_20_mb() -> None:
    assert sum(path.stat().st_size for path in tracked_files()) <= 20 * 1024 * 1024


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    folders = re.compile(rb"(?<![\w.$}])/(?:work|root|home/\w+)/")
    found = [relative(path) for path in tracked_files() if path != Path(__file__) and folders.search(path.read_bytes())]
    assert found == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_holds_no_address(lock: Path) -> None:
    assert not re.search(r"https?://|--(extra-)?index|--find-links|file:|git\+", lock.read_text())


@pytest.mark.parametrize("name", ["core", "dev", "learned", "learned-cpu", "cdk", "tool"])
def test_every_locked_package_has_its_version_and_hashes(name: str) -> None:
    lock = (ROOT / "requirements" / f"{name}.txt").read_text()
    for package in re.split(r"\n(?=\S)", lock.strip()):
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+", package), package.splitlines()[0]
        assert "--hash=sha256:" in package, package.splitlines()[0]


@pytest.mark.parametrize("folder", [".", "tests/support/aws"])
def test_the_npm_lock_names_no_registry(folder: str) -> None:
    lock = (ROOT / folder / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert '"integrity"' in lock


def test_every_core_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (ROOT / "requirements/core.txt").read_text()
    for dependency in project["dependencies"]:
        name = re.match(r"[\w-]+", dependency)
        assert name is not None
        assert re.search(rf"^{name.group()}==", lock, re.MULTILINE), f"{dependency}: run make lock"


def test_the_core_is_torch_free() -> None:
    lock = (ROOT / "requirements/core.txt").read_text()
    assert not re.search(r"^(torch|torchvision|compressai|onnxruntime|nvidia-)", lock, re.MULTILINE)


@pytest.mark.parametrize(
    "page", ["README.md", "LICENSE", "NOTICE", "docs/decisions.md", "docs/aws.md", "clips/NOTICE.md"])
def test_a_page_that_people_look_for_is_there(page: str) -> None:
    assert (ROOT / page).stat().st_size > 200


@pytest.mark.parametrize("folder", ["tests/data", "clips"])
def test_every_shipped_picture_is_the_one_its_notice_describes(folder: str) -> None:
    notice = (ROOT / folder / "NOTICE.md").read_text()
    pictures = [path for path in (ROOT / folder).rglob("*") if path.suffix in {".mp4", ".png", ".jpg", ".npz"}]
    assert pictures
    assert [relative(path) for path in pictures if sha256(path) not in notice] == []


@pytest.mark.parametrize("module", modules(), ids=relative)
def test_a_module_opens_by_saying_what_it_is_for(module: Path) -> None:
    tree = ast.parse(module.read_text())
    assert not tree.body or ast.get_docstring(tree)


def test_the_codec_track_is_found_by_its_entry_point() -> None:
    (entry,) = entry_points(group="aether.tracks", name="codec")
    assert entry.load().name == "codec"


HEAVY = ("torch", "boto3", "optuna", "numpy", "scipy", "matplotlib", "av", "PIL", "jinja2")


def test_the_front_door_imports_nothing_heavy() -> None:
    script = f"import sys, cli.main; print([name for name in {HEAVY} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
